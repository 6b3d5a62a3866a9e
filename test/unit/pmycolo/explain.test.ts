import {
  describeDifference,
  firstHeld,
  firstPending,
  isMismatched,
  missingBytes,
  secondaryRest,
  streamEnds,
  streamOffset,
  synOffers,
  verifiedRange,
} from '../../../src/pmycolo/explain';
import { buildTcp, buildUdp, type TcpFields } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const ISN = 1000;
const SVM_ISN = 5000;

/** An open connection; bytes are given by their place in the stream. */
function open() {
  const h = new PrimaryHarness();
  h.p(buildTcp({ seq: ISN, ack: 8, flags: 'SA' }));
  h.s(buildTcp({ seq: SVM_ISN, ack: 8, flags: 'SA' }));
  const flow = h.engine.context.flows.next(-1);
  const p = (at: number, f: TcpFields) => h.p(buildTcp({ seq: ISN + 1 + at, ack: 8, flags: 'A', ...f }));
  const s = (at: number, f: TcpFields) => h.s(buildTcp({ seq: SVM_ISN + 1 + at, ack: 8, flags: 'A', ...f }));
  const text = (waiting: { buf: Buffer; at: number; bytes: number } | undefined) =>
    waiting?.buf.toString('latin1', waiting.at, waiting.at + waiting.bytes);
  return { h, engine: h.engine, flow, p, s, text };
}

test('what both have sent is the verified range, and nothing waits', () => {
  const { engine, flow, p, s } = open();
  s(0, { payload: 'abc' });
  p(0, { payload: 'abc' });
  expect(verifiedRange(engine, flow)).toEqual({ isn: ISN, base: ISN + 1, verified: ISN + 4 });
  expect([firstHeld(engine, flow), firstPending(engine, flow, false), secondaryRest(engine, flow)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(missingBytes(engine, flow)).toBe(0);
});

test('bytes of one side, from the first that the other has not sent', () => {
  const { engine, flow, p, s, text } = open();
  s(0, { payload: 'ab' });
  p(0, { payload: 'abcd' });
  const held = firstHeld(engine, flow)!;
  expect([text(held), streamOffset(engine, flow, held.position)]).toEqual(['cd', 2]);
  s(2, { payload: 'cdef' });
  expect(firstHeld(engine, flow)).toBeUndefined();
  expect(secondaryRest(engine, flow)).toBe('bytes');
  expect(text(firstPending(engine, flow, false))).toBe('ef');
});

test('bytes that are missing before the next of either side', () => {
  const { engine, flow, p, s } = open();
  p(5, { payload: 'f' });
  expect(missingBytes(engine, flow)).toBe(5);
  s(3, { payload: 'd' });
  expect(missingBytes(engine, flow)).toBe(3);
});

test('an end that one side alone has sent', () => {
  const { engine, flow, p, s } = open();
  s(0, { flags: 'FA' });
  expect(secondaryRest(engine, flow)).toBe('FIN');
  expect(streamEnds(engine, flow)).toEqual({ primary: undefined, secondary: ISN + 1 });
  p(0, { flags: 'FA' });
  expect(secondaryRest(engine, flow)).toBeUndefined();
  expect(streamEnds(engine, flow)).toEqual({ primary: ISN + 1, secondary: ISN + 1 });
});

test('SYNs that do not belong together, and their offers', () => {
  const h = new PrimaryHarness();
  h.p(buildTcp({ seq: ISN, ack: 8, flags: 'SA', options: [2, 4, 5, 180] }));
  const flow = h.engine.context.flows.next(-1);
  expect(isMismatched(h.engine, flow)).toBe(false);
  const held = firstHeld(h.engine, flow)!;
  expect(held.flags).toBe(0x12);
  h.s(buildTcp({ seq: SVM_ISN, ack: 9, flags: 'SA', options: [2, 4, 1, 0] }));
  expect(isMismatched(h.engine, flow)).toBe(true);
  const { primary, secondary } = synOffers(h.engine, flow);
  expect(primary).not.toBe(secondary);
});

test('datagrams: the first that is held, and the first that is ahead', () => {
  const h = new PrimaryHarness();
  h.p(buildUdp({ payload: 'held' }));
  const flow = h.engine.context.flows.next(-1);
  const held = firstHeld(h.engine, flow)!;
  expect([held.buf.toString('latin1', held.at, held.at + held.bytes), held.position]).toEqual(['held', 0]);
});

test('a difference: its flow, its offset, and the bytes from there on', () => {
  const { engine, p, s } = open();
  expect(describeDifference(engine)).toEqual({});
  let described: unknown;
  // The bytes are valid while the request is made.
  Object.assign(engine.context.actions, {
    requestCheckpoint: () => {
      described = describeDifference(engine);
    },
  });
  s(0, { payload: 'abcd' });
  p(0, { payload: 'abXd' });
  expect(described).toEqual({
    flow: 'tcp 10.0.0.1:80 > 10.0.0.2:40000',
    streamOffset: 2,
    primary: Buffer.from('Xd').toString('hex'),
    secondary: Buffer.from('cd').toString('hex'),
  });
});
