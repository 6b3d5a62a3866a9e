// Checkpoint requests reach the controller, however full its buffer is; answers wait for slow readers and never for
// ever.
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation2, own } from '../../../src/nfnetlink-colo/client';
import { MAX_WAITING_BYTES } from '../../../src/nfnetlink-colo/limits';
import { Bench, PRIMARY_1 } from './harness';

const { PRIMARY } = ColoMode;
const EAGAIN = -11;
const ENOBUFS = -105;
const ECONNREFUSED = -111;
const PID = 4242;

function held(): Bench {
  const bench = new Bench([PRIMARY_1]);
  bench.ask(bench.port(PID), generation2.init(PRIMARY, { pid: PID }));
  bench.daemon.take();
  bench.sent.length = 0;
  return bench;
}

test.each([EAGAIN, ENOBUFS])('a notice that could not be sent (%d) is repeated until it is', (result) => {
  const bench = held();
  bench.sendResult = result;
  bench.channel.notify(1);
  expect(bench.channel.busy).toBe(true);
  bench.tick(100);
  bench.tick(100);
  expect(bench.notices()).toEqual([]);
  bench.sendResult = 0;
  bench.tick(100);
  bench.tick(100);
  expect(bench.notices()).toHaveLength(1);
  expect(bench.channel.busy).toBe(false);
  expect(bench.channel.counters.get('notices_sent')).toBe(1);
  expect(bench.channel.counters.get('notices_delayed')).toBe(1);
});

test('a checkpoint ends a notice that is still to be sent', () => {
  const bench = held();
  bench.sendResult = EAGAIN;
  bench.channel.notify(1);
  bench.say(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID }));
  bench.sendResult = 0;
  bench.tick(100);
  expect(bench.notices()).toEqual([]);
});

test('a checkpoint that the daemon could not do does not', () => {
  const bench = held();
  bench.sendResult = EAGAIN;
  bench.channel.notify(1);
  bench.daemon.result = { refused: 'failed' };
  bench.say(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID }));
  bench.sendResult = 0;
  bench.tick(100);
  expect(bench.notices()).toHaveLength(1);
  expect(bench.channel.table.at(1)!.checkpointWanted).toBe(true);
});

test('a notice from within a checkpoint belongs to the next epoch', () => {
  const bench = held();
  bench.channel.notify(1);
  bench.daemon.duringCheckpoint = () => bench.channel.notify(1);
  bench.say(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID }));
  expect(bench.notices()).toHaveLength(2);
  expect(bench.channel.table.at(1)!.checkpointWanted).toBe(true);
});

test('a port that refuses is looked at by the next tick, but never from within notify()', () => {
  const bench = held();
  bench.tick(0);
  bench.ports!.delete(PID);
  bench.sendResult = ECONNREFUSED;
  bench.channel.notify(1);
  expect(bench.daemon.take()).toEqual([]);
  bench.tick(1);
  expect(bench.daemon.take()).toEqual(['lost 1 mode 1 port_gone']);
  expect(bench.channel.busy).toBe(false);
});

test('without a controller a notice is counted', () => {
  const bench = new Bench();
  bench.channel.notify(1);
  bench.channel.notify(99);
  expect(bench.channel.counters.get('notices_unheard')).toBe(1);
  expect(bench.sent).toEqual([]);
});

test('answers wait for a slow reader, in order, and the notice after them', () => {
  const bench = held();
  const sender = bench.port(PID);
  bench.sendResult = EAGAIN;
  for (let seq = 1; seq <= 3; seq++) bench.say(sender, generation2.checkpoint(PRIMARY, { pid: PID, ack: true, seq }));
  bench.channel.notify(1);
  bench.sendResult = 0;
  // The reader has room again, but older answers come first.
  bench.channel.flush();
  expect(bench.sent.map(({ bytes }) => bytes.readUInt32LE(8))).toEqual([1, 2, 3, 0]);
  expect(bench.notices()).toHaveLength(1);
});

test('a notice does not overtake answers that wait, although there is room again', () => {
  const bench = held();
  bench.sendResult = EAGAIN;
  bench.say(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID, ack: true, seq: 1 }));
  bench.sendResult = 0;
  bench.channel.notify(1);
  expect(bench.sent).toEqual([]);
  bench.channel.flush();
  expect(bench.sent.map(({ bytes }) => bytes.readUInt32LE(8))).toEqual([1, 0]);
});

test('a reader that never reads costs a bounded amount, and nobody else anything', () => {
  const bench = held();
  const slow = bench.unix(1);
  bench.daemon.statusFields = { text: 'x'.repeat(100_000) };
  bench.sendResult = EAGAIN;
  for (let i = 0; i < 40; i++) bench.say(slow, own.status());
  expect(bench.channel.counters.get('answers_lost')).toBeGreaterThan(0);
  bench.sendResult = 0;
  const before = bench.sent.length;
  expect(bench.result(bench.unix(2), generation2.checkpoint(PRIMARY, { pid: PID, ack: true }))).toBe(0);
  bench.channel.flush();
  const bytes = bench.sent.slice(before).reduce((sum, { bytes }) => sum + bytes.length, 0);
  expect(bytes).toBeLessThanOrEqual(MAX_WAITING_BYTES + 100);
  expect(bytes).toBeGreaterThan(MAX_WAITING_BYTES / 2);
});

test('what waits for a connection that ends, or for a port that refuses, is forgotten', () => {
  const bench = held();
  bench.sendResult = EAGAIN;
  bench.say(bench.unix(1), own.status());
  expect(bench.channel.busy).toBe(true);
  bench.channel.connectionClosed(1);
  expect(bench.channel.busy).toBe(false);
  bench.say(bench.port(9), own.status());
  bench.sendResult = ECONNREFUSED;
  bench.channel.flush();
  expect(bench.channel.busy).toBe(false);
  expect(bench.channel.counters.get('answers_lost')).toBe(4);
});
