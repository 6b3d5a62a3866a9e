import { buildTcp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const PAYLOAD = 60_000;

test('what is repeated from further back than the history reaches has to be said by both again, once', () => {
  const h = new PrimaryHarness({ limits: { logBytes: 64 << 20, maxHeldBytes: 1 << 20, logRecords: 1 << 12 } });
  const segment = (n: number): Buffer => buildTcp({ seq: 1 + n * PAYLOAD, ack: 1, payload: Buffer.alloc(PAYLOAD, n) });
  const say = (from: number, to: number): void => {
    for (let n = from; n < to; n++) {
      h.p(segment(n));
      h.s(segment(n));
    }
    expect(h.engine.heldPackets).toBe(0);
  };
  const syn = buildTcp({ seq: 0, ack: 1, flags: 'SA' });
  h.p(syn);
  h.s(syn);
  say(0, 200);
  expect(h.state(h.p(segment(120)))).toBe('accept');
  const old = h.p(segment(10));
  expect(h.state(old)).toBe('held');
  h.s(segment(10));
  expect(h.state(old)).toBe('accept');
  // The history is longer now.
  say(200, 450);
  expect(h.state(h.p(segment(260)))).toBe('accept');
  expect(h.requests).toEqual([]);
});
