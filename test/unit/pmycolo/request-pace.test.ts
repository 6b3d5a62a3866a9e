import { RequestPace, SILENT_START_MS } from '../../../src/pmycolo/request-pace';
import { buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const MIN_MS = 100;
const DUE_MS = 1000 + MIN_MS;

/** Just after a checkpoint at 1000, and the guests differ in a packet of the PVM that comes at `firstMs`. */
function diverged(firstMs: number, minCheckpointIntervalMs = MIN_MS): PrimaryHarness {
  const h = new PrimaryHarness({ minCheckpointIntervalMs });
  h.engine.checkpoint(h.now);
  h.now = firstMs;
  h.p(buildUdp({ payload: 'x' }));
  h.s(buildUdp({ payload: 'y' }));
  return h;
}

function tick(h: PrimaryHarness, now: number): string[] {
  h.now = now;
  h.engine.tick(now);
  return h.requests;
}

describe('the minimum time of the PVM’s running', () => {
  test('nothing is asked for before it has passed since the PVM’s first packet, but the comparison pauses at once', () => {
    const h = diverged(1030);
    expect([h.requests, h.engine.isPaused, h.engine.nextDeadlineMs]).toEqual([[], true, 1130]);
    expect(tick(h, 1129)).toEqual([]);
    const later = h.p(buildUdp({ payload: 'held' }));
    h.s(buildUdp({ payload: 'held' }));
    expect(h.state(later)).toBe('held');
    expect(tick(h, 1130)).toEqual(['payload']);
    expect(h.engine.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
    expect(tick(h, 9000)).toEqual(['payload']);
    expect(h.engine.counters.snapshot().requests_delayed).toBe(1);
  });
  test('it counts from RESUME where that is told', () => {
    const h = new PrimaryHarness({ minCheckpointIntervalMs: MIN_MS });
    h.engine.checkpoint(h.now);
    h.engine.primaryResumed(1010);
    h.now = 1109;
    h.p(buildUdp({ payload: 'x' }));
    h.s(buildUdp({ payload: 'y' }));
    expect(h.requests).toEqual([]);
    expect(tick(h, 1110)).toEqual(['payload']);
  });
  test.each<[string, (h: PrimaryHarness) => void]>([
    ['UDP', (h) => h.p(buildUdp({ payload: 'x' }))],
    ['infrastructure', (h) => h.p(Buffer.from('460000180000000001020000010101010000000094040000', 'hex'))],
    ['one that is cut', (h) => h.engine.primaryOpaque(99, buildUdp({ payload: 'x' }), 0, 29, 29, false, h.now)],
    ['what it cannot read', (h) => h.p(Buffer.from([0x45]))],
  ])('its first packet is any: %s', (_, speak) => {
    const h = new PrimaryHarness({ minCheckpointIntervalMs: MIN_MS });
    h.engine.checkpoint(h.now);
    speak(h);
    h.engine.boundExhausted();
    expect(h.engine.nextDeadlineMs).toBe(DUE_MS);
  });
  test('a PVM that says nothing counts as running after a while; one that speaks then starts no new time', () => {
    const h = new PrimaryHarness({ minCheckpointIntervalMs: MIN_MS });
    h.engine.checkpoint(h.now);
    h.engine.secondaryAddressRequest();
    const due = 1000 + SILENT_START_MS + MIN_MS;
    expect([h.engine.isPaused, h.engine.nextDeadlineMs]).toEqual([false, due]);
    expect(tick(h, due - 1)).toEqual([]);
    h.p(buildUdp({ payload: 'x' }));
    expect(tick(h, due)).toEqual(['secondary_address_request']);
  });
  test('whatever else there is to ask for meanwhile, it is one request, by its first cause', () => {
    const h = diverged(1000);
    h.engine.boundExhausted();
    h.engine.secondaryAddressRequest();
    expect(tick(h, DUE_MS)).toEqual(['payload']);
    expect(tick(h, DUE_MS + 1)).toEqual(['payload']);
  });
  test('an exhausted bound in that time: the packet is dropped, the rest held', () => {
    const h = new PrimaryHarness({ minCheckpointIntervalMs: MIN_MS, limits: { maxHeldPackets: 2 } });
    h.engine.checkpoint(h.now);
    const ids = ['a', 'b', 'c', 'd'].map((payload) => h.p(buildUdp({ payload })));
    expect(ids.map((id) => h.state(id))).toEqual(['held', 'held', 'drop', 'drop']);
    expect([h.requests, h.engine.isPaused]).toEqual([[], true]);
    expect(tick(h, DUE_MS)).toEqual(['bound_exhausted']);
  });
  test('silence is looked for only afterwards', () => {
    const h = new PrimaryHarness({ minCheckpointIntervalMs: MIN_MS, compareTimeoutMs: 20 });
    h.engine.checkpoint(h.now);
    const id = h.p(buildTcp({ flags: 'A', payload: 'x' }));
    tick(h, 1080);
    h.s(buildTcp({ flags: 'A', payload: 'x' }));
    expect([h.state(id), tick(h, 2000)]).toEqual(['accept', []]);
  });
  test('a checkpoint that comes by itself takes the request with it', () => {
    const h = diverged(1000);
    h.engine.checkpoint(1050);
    expect([h.engine.isPaused, tick(h, 5000)]).toEqual([false, []]);
  });
  test('what differed is told as it was, whatever came since', () => {
    const h = diverged(1000);
    h.p(buildUdp({ payload: 'something longer than that' }));
    tick(h, DUE_MS);
    const d = h.engine.difference;
    expect([d.primary!.toString('latin1', 0, 1), d.secondary!.toString('latin1', 0, 1)]).toEqual(['x', 'y']);
  });
  test.each<[string, (h: PrimaryHarness) => void]>([
    ['before the first checkpoint', () => {}],
    [
      'after a new pair',
      (h) => {
        h.engine.checkpoint(h.now);
        h.engine.forgetPair(h.now);
      },
    ],
    [
      'after an unprotected time',
      (h) => {
        h.engine.checkpoint(h.now);
        h.engine.setProtected(false);
        h.engine.setProtected(true);
      },
    ],
  ])('there is none %s', (_, prepare) => {
    const h = new PrimaryHarness({ minCheckpointIntervalMs: MIN_MS });
    prepare(h);
    h.p(buildUdp({ payload: 'x' }));
    h.s(buildUdp({ payload: 'y' }));
    expect(h.requests).toEqual(['payload']);
  });
  test('none is kept when it is 0', () => {
    expect(diverged(1000, 0).requests).toEqual(['payload']);
  });
  test('an unprotected engine wants no call', () => {
    const h = diverged(1000);
    h.engine.releaseAll(h.now);
    h.engine.setProtected(false);
    expect(h.engine.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
    expect(tick(h, 5000)).toEqual([]);
  });
});

test('a late RESUME never puts the time off', () => {
  const pace = new RequestPace(MIN_MS);
  pace.checkpoint(0);
  pace.primaryRuns(SILENT_START_MS + 500);
  expect(pace.opensMs).toBe(SILENT_START_MS + MIN_MS);
});
