// While a checkpoint is awaited: connections first seen then are only noted and held, but must be placed right; and
// what a silence asked for pauses nothing.

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

describe('a checkpoint that is asked for because a guest is silent', () => {
  const quiet = (word: string) => buildUdp({ payload: word });

  function silent(): { h: PrimaryHarness; id: number } {
    const h = new PrimaryHarness({ compareTimeoutMs: 500 });
    const id = h.p(quiet('one'));
    h.now += 501;
    h.engine.tick(h.now);
    expect([h.requests, h.engine.isPaused, h.engine.awaitsCheckpoint]).toEqual([
      ['timeout_secondary_silent'],
      false,
      true,
    ]);
    return { h, id };
  }

  test('what proves equal before it leaves all the same', () => {
    const { h, id } = silent();
    h.s(quiet('one'));
    expect(h.state(id)).toBe('accept');
    const next = h.p(quiet('two'));
    expect(h.state(next)).toBe('held');
    h.s(quiet('two'));
    expect(h.state(next)).toBe('accept');
  });

  test('a connection gets on, and its beginnings leave', () => {
    const h = new PrimaryHarness({ compareTimeoutMs: 500 });
    const id = h.p(quiet('one'));
    h.p(buildTcp({ flags: 'SA', seq: 100, ack: 1 }));
    h.s(buildTcp({ flags: 'SA', seq: 100, ack: 1 }));
    h.now += 501;
    h.engine.tick(h.now);
    expect(h.requests).toHaveLength(1);
    const data = h.p(buildTcp({ flags: 'A', seq: 101, ack: 1, payload: 'abcd' }));
    h.s(buildTcp({ flags: 'A', seq: 101, ack: 1, payload: 'abcd' }));
    expect([h.state(data), h.state(id)]).toEqual(['accept', 'held']);
  });

  test('a difference pauses the comparison then too, and asks for no second one', () => {
    const { h } = silent();
    h.s(quiet('other'));
    expect([h.requests.length, h.engine.isPaused]).toEqual([1, true]);
    const equal = h.p(quiet('two'));
    h.s(quiet('two'));
    expect(h.state(equal)).toBe('held');
  });

  test('it is asked for once, however long nobody answers, and is over with the checkpoint', () => {
    const { h, id } = silent();
    for (let i = 0; i < 100; i++) {
      h.now += 100;
      h.engine.tick(h.now);
    }
    expect([h.requests.length, h.engine.nextDeadlineMs]).toEqual([1, Number.POSITIVE_INFINITY]);
    h.engine.checkpoint(h.now);
    expect([h.state(id), h.engine.awaitsCheckpoint]).toEqual(['accept', false]);
    h.p(quiet('three'));
    h.now += 501;
    h.engine.tick(h.now);
    expect(h.requests).toHaveLength(2);
  });
});
