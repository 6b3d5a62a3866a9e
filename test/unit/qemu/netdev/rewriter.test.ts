import { OffsetTable } from '../../../../src/conntrack/offset-table';
import { FilterChain } from '../../../../src/qemu/netdev/filter-chain';
import { RewriterFilter } from '../../../../src/qemu/netdev/filter-rewriter';
import { SecondaryEngine } from '../../../../src/seccolo/engine';
import { FakeClock } from '../../../lib/fake-clock';
import { CLIENT_ISN, GUEST, OFF, PEER, PVM_ISN, PVM_TS, SVM_ISN, SVM_TS } from '../../seccolo/bench';
import { build, checksumOk, read, type Segment, segment } from '../../seccolo/wire';

const w = (n: number) => n >>> 0;
const MACS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

interface Wrap {
  tags?: number[][];
  /** A virtio-net header of that size before the frame. */
  vnetBytes?: number;
  padding?: number;
}

/** A chain with one rewriter between two ports; segments go in as frames, and come out as what they hold. */
class Bench {
  readonly time = new FakeClock();
  readonly said: string[] = [];
  readonly engine: SecondaryEngine;
  out: Buffer | undefined;

  constructor(capacity = 16, vnetBytes = 0) {
    const offsets = new Uint8Array(OffsetTable.bytesFor(capacity));
    this.engine = new SecondaryEngine({ mode: 'always', offsets, seed: [1, 2], nowMs: this.time.nowMs() });
    const take = (buf: Buffer, off: number, len: number) => {
      this.out = Buffer.from(buf.subarray(off, off + len));
    };
    this.chain = new FilterChain(take, take);
    const say = (_fields: unknown, text: string): void => void this.said.push(text);
    this.filter = new RewriterFilter('rew0', 'all', this.engine, {
      clock: this.time,
      log: { info: say, warn: say, error: say },
      vnetBytes,
      toGuest: (buf, off, len) => void this.toGuest.push(Buffer.from(buf.subarray(off, off + len))),
      drainGuest: () => void this.said.push('read guest'),
      checkpointed: () => void this.said.push('checkpointed'),
    });
    this.chain.add(this.filter);
  }
  readonly filter: RewriterFilter;
  /** Frames that the filter brought to the guest itself. */
  readonly toGuest: Buffer[] = [];
  readonly chain: FilterChain;

  peer(over: Partial<Segment>, wrap: Wrap = {}) {
    return this.run(segment({ src: PEER, dst: GUEST, sport: 40000, dport: 80, ...over }), wrap, true);
  }

  guest(over: Partial<Segment>, wrap: Wrap = {}) {
    return this.run(segment({ src: GUEST, dst: PEER, sport: 80, dport: 40000, ...over }), wrap, false);
  }

  /** Bytes as they are; undefined when they did not come out. */
  raw(frame: Buffer, fromPeer: boolean, vnetBytes = 0): Buffer | undefined {
    const buf = Buffer.alloc(frame.length + 10, 0xa5);
    frame.copy(buf, 5);
    this.out = undefined;
    this.time.run(1);
    if (fromPeer) this.chain.fromHost(buf, 5, frame.length, vnetBytes);
    else this.chain.fromGuest(buf, 5, frame.length, vnetBytes);
    expect([...buf.subarray(0, 5), ...buf.subarray(-5)]).toEqual(new Array(10).fill(0xa5));
    return this.out;
  }

  private run(s: Segment, { tags = [], vnetBytes = 0, padding = 0 }: Wrap, fromPeer: boolean) {
    const packet = build(s);
    const type = s.family === 4 ? [0x08, 0x00] : [0x86, 0xdd];
    const vnet = Buffer.alloc(vnetBytes);
    if (s.partial) vnet[0] = 1;
    const head = Buffer.from([...vnet, ...MACS, ...tags.flat(), ...type]);
    const tail = Buffer.alloc(padding, 0x77);
    const out = this.raw(Buffer.concat([head, packet, tail]), fromPeer, vnetBytes)!;
    expect(out.subarray(0, head.length).equals(head)).toBe(true);
    expect(out.subarray(out.length - padding).equals(tail)).toBe(true);
    const inner = out.subarray(head.length, out.length - padding);
    if (s.partial) expect(read(inner).checksum).toBe(read(packet).checksum);
    else expect(checksumOk(inner)).toBe(true);
    return read(inner);
  }

  clientOpens(over: Partial<Segment> = {}, wrap: Wrap = {}): void {
    this.peer({ flags: 'S', seq: CLIENT_ISN, ts: [900, 0], wscale: 7, ...over }, wrap);
    this.guest(
      { flags: 'SA', seq: SVM_ISN, ack: CLIENT_ISN + 1, ts: [SVM_TS, 900], wscale: 7, window: 0xffff, ...over },
      wrap,
    );
    this.peer({ seq: CLIENT_ISN + 1, ack: PVM_ISN + 1, ts: [901, PVM_TS], ...over }, wrap);
    this.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [SVM_TS + 1, 901], ...over }, wrap);
  }
}

const DOT1Q = (vid: number) => [0x81, 0x00, vid >>> 8, vid & 255];
const DOT1AD = (vid: number) => [0x88, 0xa8, vid >>> 8, vid & 255];

const WRAPS: [string, Wrap][] = [
  ['plain', {}],
  ['802.1Q', { tags: [DOT1Q(5)] }],
  ['802.1ad in front of 802.1Q', { tags: [DOT1AD(9), DOT1Q(5)] }],
  ['virtio-net header of 10', { vnetBytes: 10 }],
  ['virtio-net header of 12, a tag and padding', { vnetBytes: 12, tags: [DOT1Q(5)], padding: 6 }],
  ['virtio-net header of 20', { vnetBytes: 20 }],
];

describe.each(WRAPS)('%s', (_name, wrap) => {
  describe.each([4, 6] as const)('IPv%i', (family) => {
    test('a connection that a client opened: numbers, SACK edges and timestamps, both ways', () => {
      const t = new Bench();
      t.clientOpens({ family }, wrap);
      const up = t.peer(
        {
          family,
          seq: CLIENT_ISN + 1,
          ack: w(PVM_ISN + 100),
          ts: [950, PVM_TS + 9],
          sack: [[w(PVM_ISN + 200), w(PVM_ISN + 300)]],
          data: 'x',
        },
        wrap,
      );
      expect([up.seq, up.ack, up.ts, up.sack]).toEqual([
        CLIENT_ISN + 1,
        w(SVM_ISN + 100),
        [950, w(SVM_TS + 9)],
        [[SVM_ISN + 200, SVM_ISN + 300]],
      ]);
      const down = t.guest(
        { family, seq: SVM_ISN + 1, ack: CLIENT_ISN + 2, ts: [w(SVM_TS + 20), 950], data: 'answer' },
        wrap,
      );
      // Before any failover: the comparison at the other end wants the primary's numbers.
      expect([down.seq, down.ack, down.ts, down.data]).toEqual([
        w(PVM_ISN + 1),
        CLIENT_ISN + 2,
        [PVM_TS + 20, 950],
        'answer',
      ]);
    });

    test('a connection that the guest opened', () => {
      const t = new Bench();
      const out = { family, sport: 50000, dport: 443 };
      const back = { family, sport: 443, dport: 50000 };
      t.guest({ ...out, flags: 'S', seq: SVM_ISN, ts: [SVM_TS, 0] }, wrap);
      const answer = t.peer({ ...back, flags: 'SA', seq: 31_000, ack: w(PVM_ISN + 1), ts: [700, PVM_TS] }, wrap);
      expect([answer.ack, answer.ts]).toEqual([SVM_ISN + 1, [700, SVM_TS]]);
      expect(t.guest({ ...out, seq: SVM_ISN + 1, ack: 31_001, data: 'GET' }, wrap).seq).toBe(w(PVM_ISN + 1));
    });
  });
});

test('a partial checksum stays partial, a whole one is mended', () => {
  const t = new Bench();
  t.clientOpens();
  const out = t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, data: 'big', partial: true }, { vnetBytes: 12 });
  expect(out.seq).toBe(w(PVM_ISN + 1)); // and run() has looked at the checksum
});

test('the same addresses and ports in another VLAN are another connection', () => {
  const t = new Bench();
  t.clientOpens({}, { tags: [DOT1Q(5)] });
  const ack = { seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) };
  expect(t.peer(ack).ack).toBe(w(PVM_ISN + 1));
  expect(t.peer(ack, { tags: [DOT1Q(6)] }).ack).toBe(w(PVM_ISN + 1));
  expect(t.peer(ack, { tags: [DOT1AD(5), DOT1Q(5)] }).ack).toBe(w(PVM_ISN + 1));
  expect(t.peer(ack, { tags: [DOT1Q(0)] }).ack).toBe(w(PVM_ISN + 1));
  expect(t.peer(ack, { tags: [DOT1Q(5)] }).ack).toBe(SVM_ISN + 1);
  t.clientOpens();
  expect(t.peer(ack, { tags: [DOT1Q(0)] }).ack).toBe(SVM_ISN + 1); // VLAN 0 is no VLAN
});

test('and so they are in any other pair of VLANs', () => {
  const t = new Bench();
  const ack = { seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) };
  t.clientOpens({}, { tags: [DOT1AD(1), DOT1Q(5)] });
  for (let outer = 2; outer < 4096; outer++) {
    expect(t.peer(ack, { tags: [DOT1AD(outer), DOT1Q(5)] }).ack).toBe(w(PVM_ISN + 1));
  }
  expect(t.peer(ack, { tags: [DOT1AD(1), DOT1Q(5)] }).ack).toBe(SVM_ISN + 1);
});

test('a checkpoint voids the offsets, a failover keeps those in use', () => {
  const t = new Bench();
  t.clientOpens();
  t.filter.node.checkpoint();
  expect(t.said).toEqual(['read guest', 'checkpointed']);
  expect(t.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) }).ack).toBe(w(PVM_ISN + 1));
  expect(t.guest({ seq: w(PVM_ISN + 1), ack: CLIENT_ISN + 1, data: 'x' }).seq).toBe(w(PVM_ISN + 1));
  t.clientOpens({ sport: 40001, dport: 80 }, {});
  const u = new Bench();
  u.clientOpens();
  u.filter.node.failover();
  expect(u.peer({ seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1) }).ack).toBe(SVM_ISN + 1);
  expect(u.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, data: 'x' }).seq).toBe(w(SVM_ISN + 1 + OFF));
  // A new connection is the guest's own.
  u.guest({ dport: 41000, flags: 'SA', seq: 5, ack: 1 });
  u.peer({ sport: 41000, seq: 1, ack: 6 });
  expect(u.guest({ dport: 41000, seq: 6, ack: 1, data: 'own' }).seq).toBe(6);
});

test.each([0, 12])(
  'after a failover in doubt the guest is asked, and what came for it waits for the answer; virtio-net header %i',
  (vnetBytes) => {
    const t = new Bench(16, vnetBytes);
    t.clientOpens({}, { vnetBytes });
    t.filter.node.checkpoint();
    t.filter.node.failover();
    expect(t.toGuest).toHaveLength(1);
    const question = t.toGuest.pop()!;
    expect(question.subarray(vnetBytes, vnetBytes + 12)).toEqual(
      Buffer.from([7, 8, 9, 10, 11, 12, 7, 8, 9, 10, 11, 12]),
    );
    expect(checksumOk(question.subarray(vnetBytes + 14))).toBe(true);
    expect(read(question.subarray(vnetBytes + 14))).toMatchObject({
      flags: 0x10,
      seq: w(CLIENT_ISN + 1 - (1 << 20)),
      data: '',
    });
    const packet = build(
      segment({ src: PEER, dst: GUEST, sport: 40000, dport: 80, seq: CLIENT_ISN + 1, ack: w(PVM_ISN + 1), data: 'x' }),
    );
    const frame = Buffer.concat([Buffer.alloc(vnetBytes), Buffer.from([...MACS, 8, 0]), packet]);
    expect(t.raw(frame, true, vnetBytes)).toBeUndefined();
    expect(t.guest({ seq: SVM_ISN + 1, ack: CLIENT_ISN + 1, ts: [SVM_TS + 5, 901] }, { vnetBytes }).seq).toBe(
      w(PVM_ISN + 1),
    );
    expect(t.toGuest.map((one) => read(one.subarray(vnetBytes + 14)))).toMatchObject([{ ack: SVM_ISN + 1, data: 'x' }]);
    expect(t.peer({ seq: CLIENT_ISN + 2, ack: w(PVM_ISN + 1) }).ack).toBe(SVM_ISN + 1);
    t.filter.node.close();
  },
);

describe('a full table', () => {
  const client = (n: number) => ({ at: { sport: 1000 + n }, from: { dport: 1000 + n } });
  const open = (t: Bench, n: number) => {
    const { at, from } = client(n);
    t.guest({ ...from, flags: 'SA', seq: 0, ack: 1, window: 500 });
    t.peer({ ...at, seq: 1, ack: 1000 + n + 1 });
    t.guest({ ...from, seq: 1, ack: 1 });
  };
  const lives = (t: Bench, n: number) => t.peer({ ...client(n).at, seq: 1, ack: 1000 + n + 1 }).ack === 1;

  test('costs connections that have ended, the oldest first, never a live one', () => {
    const t = new Bench(4);
    for (let n = 0; n < 4; n++) open(t, n);
    t.guest({ ...client(2).from, flags: 'RA', seq: 1, ack: 1 });
    t.guest({ ...client(1).from, flags: 'RA', seq: 1, ack: 1 });
    open(t, 4);
    expect([0, 1, 2, 3, 4].map((n) => lives(t, n))).toEqual([true, true, false, true, true]);
    open(t, 5);
    open(t, 6); // no room: the newest goes without
    expect([0, 1, 3, 4, 5, 6].map((n) => lives(t, n))).toEqual([true, false, true, true, true, false]);
    expect(t.engine.counters.snapshot()).toMatchObject({ flows_evicted: 2, flow_table_full: 2 });
  });

  test('a connection that ended by FINs goes by itself', () => {
    const t = new Bench(4);
    open(t, 0);
    open(t, 1);
    t.guest({ ...client(1).from, flags: 'FA', seq: 1, ack: 1 });
    t.peer({ ...client(1).at, flags: 'FA', seq: 1, ack: 1003 });
    t.guest({ ...client(1).from, seq: 2, ack: 2 });
    for (let s = 0; s < 130; s++) {
      t.time.run(1000);
      t.filter.node.tick();
    }
    expect([t.engine.status().flows, lives(t, 0)]).toEqual([1, true]);
  });
});

describe('other frames', () => {
  const arp = Buffer.from([...MACS, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...new Array(20).fill(3)]);
  const llc = Buffer.from([...MACS, 0, 3, 0x42, 0x42, 3]);

  test('what is not IP passes as it is, and so does what is too short for anything', () => {
    const t = new Bench();
    for (const frame of [arp, llc, Buffer.from('Hello!!\0'), Buffer.from([...MACS, 0x81, 0])]) {
      expect(t.raw(frame, true)).toEqual(frame);
      expect(t.raw(frame, false)).toEqual(frame);
    }
  });

  test('a cut IP packet: passed to the guest, whose stack judges it, and dropped from it', () => {
    const t = new Bench();
    const cut = Buffer.from([...MACS, 8, 0, 0x45, 0, 0, 60, 1, 2]);
    expect(t.raw(cut, true)).toEqual(cut);
    expect(t.raw(cut, false)).toBeUndefined();
    expect(t.engine.counters.snapshot()).toMatchObject({ peer_malformed: 1, guest_malformed: 1 });
  });

  test('fragments: the first is translated where it has the TCP header, the others pass', () => {
    const t = new Bench();
    t.clientOpens();
    const whole = build(
      segment({
        src: GUEST,
        dst: PEER,
        sport: 80,
        dport: 40000,
        seq: SVM_ISN + 1,
        ack: CLIENT_ISN + 1,
        data: 'abcdefgh',
      }),
    );
    const first = Buffer.concat([Buffer.from([...MACS, 8, 0]), whole]);
    first[14 + 6] = 0x20; // more to come
    const later = Buffer.from(first);
    later[14 + 6] = 0x20;
    later[14 + 7] = 1;
    expect(t.raw(first, false)!.readUInt32BE(14 + 24)).toBe(w(PVM_ISN + 1));
    expect(t.raw(later, false)).toEqual(later);
  });
});
