// After a long sleep whoever tells of a checkpoint is heard before frames are looked at.

import { FrameReader } from '../../../../src/chardev/frame';
import type { Chardev } from '../../../../src/io/stream/chardev';
import { systemClock } from '../../../../src/io/system-clock';
import type { Lockstep } from '../../../../src/qemu/compare/lockstep';
import { PairReader } from '../../../../src/qemu/compare/pair-reader';

const frame = Buffer.from([0, 0, 0, 1, 7]);

/** A reader at `nowMs`, whose turn ended at 1000 ms; what it does and what is left for later. */
function reader() {
  const said: string[] = [];
  const later: (() => void)[] = [];
  const time = { ms: 1000 };
  const stream = {
    unread: Buffer.alloc(0),
    unreadFrom: 0,
    unreadTo: 0,
    fill: () => false,
    spin: () => false,
    deliverUnread: () => said.push('delivers'),
  } as unknown as Chardev;
  const take = (side: string) => new FrameReader(false, () => said.push(side));
  const pairs = new PairReader(
    {} as Lockstep,
    { primary: take('primary'), secondary: take('secondary') },
    () => time.ms,
    () => false,
    { clock: systemClock, preciseMs: () => time.ms, soon: (task) => later.push(task) },
  );
  pairs.connect(stream, stream);
  pairs.linger();
  return { pairs, said, later, time };
}

const read = (pairs: PairReader, side: 'primarySource' | 'secondarySource'): number =>
  pairs[side].read(frame, 0, frame.length);

test('frames that follow one another are looked at at once', () => {
  const { pairs, said, time } = reader();
  time.ms += 4;
  expect([read(pairs, 'primarySource'), said]).toEqual([frame.length, ['primary', 'delivers']]);
});

test('after a long sleep neither side’s are, though a turn has ended, until all that is ready was handled', () => {
  const { pairs, said, later, time } = reader();
  time.ms += 6;
  expect(read(pairs, 'secondarySource')).toBe(0);
  pairs.linger();
  expect([read(pairs, 'primarySource'), said, later.length]).toEqual([0, [], 1]);
  later[0]!();
  expect(said).toEqual(['delivers', 'delivers']);
  expect(read(pairs, 'primarySource')).toBe(frame.length);
});

test('what was put off is looked at behind all that is ready, as a timer may be the first after a sleep', () => {
  jest.useFakeTimers();
  const { pairs, said, later } = reader();
  expect(pairs.primarySource.read(Buffer.alloc(10_000), 0, 10_000)).toBe(0);
  jest.advanceTimersByTime(100);
  expect([said, later.length]).toEqual([['delivers'], 1]);
  later[0]!();
  expect(said).toEqual(['delivers', 'delivers', 'delivers']);
  jest.useRealTimers();
});
