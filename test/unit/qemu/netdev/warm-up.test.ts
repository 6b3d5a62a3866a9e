// The made-up frames are what they mean to be: translated both ways, and all of them on to where they go.
import { warmUpNetdev } from '../../../../src/qemu/netdev/warm-up';

test('all made-up frames go through a secondary’s filters, translated', () => {
  let now = 0;
  const { bytesToGuest, bytesToPrimary, counters } = warmUpNetdev(() => now++, 200);
  expect(counters).toMatchObject({ peer_malformed: 0, guest_malformed: 0 });
  expect(counters.checkpoints_done).toBeGreaterThan(0);
  expect(counters.peer_rewritten).toBeGreaterThan(0.5 * counters.peer_packets!);
  expect(counters.guest_rewritten).toBeGreaterThan(0.5 * counters.guest_packets!);
  // 32 segments of 1,400 bytes each way a connection.
  expect(bytesToGuest).toBeGreaterThan(200 * 32 * 1400);
  expect(bytesToPrimary).toBeGreaterThan(200 * 32 * 1400);
});
