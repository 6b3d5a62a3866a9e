// The comparison behind sockets in the simulated world: seeds hold, replay, and find what is planted.

import { FRAMES_MUTATIONS } from '../../src/sim/frames/mutations';
import { simulate } from '../lib/simulate';

/** Of a test run, unless COLO_SEEDS asks for more. */
const COUNT = Math.ceil(Number(process.env.COLO_SEEDS ?? 2000) / 20);
/** Beyond the seeds that the right comparison is tested with. */
const FIRST_MISTAKEN = 30_001;

/** What a run of that many seeds must have met at least once. */
const MUST_HAPPEN = [
  'judgedBytes',
  'coveredPackets',
  'datagramsAnswered',
  'checkpoints',
  'checkpointsAsked',
  'notify_requests',
  'qmp_requests',
  'ack_lowered',
  'prefixes_sent',
  'offloads_cleared',
  'secondary_discarded',
  'fault host-death',
  'fault guest-death',
  'fault secondary-death',
  'fault outdev-reconnect',
  'fault controller-reconnect',
] as const;

test('seeds hold, and meet what they are for', async () => {
  const { runs, failures, coverage, stories } = await simulate({
    world: 'frames',
    first: 1,
    count: COUNT,
    maxFailures: 3,
    tell: true,
  });
  for (const story of stories) process.stderr.write(`${story}\n`);
  expect(failures).toEqual([]);
  expect(runs).toBe(COUNT);
  expect(MUST_HAPPEN.filter((name) => !(coverage[name]! > 0))).toEqual([]);
}, 600_000);

test('a seed is the same run whenever it runs, and its failure is told', async () => {
  const mistake = 'lengths of frames in step not compared';
  const ask = { world: 'frames' as const, first: FIRST_MISTAKEN, count: 30, maxFailures: 1, mistake, tell: true };
  const [once, twice] = await Promise.all([simulate(ask), simulate(ask)]);
  expect(twice).toEqual(once);
  expect(once.stories[0]).toContain('BROKEN output commit');
  expect(once.stories[0]).not.toContain('NOT REPLAYED');
}, 120_000);

const COMMITS = ['output commit', 'ack commit'];

/** The mistake, the rules that may find it, how many seeds it may take, and for a rare one where they begin. */
const EXPECTED: readonly [string, readonly string[], number, number?][] = [
  ['contents of frames in step not compared', COMMITS, 30],
  ['lengths of frames in step not compared', COMMITS, 30],
  ['a STOP read late taken for one read in time', COMMITS, 150],
  ['frames from before and after a checkpoint compared', COMMITS, 1, 1701],
  ['frames sent after a checkpoint read before the release', COMMITS, 30],
  ['the sockets are read while the primary is stopped', COMMITS, 30],
  ['one later frame of the primary counts as covered', COMMITS, 30],
  ['a byte that the socket has taken sent again', ['a stream of frames'], 30],
  ["a dead guest's frames leave", COMMITS, 150],
  ['held frames leave when the secondary is gone', COMMITS, 200],
];

test('the table names every mistake', () => {
  expect(EXPECTED.map(([name]) => name).sort()).toEqual(FRAMES_MUTATIONS.map(({ name }) => name).sort());
});

test.each(EXPECTED)(
  '%s',
  async (mistake, rules, count, first = FIRST_MISTAKEN) => {
    const { failures } = await simulate({
      world: 'frames',
      first,
      count,
      maxFailures: 1,
      mistake,
    });
    expect(failures).toHaveLength(1);
    expect(rules).toContain(failures[0]!.rule);
  },
  120_000,
);
