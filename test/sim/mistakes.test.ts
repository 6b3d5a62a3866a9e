// Every planted mistake must be found, by the rule that is there for it, within a fixed range of seeds.

import { MUTATIONS } from '../../src/sim/mutations';
import { simulate } from '../lib/simulate';

/** Where the range starts: beyond the seeds that the right engines are tested with. */
const FIRST = 30_001;

/** The mistake, the rules that may find it, and how many seeds it may take. */
const EXPECTED: readonly [string, readonly string[], number][] = [
  ['releases without comparing', ['output commit', 'ack commit'], 20],
  ['acknowledgements not lowered', ['ack commit'], 200],
  ['windows not lowered', ['ack commit'], 200],
  ['times of held packets not raised', ['time order'], 200],
  ['timestamps not translated', ['time goes forward', 'the client is served', 'liveness'], 200],
  ['timestamps of the guest not translated', ['time goes forward', 'the client is served', 'liveness'], 300],
  ['sequence numbers not translated', ['the client is served', 'right numbers', 'liveness'], 100],
  ['SACK blocks not translated', ['right numbers'], 300],
  ['a checkpoint releases the next epoch', ['output commit', 'ack commit'], 50],
  ['what the SVM sent before a checkpoint counts after it', ['output commit', 'ack commit'], 500],
  ["a dead guest's packets leave", ['output commit', 'ack commit', 'a dead guest'], 300],
  ['offsets lost with the daemon', ['liveness', 'the client is served', 'time goes forward', 'right numbers'], 500],
  ["a copy keeps its packet's flags", ['faithful rewrite'], 50],
  ['a copy is one byte too long', ['output commit'], 50],
  ["a copy has its packet's acknowledgement", ['ack commit'], 200],
  ["a copy has its packet's window", ['ack commit'], 200],
  ['checkpoints follow each other at once', ['pace'], 50],
  ['a question for an address asks for a checkpoint at once', ['needless checkpoint'], 100],
  ["the PVM's questions are ignored", ['needless checkpoint'], 300],
  ['a delayed request is lost', ['liveness'], 200],
  [
    'old offsets forgotten at the checkpoint',
    ['liveness', 'the client is served', 'time goes forward', 'right numbers'],
    500,
  ],
  ['a completed checkpoint taken for missed', ['right epoch'], 50],
  ["a survivor's numbers never decided", ['liveness', 'the client is served'], 500],
  ['a reminder acknowledges more than the SVM', ['ack commit'], 50],
  ['in step, contents are not compared', ['output commit'], 1000],
  ['in step, what was lowered leaves as it came', ['ack commit'], 1000],
  ['released at the own checkpoint, without the mark', ['both have obeyed'], 50],
  ["the guest's queue read on while the mark is awaited", ['epochs', 'output commit', 'ack commit'], 200],
  ["the SVM's port not emptied at a checkpoint", ['right numbers'], 300],
  ['a verdict forgotten', ['one verdict'], 50],
  ['a verdict given twice', ['one verdict'], 50],
  [
    'queues not read before a checkpoint',
    ['output commit', 'ack commit', 'right numbers', 'right epoch', 'pace'],
    1000,
  ],
  ['queues not read before a new pair', ['output commit'], 1500],
  ['lost deltas taken for none', ['output commit'], 1500],
  ['packets cut short leave after a failover', ['faithful rewrite'], 300],
  ["a dead guest's queue not read before it is dropped", ['a dead guest'], 700],
  ['without a controller differing packets are dropped only once', ['a lost controller'], 700],
];

test('the table names every mistake', () => {
  expect(EXPECTED.map(([name]) => name).sort()).toEqual(MUTATIONS.map((one) => one.name).sort());
});

test.each(EXPECTED)(
  '%s',
  async (mistake, rules, count) => {
    const { failures } = await simulate({ first: FIRST, count, maxFailures: 1, mistake });
    expect(failures).toHaveLength(1);
    expect(rules).toContain(failures[0]!.rule);
  },
  120_000,
);
