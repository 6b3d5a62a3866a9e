// Answers that come later: a node's part of a message may take time.

import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation2, readDatagram } from '../../../src/nfnetlink-colo/client';
import { Bench, PRIMARY_1 } from './harness';

function waiting() {
  const bench = new Bench([PRIMARY_1]);
  const sender = bench.unix(1);
  bench.say(sender, generation2.init(ColoMode.PRIMARY, { pid: 70 }));
  bench.daemon.take();
  let come = (): void => {};
  bench.daemon.later = new Promise((resolve) => {
    come = resolve;
  });
  const asked = bench.say(sender, generation2.checkpoint(ColoMode.PRIMARY, { pid: 70, seq: 9, ack: true }));
  expect([asked, bench.daemon.take()]).toEqual([[], ['checkpoint 1']]);
  const settled = async (): Promise<void> => {
    come();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { bench, sender, settled, before: bench.sent.length };
}

test('an acknowledgement follows what was done, and tells to which request it belongs', async () => {
  const { bench, settled, before } = waiting();
  // What comes meanwhile stands where the request stood.
  bench.say(bench.unix(2), generation2.checkpoint(ColoMode.PRIMARY, { pid: 12345, seq: 77, ack: true }));
  const at = bench.sent.length;
  await settled();
  expect(at).toBe(before + 1);
  expect(bench.sent.slice(at).flatMap(({ bytes }) => readDatagram(bytes))).toMatchObject([
    { kind: 'result', result: 0, requestSeq: 9 },
  ]);
});

test('a refusal that comes later is one, and the checkpoint is wanted still', async () => {
  const { bench, settled, before } = waiting();
  bench.channel.notify(1);
  bench.daemon.result = { refused: 'failed', why: 'the disk is full' };
  await settled();
  const events = bench.sent.slice(before).flatMap(({ bytes }) => readDatagram(bytes));
  expect(events).toContainEqual(expect.objectContaining({ kind: 'result', result: -5, requestSeq: 9 }));
  expect(bench.channel.table.at(1)!.checkpointWanted).toBe(true);
});

test('a connection that has ended gets no answer, which is counted', async () => {
  const { bench, settled, before } = waiting();
  bench.channel.connectionClosed(1);
  bench.sendResult = -32; // EPIPE
  await settled();
  expect([bench.sent.length, bench.channel.counters.get('answers_lost'), bench.channel.busy]).toEqual([
    before,
    1,
    false,
  ]);
});
