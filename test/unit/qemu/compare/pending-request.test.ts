import { PendingRequest } from '../../../../src/qemu/compare/pending-request';

test('a request is due at once when nobody was asked, and again until a checkpoint comes', () => {
  const pending = new PendingRequest();
  expect(pending.isDue(10_000, 1000)).toBe(false);
  pending.awaited = true;
  expect(pending.isDue(0, 1000)).toBe(true);
  pending.asked(500);
  expect([pending.isDue(1499, 1000), pending.isDue(1500, 1000)]).toEqual([false, true]);
  pending.asked(1500);
  expect(pending.isDue(1600, 1000)).toBe(false);
  pending.awaited = false;
  expect(pending.isDue(10_000, 1000)).toBe(false);
});
