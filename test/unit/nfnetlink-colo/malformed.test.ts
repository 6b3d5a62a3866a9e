// Bytes that nobody should send: EINVAL for the sender, a counter, and nothing for anybody else.
import fc from 'fast-check';
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation1, generation2, own, readDatagram } from '../../../src/nfnetlink-colo/client';
import { MAX_MESSAGES_PER_DATAGRAM, MAX_REQUEST_BYTES } from '../../../src/nfnetlink-colo/limits';
import { Bench, PRIMARY_1, PRIMARY_2, SECONDARY_1 } from './harness';

const { PRIMARY, SECONDARY } = ColoMode;
const EINVAL = -22;
const PID = 4242;
const CHECKPOINT = generation2.checkpoint(PRIMARY, { pid: PID });

function held(): Bench {
  const bench = new Bench();
  bench.ask(bench.port(PID), generation2.init(PRIMARY, { pid: PID }));
  bench.daemon.take();
  return bench;
}

test.each([
  ['nothing of a header but a byte', '01'],
  ['15 bytes', '100000001200010000000000010000'],
  ['a length shorter than a header', '0f000000 1200 0100 00000000 01000000'],
  ['a length of 0', '00000000 1200 0100 00000000 01000000'],
  ['a length longer than the datagram', '11000000 1200 0100 00000000 01000000'],
  ['the longest length', 'ffffffff 1200 0100 00000000 01000000'],
  ['a negative length', '00000080 1200 0100 00000000 01000000'],
])('%s', (_name, bytes) => {
  const bench = held();
  expect(bench.result(bench.port(1), bytes)).toBe(EINVAL);
  expect(bench.channel.counters.get('malformed')).toBe(1);
  expect(bench.daemon.take()).toEqual([]);
});

test('an empty datagram is nothing', () => {
  const bench = held();
  expect(bench.say(bench.port(1), '')).toEqual([]);
});

test('good messages before a broken one are done, and the broken one is answered', () => {
  const bench = held();
  const bytes = Buffer.concat([CHECKPOINT, CHECKPOINT, Buffer.from('ffffffff01', 'hex')]);
  expect(bench.result(bench.port(PID), bytes)).toBe(EINVAL);
  expect(bench.daemon.take()).toEqual(['checkpoint 1', 'checkpoint 1']);
});

test('a broken message inside an honest frame does not hide the next', () => {
  const bench = held();
  const badMode = '1c000000 010c 0100 00000000 92100000 00000001 0500 0100 07 000000'.replaceAll(' ', '');
  const bytes = Buffer.concat([Buffer.from(badMode, 'hex'), CHECKPOINT]);
  expect(bench.result(bench.port(PID), bytes)).toBe(EINVAL);
  expect(bench.daemon.take()).toEqual(['checkpoint 1']);
});

test('several messages are answered one by one, each with its own number', () => {
  const bench = held();
  const bytes = Buffer.concat(
    [1, 2, 3].map((seq) => generation2.checkpoint(PRIMARY, { pid: PID, ack: seq !== 2, seq })),
  );
  const events = bench.ask(bench.port(PID), bytes);
  expect(events).toMatchObject([
    { kind: 'result', result: 0, requestSeq: 1 },
    { kind: 'result', result: 0, requestSeq: 3 },
  ]);
  expect(bench.daemon.take()).toHaveLength(3);
});

test('messages in one datagram are bounded', () => {
  const bench = held();
  const bytes = Buffer.concat(new Array(MAX_MESSAGES_PER_DATAGRAM + 5).fill(CHECKPOINT));
  expect(bench.result(bench.port(PID), bytes)).toBe(EINVAL);
  expect(bench.daemon.take()).toHaveLength(MAX_MESSAGES_PER_DATAGRAM);
});

test('a datagram that is too long is not read at all', () => {
  const bench = held();
  const bytes = Buffer.alloc(MAX_REQUEST_BYTES + 4);
  bytes.set(CHECKPOINT);
  expect(bench.result(bench.port(PID), bytes)).toBe(EINVAL);
  expect(bench.daemon.take()).toEqual([]);
});

test('a long message is echoed by its header only, and marked so', () => {
  const bench = held();
  const bytes = Buffer.alloc(8000);
  bytes.set(generation1.checkpoint({ pid: 1 }));
  bytes.writeUInt32LE(8000, 0);
  bytes.writeUInt16LE(0x0b01, 4);
  const [answer] = bench.say(bench.port(PID), bytes);
  expect(answer).toHaveLength(36);
  expect(answer!.readUInt16LE(6)).toBe(0x100);
});

test('answers, errors above all, are never answered: two daemons cannot keep each other busy', () => {
  const bench = held();
  const other = held();
  const sender = bench.port(9);
  for (const bytes of ['ffffffff', generation1.init({ pid: 9 }), generation2.checkpoint(SECONDARY, { pid: PID })]) {
    for (const answer of other.say(sender, bytes)) expect(bench.say(sender, answer)).toEqual([]);
  }
  other.channel.notify(1);
  const notice = other.sent.at(-1)!.bytes;
  expect(bench.say(sender, notice)).toEqual([]);
  expect(bench.channel.counters.get('ignored')).toBe(4);
  // Unless what is no request asks for an answer.
  expect(bench.result(sender, '10000000 1200 0400 00000000 01000000')).toBe(EINVAL);
});

// Random conversations, well-formed, bent, and pure noise.

const wellFormed = fc.oneof(
  fc
    .record({
      pid: fc.constantFrom(0, 1, 2, PID, 5000),
      ack: fc.boolean(),
      kind: fc.constantFrom('init', 'checkpoint', 'failover', 'reset', 'query'),
    })
    .map(({ kind, pid, ack }) => generation1[kind as keyof typeof generation1]({ pid, ack })),
  fc
    .record({
      pid: fc.constantFrom(0, 1, 2, PID, 5000),
      ack: fc.boolean(),
      mode: fc.constantFrom(0, 1, 2),
      detached: fc.boolean(),
    })
    .map(({ mode, ...o }) => generation2.init(mode as ColoMode, o)),
  fc
    .record({
      pid: fc.constantFrom(0, 1, 2, PID),
      ack: fc.boolean(),
      mode: fc.constantFrom(0, 1, 2),
      kind: fc.constantFrom('checkpoint', 'failover', 'reset'),
    })
    .map(({ kind, mode, ...o }) => generation2[kind as 'reset'](mode as ColoMode, o)),
  fc
    .record({
      node: fc.constantFrom(undefined, 0, 1, 2, 77),
      kind: fc.constantFrom('status', 'stats', 'release', 'leave', 'bypassList', 'bypassFlush'),
    })
    .map(({ kind, node }) => own[kind as 'status']({ node })),
  fc
    .record({
      node: fc.constantFrom(undefined, 1),
      rule: fc.dictionary(fc.string(), fc.jsonValue() as fc.Arbitrary<unknown>),
    })
    .map(({ node, rule }) => own.bypassAdd(rule, { node })),
);
const bent = fc
  .tuple(
    wellFormed,
    fc.array(fc.tuple(fc.nat(80), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 }),
    fc.nat(80),
  )
  .map(([bytes, changes, keep]) => {
    const copy = Buffer.from(bytes);
    for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
    return keep < copy.length && keep % 3 === 0 ? copy.subarray(0, keep) : copy;
  });
const datagram = fc.oneof(
  wellFormed,
  bent,
  fc.uint8Array({ maxLength: 100 }),
  fc.array(fc.oneof(wellFormed, bent), { minLength: 2, maxLength: 5 }).map((parts) => Buffer.concat(parts)),
);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('say' as const), from: fc.nat(5), bytes: datagram }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('tick' as const), ms: fc.constantFrom(100, 1000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), connection: fc.constantFrom(1, 2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('portGone' as const), port: fc.constantFrom(1, PID) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('notify' as const), node: fc.constantFrom(1, 2, 3) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('sending' as const), result: fc.constantFrom(0, 0, -11, -111) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('action' as const), result: fc.constantFrom(0, 0, 0, -5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

test('any conversation: no exception, each answer goes to who asked, success is only told who asked for it, state survives a restart', () => {
  fc.assert(
    fc.property(
      fc.constantFrom([PRIMARY_1], [PRIMARY_1, PRIMARY_2], [SECONDARY_1]),
      fc.array(step, { maxLength: 30 }),
      (nodes, steps) => {
        let bench = new Bench(nodes);
        for (const s of steps) {
          if (s.kind === 'tick') bench.tick(s.ms);
          else if (s.kind === 'close') bench.channel.connectionClosed(s.connection);
          else if (s.kind === 'portGone') bench.ports?.delete(s.port);
          else if (s.kind === 'notify') bench.channel.notify(s.node);
          else if (s.kind === 'sending') bench.sendResult = s.result;
          else if (s.kind === 'action') bench.daemon.result = s.result === 0 ? undefined : { refused: 'failed' };
          else if (s.kind === 'restart') {
            const saved = JSON.stringify(bench.channel.save());
            const next = new Bench(nodes);
            next.ports = bench.ports;
            next.nowMs = bench.nowMs;
            expect(next.channel.resume(JSON.parse(saved), next.nowMs)).toBeUndefined();
            bench = next;
          } else {
            const senders = [
              bench.port(1),
              bench.port(PID),
              bench.unix(1),
              bench.unix(2),
              bench.unix(3, 1000),
              bench.port(7, 65534),
            ];
            const sender = senders[s.from]!;
            bench.daemon.take();
            const events = bench.say(sender, s.bytes).flatMap((answer) => readDatagram(answer));
            const foreign = sender.uid !== 0;
            if (foreign) expect(bench.daemon.take()).toEqual([]);
            for (const event of events) {
              expect(['result', 'part', 'done', 'notice']).toContain(event.kind);
              if (event.kind !== 'result') continue;
              expect(event.result).toBeLessThanOrEqual(0);
              if (foreign) expect(event.result).toBe(-1);
              // Nobody gets an acknowledgement without having asked for one: the echoed header has the flag.
              if (event.result === 0) expect(hasAckFlag(s.bytes, event.requestType)).toBe(true);
            }
            expect(events.filter((e) => e.kind === 'result').length).toBeLessThanOrEqual(
              Math.max(1, Math.ceil(s.bytes.length / 16)),
            );
          }
          for (const { index, claim, mode, failedOver } of bench.channel.table.nodes) {
            if (claim === undefined) expect([mode, bench.channel.table.at(index)!.noticePending]).toEqual([0, false]);
            if (failedOver && claim !== undefined) expect(mode).toBe(SECONDARY);
          }
        }
      },
    ),
    { numRuns: 400 },
  );
});

/** Whether some message of the type that lies in the bytes on a 4-byte boundary has NLM_F_ACK. */
function hasAckFlag(bytes: Uint8Array, type: number): boolean {
  const buf = Buffer.from(bytes);
  for (let at = 0; at + 16 <= buf.length; at += 4) {
    if (buf.readUInt16LE(at + 4) === type && (buf.readUInt16LE(at + 6) & 4) !== 0) return true;
  }
  return false;
}
