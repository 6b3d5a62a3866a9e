// The checkers themselves: each must speak up for what it is there for, and only then.

import { Ledger } from '../../../src/sim/check/ledger';
import { rewriteFault } from '../../../src/sim/check/rewrite';
import { FakeQueue } from '../../../src/sim/fake-queue';
import { Origin, SimPacket } from '../../../src/sim/packet';
import { Prng } from '../../../src/sim/prng';
import { Scheduler } from '../../../src/sim/scheduler';
import { ACK, buildSegment, FIN, RST, Segment, SYN } from '../../../src/sim/tcp/segment';
import { PROTO_TCP, PROTO_UDP, writeChecksum } from '../../../src/sim/wire';

const PVM = Origin.PVM;
const SVM = Origin.SVM;
const ISN = { [PVM]: 0xfffffffe, [SVM]: 5000, [Origin.CLIENT]: 0 };

interface Fields {
  place?: number;
  data?: string;
  flags?: number;
  ack?: number;
  window?: number;
  key?: string;
  epoch?: number;
  sack?: boolean;
}

/** A segment whose acknowledgement is that of the place `ack`, with a window that is not scaled. */
function segment(origin: Origin, f: Fields): SimPacket {
  const s = new Segment();
  const place = f.place ?? 1;
  const data = Buffer.from(f.data ?? '');
  s.flags = f.flags ?? ACK;
  s.srcPort = 80;
  s.dstPort = 999;
  s.seq = (ISN[origin] + place) >>> 0;
  s.ack = (0xfffffff0 + (f.ack ?? 1)) >>> 0;
  s.window = f.window ?? 100;
  s.payloadBytes = data.length;
  if (f.sack) s.sack.push(1, 5);
  const buf = buildSegment(s, 4, 2, 1, 'linux', 1);
  data.copy(buf, s.payload);
  writeChecksum(buf, 4, PROTO_TCP, false);
  const packet = new SimPacket(buf, 4, PROTO_TCP);
  packet.origin = origin;
  packet.epoch = f.epoch ?? 0;
  packet.key = f.key ?? 'c';
  packet.place = place;
  packet.dataBytes = data.length;
  packet.syn = (s.flags & SYN) !== 0;
  packet.fin = (s.flags & FIN) !== 0;
  packet.rst = (s.flags & RST) !== 0;
  packet.ackPlace = (s.flags & ACK) !== 0 ? (f.ack ?? 1) : -1;
  packet.edgePlace = packet.ackPlace + s.window;
  return packet;
}

class Case {
  readonly broken: string[] = [];
  readonly ledger = new Ledger((rule) => this.broken.push(rule));

  svm(f: Fields): this {
    this.ledger.sent(segment(SVM, f));
    return this;
  }
  pvm(f: Fields): SimPacket {
    const packet = segment(PVM, f);
    this.ledger.sent(packet);
    return packet;
  }
  /** What breaks when this packet of the PVM leaves, with its ACK and window changed if told so. */
  leaves(f: Fields, out: Fields = {}): string[] {
    const packet = this.pvm(f);
    this.broken.length = 0;
    this.ledger.released(packet, segment(PVM, { ...f, ...out }).buf);
    return [...this.broken];
  }
}

const OUTPUT = 'output commit';
const GRANT = 'ack commit';

describe('output commit', () => {
  test('bytes leave when the SVM has produced the same, however cut', () => {
    const c = new Case().svm({ data: 'abc' }).svm({ place: 4, data: 'def' });
    expect(c.leaves({ data: 'ab' })).toEqual([]);
    expect(c.leaves({ place: 3, data: 'cdef' })).toEqual([]);
    expect(c.leaves({ place: 3, data: 'cdefg' })).toEqual([OUTPUT]);
    expect(c.leaves({ place: 2, data: 'bX' })).toEqual([OUTPUT]);
    expect(c.leaves({ place: 7, data: 'g' })).toEqual([OUTPUT]);
  });
  test('another connection proves nothing', () => {
    expect(new Case().svm({ data: 'abc', key: 'd' }).svm({}).leaves({ data: 'abc' })).toEqual([OUTPUT]);
  });
  test('the SYN, the FIN and its place', () => {
    const c = new Case();
    expect(c.svm({ key: 'd' }).leaves({ place: 0, flags: SYN })).toEqual([OUTPUT]);
    expect(c.svm({ place: 0, flags: SYN | ACK }).leaves({ place: 0, flags: SYN | ACK })).toEqual([]);
    c.svm({ data: 'abc' });
    expect(c.leaves({ data: 'abc', flags: ACK | FIN })).toEqual([OUTPUT]);
    c.svm({ place: 4, flags: ACK | FIN });
    expect(c.leaves({ data: 'abc', flags: ACK | FIN })).toEqual([]);
    expect(c.leaves({ data: 'ab', flags: ACK | FIN })).toEqual([OUTPUT]);
  });
  test('resets: the SVM must have sent one, for a refusal that of the same SYN', () => {
    const c = new Case();
    expect(c.leaves({ flags: RST })).toEqual([OUTPUT]);
    expect(c.svm({ flags: RST }).leaves({ flags: RST })).toEqual([]);
    expect(c.leaves({ flags: RST | ACK, key: 's', ack: 5 })).toEqual([OUTPUT]);
    expect(c.svm({ flags: RST | ACK, key: 's', ack: 5 }).leaves({ flags: RST | ACK, key: 's', ack: 5 })).toEqual([]);
    expect(c.leaves({ flags: RST | ACK, key: 's', ack: 6 })).toEqual([OUTPUT]);
  });
  test('datagrams', () => {
    const c = new Case();
    const datagram = (origin: Origin, contents: number): SimPacket => {
      const packet = new SimPacket(Buffer.alloc(28), 4, PROTO_UDP);
      packet.origin = origin;
      packet.contents = contents;
      return packet;
    };
    c.ledger.sent(datagram(SVM, 7));
    c.ledger.released(datagram(PVM, 7), Buffer.alloc(28));
    expect(c.broken).toEqual([]);
    c.ledger.released(datagram(PVM, 8), Buffer.alloc(28));
    expect(c.broken).toEqual([OUTPUT]);
  });
});

describe('a checkpoint', () => {
  test('covers all that the PVM had sent, and voids what the SVM had', () => {
    const c = new Case().svm({ data: 'abcdef' });
    const old = c.pvm({ data: 'abX' });
    c.ledger.cover();
    c.ledger.released(old, old.buf);
    expect(c.leaves({ data: 'abX', epoch: 1 })).toEqual([]);
    expect(c.leaves({ place: 4, data: 'def', epoch: 1 })).toEqual([OUTPUT]);
    c.svm({ place: 4, data: 'def', epoch: 1 });
    expect(c.leaves({ data: 'abXdef', epoch: 1 })).toEqual([]);
  });
  test('covers resets that are said again, and no datagram to come', () => {
    const c = new Case();
    c.pvm({ flags: RST });
    c.ledger.cover();
    expect(c.leaves({ flags: RST, epoch: 1 })).toEqual([]);
  });
});

describe('ack commit', () => {
  test('no acknowledgement above the greatest of the SVM', () => {
    const c = new Case().svm({ ack: 50, window: 200 }).svm({ ack: 40, window: 200 });
    expect(c.leaves({ ack: 50 })).toEqual([]);
    expect(c.leaves({ ack: 51 })).toEqual([GRANT]);
    expect(c.leaves({ ack: 51 }, { ack: 50 })).toEqual([]);
  });
  test('no right edge beyond the greatest of the SVM', () => {
    const c = new Case().svm({ ack: 50, window: 100 });
    expect(c.leaves({ ack: 50, window: 100 })).toEqual([]);
    expect(c.leaves({ ack: 40, window: 110 })).toEqual([]);
    expect(c.leaves({ ack: 50, window: 101 })).toEqual([GRANT]);
    expect(c.leaves({ ack: 50, window: 101 }, { ack: 50, window: 100 })).toEqual([]);
  });
  test('what a checkpoint covers is granted', () => {
    const c = new Case();
    c.pvm({ ack: 70, window: 30 });
    c.ledger.cover();
    expect(c.leaves({ ack: 70, window: 30, epoch: 1 })).toEqual([]);
    expect(c.leaves({ ack: 71, window: 29, epoch: 1 })).toEqual([GRANT]);
  });
  test('no SACK blocks', () => {
    const c = new Case().svm({});
    expect(c.leaves({ sack: true })).toEqual([GRANT]);
  });
  test('nothing is judged while unprotected', () => {
    const c = new Case();
    c.ledger.judging = false;
    expect(c.leaves({ ack: 5, data: 'x' })).toEqual([]);
  });
});

describe('a rewrite', () => {
  const original = segment(PVM, { data: 'abc', ack: 50, sack: true });
  const changed = (change: (buf: Buffer) => void, sum = true): string | null => {
    const out = Buffer.from(original.buf);
    change(out);
    if (sum) writeChecksum(out, 4, PROTO_TCP, false);
    return rewriteFault(original, out, false);
  };

  test('may lower fields and turn SACK into NOPs', () => {
    expect(changed((b) => b.writeUInt32BE(1, 28))).toBeNull();
    expect(changed((b) => b.writeUInt16BE(1, 34))).toBeNull();
    expect(changed((b) => b.fill(1, 42, 52))).toBeNull();
  });
  test('may change nothing else', () => {
    expect(changed((b) => b.writeUInt32BE(1, 24))).toContain('byte 4');
    expect(changed((b) => b.writeUInt16BE(1, 20))).toContain('byte 1');
    expect(changed((b) => b.fill(2, 42, 44))).toContain('TCP header');
    expect(changed((b) => b.write('X', b.length - 1))).toBe('the payload changed');
    expect(changed((b) => b.writeUInt16BE(1, 34), false)).toBe('the checksum is wrong');
    expect(rewriteFault(original, Buffer.concat([original.buf, Buffer.alloc(1)]), false)).toContain('length');
    expect(rewriteFault(original, original.buf.subarray(0, -1), false)).not.toBeNull();
    expect(rewriteFault(original, original.buf, true)).toContain('full');
  });
});

describe('the queue', () => {
  function queue(limit = 10) {
    const broken: string[] = [];
    const scheduler = new Scheduler();
    const q = new FakeQueue('q', limit, 5, new Prng(1), scheduler, (_rule, what) => broken.push(what));
    return { q, broken, run: () => void (scheduler.step() && scheduler.step()) };
  }
  const packet = (): SimPacket => new SimPacket(Buffer.alloc(1), 4, PROTO_UDP);

  test('hands packets over in order, under ids, and takes one verdict for each', () => {
    const { q, broken, run } = queue();
    const seen: number[] = [];
    q.listen((batch) => seen.push(...batch.map(({ id }) => id)));
    q.enqueue(packet());
    q.enqueue(packet());
    run();
    expect(seen).toEqual([1, 2]);
    expect(q.settle(2, 'accepted')).not.toBeNull();
    expect(q.heldPackets).toBe(1);
    expect(q.settle(2, 'dropped')).toBeNull();
    expect(q.settle(7, 'accepted')).toBeNull();
    expect(broken).toEqual(['q: dropped packet 2, which has its verdict', 'q: accepted packet 7, which never was']);
  });
  test('drops what nobody hears, what is too much, and what it holds when the listener dies', () => {
    const { q, broken } = queue(2);
    q.enqueue(packet());
    q.listen(() => {});
    for (let i = 0; i < 3; i++) q.enqueue(packet());
    expect([q.counts.unheard, q.counts.overflow, q.heldPackets]).toEqual([1, 1, 2]);
    q.abandon();
    expect([q.counts.unheard, q.heldPackets]).toEqual([3, 0]);
    q.settle(1, 'accepted');
    expect(broken).toHaveLength(1);
  });
});
