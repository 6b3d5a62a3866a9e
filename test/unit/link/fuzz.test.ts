// Bytes that nobody should send, for some seconds: a session hands on whole records in order up to the first that is
// wrong, then it ends, once, and takes nothing more.

import fc from 'fast-check';
import { encodeHello, MAX_HELLO_BYTES, parseHello } from '../../../src/link/hello';
import { MAX_RECORD_BYTES, RECORD_HEADER_BYTES, RecordType } from '../../../src/link/record';
import { FakeNode, hello, record, session } from './parts';

const SECONDS = Number(process.env.COLO_FUZZ_S ?? 10);

const FOR_PRIMARY: number[] = [
  RecordType.GUEST_FRAME,
  RecordType.GUEST_DIGEST,
  RecordType.MARK,
  RecordType.LOST,
  RecordType.CHECKPOINT_REQUEST,
  RecordType.FETCHED,
  RecordType.GONE,
  RecordType.PAIR,
  RecordType.IS,
];

/** Written again, as plainly as may be: what a primary is told by these bytes, and whether it then hangs up. */
function model(bytes: Buffer): { told: string[]; broken: boolean; up: boolean } {
  const told: string[] = [];
  let up = false;
  for (let at = 0; bytes.length - at >= RECORD_HEADER_BYTES; ) {
    const length = bytes.readUInt32BE(at);
    const type = bytes[at + 4]!;
    const flags = bytes[at + 5]!;
    if (!up && (length > MAX_HELLO_BYTES || (type !== 1 && type !== 2))) return { told, broken: true, up };
    if (up) {
      if (length > MAX_RECORD_BYTES || bytes.readUInt16BE(at + 6) !== 0 || flags > 1) return { told, broken: true, up };
      if (![3, 4, ...FOR_PRIMARY].includes(type) && flags === 0) return { told, broken: true, up };
    }
    const end = at + RECORD_HEADER_BYTES + length;
    if (end > bytes.length) break;
    const off = at + RECORD_HEADER_BYTES;
    if (!up) {
      if (type === 2 || typeof parseHello(bytes, off, length) === 'string') return { told, broken: true, up };
      up = true;
    } else if (FOR_PRIMARY.includes(type)) {
      told.push(`${type} ${bytes.readUInt32BE(at + 8)} ${bytes.toString('latin1', off, end)}`);
    }
    at = end;
  }
  return { told, broken: false, up };
}

const types = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...FOR_PRIMARY, RecordType.BEAT, RecordType.BEAT_ANSWER) },
  { weight: 1, arbitrary: fc.nat(255) },
);
const anyRecord = fc
  .tuple(types, fc.uint8Array({ maxLength: 40 }), fc.nat(0xffffffff), fc.constantFrom(0, 0, 0, 1), fc.nat(400))
  .map(([type, payload, epoch, flags, odd]) => {
    const made = record(type, payload, epoch, flags);
    // Of the header, from the flags on.
    if (odd < 24) made[5 + (odd >>> 3)]! ^= 1 << (odd & 7);
    return made;
  });
const greeting = fc.constantFrom(
  record(RecordType.HELLO, encodeHello(hello())),
  record(RecordType.HELLO, encodeHello(hello({ features: ['a'] }))),
  record(RecordType.HELLO, encodeHello(hello({ vm: '' }))),
  record(RecordType.REFUSE, 'vm: no'),
);
/** A place, and what stands there then. */
const damage = fc.record({ at: fc.nat(2000), cut: fc.nat(20), bytes: fc.uint8Array({ maxLength: 12 }) });
const stream = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: greeting }, { weight: 1, arbitrary: anyRecord }),
    fc.array(anyRecord, { maxLength: 12 }),
    fc.oneof(fc.constant([]), fc.array(damage, { maxLength: 3 })),
  )
  .map(([first, rest, damages]) => {
    let bytes = Buffer.concat([first, ...rest]);
    for (const { at, cut, bytes: put } of damages) {
      const from = at % (bytes.length + 1);
      bytes = Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + cut)]);
    }
    return bytes;
  });
const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 8 });
/** Records that the node takes before it says no, again and again. */
const takes = fc.constantFrom(1, 2, 5, Number.POSITIVE_INFINITY);

test(
  'a session against its model',
  () => {
    let ups = 0;
    let breaks = 0;
    const property = fc.property(stream, cuts, takes, (bytes, pieces, most) => {
      const node = new FakeNode();
      const t = session({ onHello: (s) => s.accept('primary', node, t.counters, hello({ role: 'primary' })) });
      node.takes = most;
      t.session.open(t.transport);
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const to = at + pieces[i % pieces.length]!;
        t.wire.bring(bytes.subarray(at, to));
        at = to;
        while (t.transport.paused && t.transport.connected) {
          node.takes = most;
          t.session.resume();
          t.wire.again();
        }
      }
      const { told, broken, up } = model(bytes);
      expect(node.happened.filter((what) => what !== 'batch')).toEqual(told);
      expect([t.transport.connected, t.happened.filter((what) => /^(end|down)/.test(what)).length]).toEqual(
        broken ? [false, 1] : [true, 0],
      );
      if (up) ups++;
      if (broken) breaks++;
    });
    fc.assert(property, { numRuns: 1e9, interruptAfterTimeLimit: SECONDS * 1000 });
    expect(ups).toBeGreaterThan(0);
    expect(breaks).toBeGreaterThan(0);
  },
  (SECONDS + 60) * 1000,
);
