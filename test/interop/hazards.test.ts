// What breaks QEMU's colo-compare, each on a device of its own, and what ours does instead: bytes that are no frames,
// peers that go away, bounds that are reached, and time.

import { requires } from '../netns/requires';
import { PLAIN4, udpFrame } from './carrier';
import { startColo } from './colo-device';
import type { Device, DeviceOptions } from './device';
import { CHECKPOINT, Driver } from './driver';
import { startQemu } from './qemu-device';
import { encodeFrames } from './wire';

/** The largest frame that QEMU takes: NET_BUFSIZE. */
const LARGEST = 69_632;

/** A datagram of one of many flows. */
function udp(text: string, flow = 0, id = 1): Buffer {
  const ends = { src: [10, 9, flow >> 8, flow & 0xff], dst: [198, 51, 100, 1], sport: 53, dport: 4000 + (flow >> 16) };
  return udpFrame({ carrier: PLAIN4, ends, id, padding: 'none' }, Buffer.from(text));
}

function textOf(frame: Buffer): string {
  return frame.toString('latin1', 42);
}

const running: Driver[] = [];

async function start(which: 'qemu' | 'colo', options: DeviceOptions = {}): Promise<Driver> {
  const device: Device = which === 'qemu' ? await startQemu(options) : await startColo(options);
  const driver = new Driver(device);
  running.push(driver);
  await driver.connect();
  return driver;
}

/** Does this device still compare? */
async function compares(d: Driver, text: string): Promise<boolean> {
  await d.primary([udp(text)]);
  const { out } = await d.secondary([udp(text)]);
  return out.length === 1 && textOf(out[0]!) === text;
}

/** A length as it stands before a frame. */
function length(n: number): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(n);
  return word;
}

requires('qemu', 'addon')('what breaks QEMU', () => {
  afterEach(async () => {
    for (const driver of running.splice(0)) {
      driver.close();
      await driver.device.stop();
    }
  });

  describe('a frame of length 0', () => {
    const bad = Buffer.concat([length(0), Buffer.from('x')]);

    test('aborts QEMU', async () => {
      const d = await start('qemu');
      d.raw('pri', bad);
      expect(await d.untilEnded()).toBe('SIGABRT');
    });

    test.each(['pri', 'sec'] as const)('costs ours that connection: %s', async (which) => {
      const d = await start('colo');
      d.raw(which, bad);
      await d.untilHungUp(which);
      await d.redial(which);
      expect(await compares(d, 'after')).toBe(true);
    });
  });

  describe('a frame beyond the largest', () => {
    const bad = Buffer.concat([length(LARGEST + 1), Buffer.alloc(LARGEST + 1)]);

    test('makes QEMU deaf for good: the socket stays open, and a new one is not read', async () => {
      const d = await start('qemu');
      d.raw('sec', bad);
      await d.untilStderr('oversized packet');
      await d.redial('sec');
      await d.primary([udp('unheard')]);
      d.raw('sec', encodeFrames([udp('unheard')]));
      // A marker on the same socket would never come. The primary's side still lives.
      expect((await d.primary([udp('again', 1)])).out).toEqual([]);
      expect((await d.checkpoint()).out.map(textOf).sort()).toEqual(['again', 'unheard']);
    });

    test.each(['pri', 'sec'] as const)('costs ours that connection: %s', async (which) => {
      const d = await start('colo');
      d.raw(which, bad);
      await d.untilHungUp(which);
      await d.redial(which);
      expect(await compares(d, 'after')).toBe(true);
    });

    // Ours takes off what stands behind the packet.
    test.each([
      ['qemu', LARGEST],
      ['colo', udp('x').length],
    ] as const)('the largest itself is a frame like any other: %s', async (which, bytes) => {
      const d = await start(which);
      const frame = Buffer.concat([udp('x'), Buffer.alloc(LARGEST)]).subarray(0, LARGEST);
      await d.primary([frame]);
      expect((await d.secondary([frame])).out.map((one) => one.length)).toEqual([bytes]);
    });
  });

  describe('a peer that goes away in the middle of a frame', () => {
    const half = encodeFrames([udp('never finished')]).subarray(0, 20);

    test('leaves QEMU out of step for ever: the next connection goes on where the last one ended', async () => {
      const d = await start('qemu');
      d.raw('sec', half);
      await d.redial('sec');
      await d.primary([udp('unheard')]);
      // What comes first fills the rest of the broken frame.
      d.raw('sec', encodeFrames([udp('unheard')]));
      expect((await d.primary([udp('again', 1)])).out).toEqual([]);
      expect((await d.checkpoint()).out.map(textOf).sort()).toEqual(['again', 'unheard']);
    });

    test.each(['pri', 'sec'] as const)('costs ours that frame: %s', async (which) => {
      const d = await start('colo');
      d.raw(which, half);
      await d.redial(which);
      expect(await compares(d, 'after')).toBe(true);
    });
  });

  describe('more packets than may wait', () => {
    const many = (n: number): Buffer[] => Array.from({ length: n }, (_, i) => udp(`${i}`, 0, i));

    test('are lost in QEMU without a word', async () => {
      const d = await start('qemu', { maxQueueSize: 64 });
      const sent = await d.primary(many(100));
      const flushed = await d.checkpoint();
      expect([sent.asked + flushed.asked, flushed.out.length]).toEqual([0, 65]);
    });

    test('make ours ask for a checkpoint', async () => {
      const d = await start('colo', { maxQueueSize: 4 });
      // Sixteen times as many as that are held, of all connections together.
      const sent = await d.primary(many(100));
      d.forgetMarker();
      d.notify(CHECKPOINT);
      await d.untilOut(64);
      const flushed = await d.checkpoint();
      expect(sent.asked + flushed.asked).toBeGreaterThan(0);
      expect(flushed.out.map(textOf)).toEqual(many(64).map(textOf));
    });
  });

  describe('16,385 connections', () => {
    const AT_ONCE = 64;
    async function connections(d: Driver): Promise<string[]> {
      await d.primary([udp('held')]);
      for (let flow = 1; flow <= 16_400; flow += AT_ONCE) {
        d.raw('sec', encodeFrames(Array.from({ length: AT_ONCE }, (_, i) => udp('x', flow + i))));
      }
      // A marker that is placed before all of them were read would be lost, too.
      await d.drainSecondary();
      d.forgetMarker();
      const { out } = await d.secondary([]);
      return [...out, ...(await d.checkpoint()).out].map(textOf);
    }

    test('lose QEMU what it holds', async () => {
      expect(await connections(await start('qemu'))).toEqual([]);
    });

    test('cost ours nothing', async () => {
      expect(await connections(await start('colo'))).toEqual(['held']);
    });
  });

  describe('outdev is read slowly', () => {
    /** More small frames than a socket holds. */
    const SENT = 600;
    async function order(which: 'qemu' | 'colo'): Promise<number[]> {
      const d = await start(which, { maxQueueSize: 1024 });
      const frames = Array.from({ length: SENT }, (_, i) => udp(`${i}`, i));
      d.pauseOut(true);
      // Every one of them is equal, so nothing but the socket decides on the order.
      for (let at = 0; at < SENT; at += 50) {
        d.raw('pri', encodeFrames(frames.slice(at, at + 50)));
        d.raw('sec', encodeFrames(frames.slice(at, at + 50)));
      }
      // The last pair differs: when that is told, all before it was compared.
      d.raw('pri', encodeFrames([udp('end', SENT)]));
      d.raw('sec', encodeFrames([udp('other', SENT)]));
      await d.untilAsked(1);
      d.pauseOut(false);
      await d.untilOut(SENT);
      return d.take().out.map((frame) => Number(textOf(frame)));
    }
    const sorted = Array.from({ length: SENT }, (_, i) => i);

    test('QEMU lets out what waits for it in the reverse order', async () => {
      const seen = await order('qemu');
      expect([...seen].sort((a, b) => a - b)).toEqual(sorted);
      expect(seen.slice(-100)).toEqual([...seen.slice(-100)].sort((a, b) => b - a));
    });

    test('ours keeps the order', async () => {
      expect(await order('colo')).toEqual(sorted);
    });
  });

  describe('time', () => {
    const QUICK = { compareTimeoutMs: 150, scanCycleMs: 50 };

    test.each(['qemu', 'colo'] as const)(
      'both ask when a packet has waited too long, and ask again: %s',
      async (which) => {
        const d = await start(which, QUICK);
        await d.primary([udp('unanswered')]);
        await d.untilAsked(3);
        expect((await d.checkpoint()).out.map(textOf)).toEqual(['unanswered']);
      },
    );

    test.each(['qemu', 'colo'] as const)('both ask for what only the secondary says: %s', async (which) => {
      const d = await start(which, QUICK);
      d.raw('sec', encodeFrames([udp('alone')]));
      await d.untilAsked(1);
    });
  });

  describe('virtio-net headers', () => {
    const vnet = (bytes: number, frame: Buffer): Buffer => {
      const head = Buffer.concat([length(bytes + frame.length), length(bytes), Buffer.alloc(bytes)]);
      return Buffer.concat([head, frame]);
    };

    test.each([
      ['qemu', 1, []],
      ['colo', 0, ['same']],
    ] as const)('of two sizes: %s', async (which, asked, out) => {
      const d = await start(which, { vnetBytes: 12 });
      await d.primary([udp('same')]);
      d.raw('sec', vnet(10, udp('same')));
      const seen = await d.secondary([]);
      const end = await d.checkpoint();
      expect([seen.asked + end.asked, seen.out.map(textOf)]).toEqual([asked, out]);
    });
  });

  describe('the same addresses in two VLANs', () => {
    const inVlan = (vlan: number): Buffer => {
      const carrier = { name: '802.1ad', family: 4 as const, tags: [[0x88a8, vlan]] as const };
      const ends = { src: [10, 8, 0, 1], dst: [198, 51, 100, 1], sport: 53, dport: 4000 };
      return udpFrame({ carrier, ends, id: 1, padding: 'none' }, Buffer.from('same'));
    };

    test.each([
      ['qemu', 'are one flow for QEMU, which looks behind an 802.1ad tag without reading it', 1],
      ['colo', 'are two for ours', 0],
    ] as const)('%s: %s', async (which, _what, released) => {
      const d = await start(which);
      await d.primary([inVlan(9)]);
      expect((await d.secondary([inVlan(10)])).out).toHaveLength(released);
      expect((await d.checkpoint()).out).toHaveLength(1 - released);
    });
  });

  test.each(['qemu', 'colo'] as const)('an instruction that is none is ignored: %s', async (which) => {
    const d = await start(which);
    d.notify('COLO_NONSENSE');
    expect(await compares(d, 'after')).toBe(true);
  });
});
