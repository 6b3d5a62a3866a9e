// Connections that are first seen while a checkpoint is awaited: they are only noted and held, but must be placed right.

import { buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

/** A harness whose comparison waits for a checkpoint. */
function paused(): PrimaryHarness {
  const h = new PrimaryHarness();
  h.p(buildUdp({ payload: 'one' }));
  h.s(buildUdp({ payload: 'two' }));
  expect(h.requests).toEqual(['payload']);
  return h;
}

describe('a connection first seen in its middle while a checkpoint is awaited', () => {
  // Above 2^31 a position lies "before" the zero of a fresh record.
  test.each([5000, 0x8000_0000, 0xf000_0000])('at %d: what follows the checkpoint is not covered by it', (seq) => {
    const h = paused();
    const old = h.p(buildTcp({ seq, ack: 9, flags: 'A', payload: 'old' }));
    h.engine.checkpoint(h.now);
    expect(h.state(old)).toBe('accept');
    const fresh = h.p(buildTcp({ seq: (seq + 3) >>> 0, ack: 9, flags: 'A', payload: 'new' }));
    expect(h.state(fresh)).toBe('held');
    h.s(buildTcp({ seq: (seq + 3) >>> 0, ack: 9, flags: 'A', payload: 'new' }));
    expect(h.state(fresh)).toBe('accept');
  });
});
