// A tap device in a network namespace: frames of the kernel's own stack, both ways.

import { Tap, type TapOptions } from '../../src/io/tap';
import { ETH_P_IP, FrameView, parseFrame } from '../../src/packet/ethernet';
import { parseIp } from '../../src/packet/parse';
import { PacketView } from '../../src/packet/view';
import { buildUdp } from '../lib/build-packet';
import { requires } from '../netns/requires';
import { NativeLab, sh, until } from './native-lab';

const OWN = [10, 88, 0, 1];
const GUEST = [10, 88, 0, 2];
const GUEST_MAC = '02:00:00:00:00:02';

requires(
  'root',
  'netns',
  'addon',
)('a tap device', () => {
  let lab: NativeLab;
  const open: Tap[] = [];

  beforeAll(() => {
    lab = new NativeLab();
  });
  afterEach(() => {
    for (const tap of open.splice(0)) tap.close();
  });
  afterAll(() => lab?.close());

  const inside = (...words: string[]) => sh('ip', '-n', lab.left, ...words);

  /** Writes down the UDP payloads that come, and what comes with them. */
  function attach(options: Partial<TapOptions> = {}) {
    const heard: { text: string; header: string }[] = [];
    const batches: number[] = [];
    let ended: string | undefined;
    const frame = new FrameView();
    const view = new PacketView();
    const tap = new Tap(
      { name: 'colotap0', netns: lab.left, ...options },
      {
        onFrames: (count) => {
          batches.push(count);
          for (let i = 0; i < count; i++) {
            const at = tap.offset(i) + tap.vnetHeaderBytes;
            const end = tap.offset(i) + tap.bytes(i);
            if (parseFrame(frame, tap.arena, at, end - at) !== 0 || frame.type !== ETH_P_IP) continue;
            if (parseIp(view, tap.arena, frame.network, end - frame.network) !== 0 || view.dstPort !== 7) continue;
            heard.push({
              text: tap.arena.toString('latin1', view.payload, view.end),
              header: tap.arena.toString('hex', tap.offset(i), at),
            });
          }
        },
        onClose: (error) => {
          ended = error.code;
        },
      },
    );
    open.push(tap);
    return { tap, heard, batches, ended: () => ended };
  }

  function bringUp(name: string): string {
    inside('address', 'add', `${OWN.join('.')}/24`, 'dev', name);
    inside('link', 'set', name, 'up');
    inside('neighbour', 'replace', GUEST.join('.'), 'lladdr', GUEST_MAC, 'dev', name);
    return lab.inLeft('cat', `/sys/class/net/${name}/address`).trim();
  }

  /** An Ethernet frame from the guest to the tap's own address. */
  function frameTo(mac: string, text: string): Buffer {
    const packet = buildUdp({ src: GUEST, dst: OWN, sport: 7, dport: 9, payload: text });
    const head = Buffer.from(`${mac}${GUEST_MAC}0800`.replaceAll(':', ''), 'hex');
    return Buffer.concat([head, packet]);
  }

  test.each([0, 10, 12] as const)('frames both ways, with a virtio-net header of %i bytes', async (vnetHeaderBytes) => {
    const { tap, heard, batches } = attach({ vnetHeaderBytes });
    expect(tap.name).toBe('colotap0');
    const head = Buffer.alloc(vnetHeaderBytes);
    const early = Buffer.concat([head, Buffer.alloc(60)]);
    expect(tap.write(early, 0, early.length)).toBe(false);
    expect(tap.counters.droppedDown).toBe(1);
    const mac = bringUp('colotap0');

    await lab.leftAgent.run(
      async (state, args, require) => {
        state.socket = require('node:dgram').createSocket('udp4');
        state.heard = [];
        state.socket.on('message', (text: Buffer) => state.heard.push(text.toString()));
        await new Promise<void>((resolve) => state.socket.bind(9, args.own, resolve));
        for (let i = 0; i < 400; i++) state.socket.send(`number ${i}`, 7, args.guest);
      },
      { own: OWN.join('.'), guest: GUEST.join('.') },
    );
    await until(() => heard.length === 400);
    expect(heard.map(({ text }) => text)).toEqual(Array.from({ length: 400 }, (_, i) => `number ${i}`));
    expect(heard.every(({ header }) => header.length === 2 * vnetHeaderBytes)).toBe(true);
    expect(Math.max(...batches)).toBeGreaterThan(1);
    expect(tap.counters.framesIn).toBe(batches.reduce((sum, count) => sum + count, 0));
    expect(tap.counters.batches).toBe(batches.length);

    const out = Buffer.concat([Buffer.from('before'), head, frameTo(mac, 'hello'), Buffer.from('after')]);
    expect(tap.write(out, 6, out.length - 11)).toBe(true);
    await until(async () => (await lab.leftAgent.run((state) => state.heard.length)) === 1);
    expect(await lab.leftAgent.run((state) => state.heard)).toEqual(['hello']);
    expect(tap.write(out, 6, vnetHeaderBytes + 5)).toBe(false);
    expect(tap.counters).toMatchObject({ framesOut: 1, bytesOut: out.length - 11, droppedInvalid: 1, droppedDown: 1 });

    tap.pause(true);
    await lab.leftAgent.run((state, args) => void state.socket.send('while paused', 7, args), GUEST.join('.'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(heard.length).toBe(400);
    tap.pause(false);
    await until(() => heard.length === 401);
    await lab.leftAgent.run((state) => void state.socket.close());
    tap.close();
    // It went with its port.
    await until(() => !inside('link', 'show').includes('colotap0'));
  });

  test('one that exists is used and stays', async () => {
    inside('tuntap', 'add', 'dev', 'stays0', 'mode', 'tap');
    const { tap } = attach({ name: 'stays0' });
    expect(() => attach({ name: 'stays0' })).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    tap.close();
    await until(() => inside('link', 'show', 'stays0').includes('state DOWN'));
    inside('link', 'del', 'stays0');
  });

  test('its end is told', async () => {
    const { tap, ended } = attach();
    inside('link', 'del', 'colotap0');
    await until(() => ended() !== undefined);
    expect(ended()).toBe('ENODEV');
    expect(tap.closed).toBe(true);
    expect(tap.write(Buffer.alloc(60), 0, 60)).toBe(false);
  });

  test('says what is wrong', () => {
    expect(() => attach({ name: 'lo' })).toThrow(
      expect.objectContaining({ code: 'EINVAL', hint: expect.stringContaining('no tap') }),
    );
    expect(() => attach({ netns: 'no-such-netns' })).toThrow(
      expect.objectContaining({ code: 'ENOENT', hint: expect.stringContaining('ip netns list') }),
    );
    expect(() => attach({ name: 'a-name-that-is-too-long' })).toThrow(expect.objectContaining({ code: 'ENODEV' }));
  });
});
