// What a netdev says by itself at a failover: to whom, in which frames, when, and how many at a time.

import type { Chardev } from '../../../../src/io/stream/chardev';
import { Netdev } from '../../../../src/qemu/netdev/netdev';
import { netdevFromFlags } from '../../../../src/qemu/netdev/netdev-config';
import { CLIENT_ISN, GUEST, PEER, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS } from '../../seccolo/bench';
import { build, checksumOk, read, type Segment, segment } from '../../seccolo/wire';
import { FrameStream } from './frame-stream';

const w = (n: number) => n >>> 0;
const CLIENT_MAC = [0x52, 0x54, 0, 0xc0, 0x20, 1];
const GUEST_MAC = [0x52, 0x54, 0, 0xc0, 0x10, 2];
const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
/** More than everything that is paced takes. */
const LONG_MS = 1000;

interface Wrap {
  tags?: number[];
  vnetBytes?: number;
}

class Bench {
  readonly netdev: Netdev;
  readonly guest: FrameStream;
  readonly host: FrameStream;
  private readonly head: Buffer;
  private readonly tags: Buffer;

  constructor({ tags = [], vnetBytes = 0 }: Wrap = {}) {
    this.head = Buffer.alloc(vnetBytes);
    this.tags = Buffer.from(tags);
    const streams = new Map<string, FrameStream>();
    const config = netdevFromFlags({
      ...{ guest: 'unix:/guest', host: 'unix:/host', chardev: [], filter: ['rewriter,id=rew0,max_flows=1024'] },
      vnetHeaderBytes: String(vnetBytes),
    });
    this.netdev = new Netdev(config, QUIET, {
      clock: () => Date.now(),
      openStream: (endpoint, events): Chardev => {
        const stream = new FrameStream(events);
        streams.set(endpoint.kind === 'unix' ? endpoint.path : '', stream);
        return stream.asChardev;
      },
    });
    this.guest = streams.get('/guest')!;
    this.host = streams.get('/host')!;
  }

  peer(over: Partial<Segment>): void {
    const s = segment({ src: PEER, dst: GUEST, sport: 40000, dport: 80, ...over });
    this.host.says(this.frame(GUEST_MAC, CLIENT_MAC, s));
  }

  svm(over: Partial<Segment>): void {
    const s = segment({ src: GUEST, dst: PEER, sport: 80, dport: 40000, ...over });
    this.guest.says(this.frame(CLIENT_MAC, GUEST_MAC, s));
  }

  /** A client's connection, on which the guest has acknowledged ten bytes more than its peer has heard of. */
  opened(port = 40000, family: 4 | 6 = 4): void {
    const there = { family, sport: port, dport: 80 };
    const back = { family, sport: 80, dport: port };
    this.peer({ ...there, flags: 'S', seq: CLIENT_ISN, ts: [900, 0], wscale: 7 });
    this.svm({ ...back, flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900], wscale: 7, window: 0xffff });
    this.peer({ ...there, seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS] });
    this.peer({ ...there, seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS + 70], data: 'ten bytes.' });
    this.svm({ ...back, seq: SVM_ISN + 1, ack: CLIENT_ISN + 11, ts: [SVM_TS + 1, 901], window: 321 });
  }

  /** Those that the netdev said itself: what it passed on is left out. */
  async saidToHost(during: () => void): Promise<Buffer[]> {
    const before = this.host.flushed.length;
    during();
    await jest.advanceTimersByTimeAsync(LONG_MS);
    return this.host.flushed.slice(before).flat();
  }

  /** The IP packet of a frame that the guest would send to its client. */
  inner(frame: Buffer, family: 4 | 6 = 4): Buffer {
    const type = family === 4 ? [0x08, 0] : [0x86, 0xdd];
    const head = Buffer.from([...this.head, ...CLIENT_MAC, ...GUEST_MAC, ...this.tags, ...type]);
    expect(frame.subarray(0, head.length)).toEqual(head);
    const packet = frame.subarray(head.length);
    expect(checksumOk(packet)).toBe(true);
    return packet;
  }

  private frame(to: number[], from: number[], s: Segment): Buffer {
    const type = s.family === 4 ? [0x08, 0] : [0x86, 0xdd];
    return Buffer.concat([this.head, Buffer.from([...to, ...from, ...this.tags, ...type]), build(s)]);
  }
}

let open: Bench[] = [];
function bench(wrap?: Wrap): Bench {
  const t = new Bench(wrap);
  open.push(t);
  return t;
}

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  for (const { netdev } of open) netdev.close();
  open = [];
  jest.useRealTimers();
});

const WRAPS: [string, Wrap][] = [
  ['plain', {}],
  ['802.1Q', { tags: [0x81, 0, 0x60, 5] }],
  ['a tag that gives a priority alone', { tags: [0x81, 0, 0x60, 0] }],
  ['802.1ad in front of 802.1Q', { tags: [0x88, 0xa8, 0, 9, 0x81, 0, 0, 5] }],
  ['a virtio-net header and a tag', { vnetBytes: 12, tags: [0x81, 0, 0, 5] }],
];

describe.each(WRAPS)('%s', (_name, wrap) => {
  test.each([4, 6] as const)(
    'IPv%i: the peer is told the acknowledgement and the window, and asked',
    async (family) => {
      const t = bench(wrap);
      t.opened(40000, family);
      const said = await t.saidToHost(() => expect(t.netdev.failover()).toBe(true));
      // The peer's echo of 70 is newer than what the guest has said.
      const common = { ack: CLIENT_ISN + 11, flags: 0x10, ts: [PVM_TS + 70, 901], sack: [], data: '' };
      expect(said.map((frame) => read(t.inner(frame, family)))).toMatchObject([
        { ...common, seq: w(PVM_ISN + 1) },
        { ...common, seq: w(PVM_ISN) },
      ]);
      for (const frame of said) {
        const packet = t.inner(frame, family);
        expect(packet.readUInt16BE((family === 4 ? 20 : 40) + 14)).toBe(321);
      }
      // By the first and only.
      expect(await t.saidToHost(() => expect(t.netdev.failover()).toBe(false))).toEqual([]);
      t.svm({ family, seq: SVM_ISN + 1, ack: CLIENT_ISN + 11, ts: [SVM_TS + 2, 901] });
      expect(read(t.inner(t.host.frames.at(-1)!, family)).ts![0]).toBeGreaterThanOrEqual(PVM_TS + 70);
    },
  );
});

test('before a failover nothing is said, whatever comes and goes', async () => {
  const t = bench();
  t.opened();
  const said = await t.saidToHost(() => {
    t.netdev.checkpoint();
    t.host.hangUp();
    t.host.connect();
  });
  expect(said).toEqual([]);
});

test('nor in frames whose tags nobody has kept', async () => {
  const t = bench({ tags: [0x88, 0xa8, 0, 9, 0x81, 0, 0, 5, 0x81, 0, 0, 6] });
  t.opened();
  expect(await t.saidToHost(() => t.netdev.failover())).toEqual([]);
});

test('a host port that is given to its network later hears it then, and at each new place again', async () => {
  const t = bench();
  t.opened();
  t.host.hangUp();
  expect(await t.saidToHost(() => t.netdev.failover())).toEqual([]);
  expect(await t.saidToHost(() => t.host.connect())).toHaveLength(2);
  const again = await t.saidToHost(() => {
    t.host.hangUp();
    t.host.connect();
  });
  expect(again).toHaveLength(2);
  // Not for ever: who has waited for a minute has gone on by himself.
  await jest.advanceTimersByTimeAsync(60_000);
  expect(await t.saidToHost(() => t.host.connect())).toEqual([]);
});

test('many are told some at a time', async () => {
  const t = bench();
  const connections = 300;
  for (let i = 0; i < connections; i++) t.opened(41000 + i);
  const before = t.host.flushed.length;
  expect(await t.saidToHost(() => t.netdev.failover())).toHaveLength(2 * connections);
  const turns = t.host.flushed.slice(before).map((group) => group.length);
  expect(Math.max(...turns)).toBe(128);
  const told = t.host.flushed
    .slice(before)
    .flat()
    .map((frame) => t.inner(frame).readUInt16BE(20 + 2));
  expect(new Set(told).size).toBe(connections);
});

test('while the guest has not shown its numbers it alone is spoken to; then they are the right ones', async () => {
  const t = bench();
  t.opened();
  // As by QMP: the guest has stopped, and goes on without a primary.
  t.netdev.holdGuest();
  const before = t.guest.frames.length;
  t.netdev.failover();
  const question = t.guest.frames.slice(before);
  expect(question.map((frame) => read(frame.subarray(14)).ack)).toHaveLength(1);
  await jest.advanceTimersByTimeAsync(10);
  const earlier = t.host.frames.length;
  // It lives in its own numbers: the checkpoint has not come about.
  const said = await t.saidToHost(() => {
    t.netdev.resumeGuest();
    t.svm({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 11, ts: [SVM_TS + 5, 901] });
  });
  expect(t.host.frames.length - earlier).toBe(said.length);
  expect(said.map((frame) => read(t.inner(frame)))).toMatchObject([
    { seq: w(PVM_ISN + 1), ts: [PVM_TS + 70, 901] },
    { seq: w(PVM_ISN + 1), ack: CLIENT_ISN + 11 },
    { seq: w(PVM_ISN), ack: CLIENT_ISN + 11 },
  ]);
});
