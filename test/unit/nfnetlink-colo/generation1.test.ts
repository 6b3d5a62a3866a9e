// Generation 1 as libxl speaks it, over netlink: the real port id names the node.
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import { generation1 } from '../../../src/nfnetlink-colo/client';
import { Bench, PRIMARY_1, PRIMARY_2, SECONDARY_1 } from './harness';

const EPERM = -1;
const EEXIST = -17;
const golden = HOST_LITTLE_ENDIAN ? test : test.skip;

golden('a whole conversation, byte for byte', () => {
  const bench = new Bench();
  const libxl = bench.port(1);
  const hex = (answers: Buffer[]) => answers.map((answer) => answer.toString('hex'));
  // INIT is acknowledged: 16 + 4 + 16 bytes.
  expect(hex(bench.say(libxl, '10000000 1400 0500 00000000 01000000'))).toEqual([
    '24000000020000000000000001000000' + '00000000' + '10000000140005000000000001000000',
  ]);
  expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh']);
  bench.channel.notify(1);
  expect(bench.notices()).toEqual(['netlink:1 1100000011000000000000000100000001000000']);
  // CHECKPOINT is done in silence.
  expect(bench.say(libxl, '10000000 1200 0100 00000000 01000000')).toEqual([]);
  expect(bench.daemon.take()).toEqual(['checkpoint 1']);
  // A question is answered with its sequence number and the flag.
  expect(hex(bench.say(libxl, '10000000 1100 0100 2a000000 01000000'))).toEqual([
    '11000000110000002a0000000100000000000000',
  ]);
  bench.channel.notify(1);
  expect(hex(bench.say(libxl, '10000000 1100 0100 2b000000 01000000'))).toEqual([
    '11000000110000002b0000000100000001000000',
  ]);
  // A failover of a primary is an error: 16 + 4 + 16 bytes, EPERM.
  expect(hex(bench.say(libxl, '10000000 1300 0100 00000000 01000000'))).toEqual([
    '24000000020000000000000001000000' + 'ffffffff' + '10000000130001000000000001000000',
  ]);
  expect(bench.daemon.take()).toEqual([]);
});

test('INIT twice is EEXIST', () => {
  const bench = new Bench();
  const libxl = bench.port(1);
  expect(bench.result(libxl, generation1.init({ pid: 1 }))).toBe(0);
  expect(bench.result(libxl, generation1.init({ pid: 1 }))).toBe(EEXIST);
  expect(bench.result(bench.port(2), generation1.init({ pid: 1 }))).toBe(EEXIST);
  expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh']);
});

test('the real port id counts, not nlmsg_pid', () => {
  const bench = new Bench([PRIMARY_1, PRIMARY_2]);
  expect(bench.result(bench.port(2), generation1.init({ pid: 1 }))).toBe(0);
  expect(bench.daemon.take()).toEqual(['init 2 mode 1 fresh']);
});

test('everything but INIT is met with silence where there is no node', () => {
  const bench = new Bench();
  for (const kind of ['checkpoint', 'failover', 'reset', 'query'] as const) {
    expect(bench.say(bench.port(1), generation1[kind]({ pid: 1 }))).toEqual([]);
    expect(bench.say(bench.port(77), generation1[kind]({ pid: 1 }))).toEqual([]);
  }
  expect(bench.daemon.take()).toEqual([]);
  expect(bench.channel.counters.get('unknown_node')).toBe(8);
});

test('a primary refuses FAILOVER and RESET with EPERM', () => {
  const bench = new Bench();
  bench.ask(bench.port(1), generation1.init({ pid: 1 }));
  expect(bench.result(bench.port(1), generation1.failover({ pid: 1 }))).toBe(EPERM);
  expect(bench.result(bench.port(1), generation1.reset({ pid: 1 }))).toBe(EPERM);
  expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh']);
});

test('a secondary does CHECKPOINT and FAILOVER, and takes all else without a word', () => {
  const bench = new Bench([SECONDARY_1]);
  const controller = bench.port(1);
  expect(bench.result(controller, generation1.init({ pid: 1 }))).toBe(0);
  expect(bench.daemon.take()).toEqual(['init 1 mode 2 fresh']);
  expect(bench.say(controller, generation1.checkpoint({ pid: 1 }))).toEqual([]);
  expect(bench.say(controller, generation1.query({ pid: 1 }))).toEqual([]);
  expect(bench.say(controller, generation1.reset({ pid: 1 }))).toEqual([]);
  expect(bench.say(controller, generation1.failover({ pid: 1 }))).toEqual([]);
  expect(bench.daemon.take()).toEqual(['checkpoint 1', 'failover 1']);
});

test('a checkpoint after the failover is refused: it would drop the offsets that connections live on', () => {
  const bench = new Bench([SECONDARY_1]);
  const controller = bench.port(1);
  bench.ask(controller, generation1.init({ pid: 1 }));
  bench.ask(controller, generation1.failover({ pid: 1 }));
  bench.daemon.take();
  expect(bench.result(controller, generation1.checkpoint({ pid: 1 }))).toBe(-22);
  expect(bench.result(controller, generation1.failover({ pid: 1, ack: true }))).toBe(0);
  expect(bench.daemon.take()).toEqual([]);
});

test('success is acknowledged if that was asked for', () => {
  const bench = new Bench();
  bench.ask(bench.port(1), generation1.init({ pid: 1 }));
  expect(bench.result(bench.port(1), generation1.checkpoint({ pid: 1, ack: true, seq: 9 }))).toBe(0);
});

test('over a Unix socket nlmsg_pid names the node, 0 the only one', () => {
  const bench = new Bench([PRIMARY_1, PRIMARY_2]);
  expect(bench.result(bench.unix(1), generation1.init({ pid: 2 }))).toBe(0);
  bench.say(bench.unix(1), generation1.checkpoint({ pid: 2 }));
  // One connection that holds one node need not name it again.
  bench.say(bench.unix(1), generation1.checkpoint({ pid: 0 }));
  expect(bench.daemon.take()).toEqual(['init 2 mode 1 fresh', 'checkpoint 2', 'checkpoint 2']);
  const single = new Bench();
  expect(single.result(single.unix(1), generation1.init({ pid: 0 }))).toBe(0);
  single.say(single.unix(2), generation1.checkpoint({ pid: 0 }));
  expect(single.daemon.take()).toEqual(['init 1 mode 1 fresh', 'checkpoint 1']);
});
