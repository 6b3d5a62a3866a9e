// The made-up frames are what they mean to be: walked in step, equal, released.
import { warmUpFrames } from '../../../../src/qemu/compare/warm-up';

test('all made-up frames leave, in step, and ask for nothing', () => {
  let now = 0;
  const { requests, writtenBytes, counters } = warmUpFrames(() => now++, 200);
  expect(requests).toBe(0);
  expect(counters.primary_frames).toBeGreaterThan(5000);
  expect(counters.secondary_frames).toBe(counters.primary_frames);
  expect(counters.released_frames).toBe(counters.primary_frames);
  expect(writtenBytes).toBeGreaterThan(5_000_000);
});
