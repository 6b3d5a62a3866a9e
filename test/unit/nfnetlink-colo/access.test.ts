// Who may speak: uid 0 and the configured ones, as the kernel says.
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation1, generation2, own } from '../../../src/nfnetlink-colo/client';
import { Bench, PRIMARY_1 } from './harness';

const EPERM = -1;
const { PRIMARY } = ColoMode;

test.each([
  ['generation 1', generation1.init({ pid: 1 })],
  ['generation 1 without an acknowledgement', generation1.checkpoint({ pid: 1 })],
  ['generation 2', generation2.init(PRIMARY, { pid: 1 })],
  ['our own', own.status()],
  ['garbage', Buffer.from('0102030405060708090a0b0c0d0e0f1011121314')],
  ['less than a header', Buffer.from('01')],
])('a foreign uid is refused: %s', (_name, bytes) => {
  for (const uid of [1, 1000, 65534, undefined]) {
    const bench = new Bench([PRIMARY_1], { allowUids: [107] });
    for (const sender of [
      { ...bench.port(1), uid },
      { ...bench.unix(1), uid },
    ]) {
      expect(bench.result(sender, bytes)).toBe(EPERM);
    }
    expect(bench.daemon.take()).toEqual([]);
    expect(bench.channel.counters.get('refused')).toBe(2);
    expect(bench.channel.lastRefused).toEqual({ uid: uid ?? null, pid: 200001 });
  }
});

test('the refusal is what a kernel answers: it echoes the message', () => {
  const bench = new Bench();
  const init = Buffer.from(generation2.init(PRIMARY, { pid: 1 }));
  const [answer] = bench.say(bench.port(1, 1000), init);
  expect(answer).toHaveLength(48);
  expect(answer!.subarray(20)).toEqual(init);
});

test('a refusal that cannot be sent is not kept: users who may not speak get no room of others', () => {
  const bench = new Bench();
  bench.sendResult = -11;
  for (let i = 0; i < 1000; i++) bench.say(bench.port(1, 1000), own.status());
  expect(bench.channel.busy).toBe(false);
  bench.sendResult = 0;
  bench.channel.flush();
  expect(bench.sent).toEqual([]);
});

test('uid 0 and the configured ones may', () => {
  const bench = new Bench([PRIMARY_1], { allowUids: [107] });
  expect(bench.result(bench.port(1, 107), generation2.init(PRIMARY, { pid: 1 }))).toBe(0);
  expect(bench.result(bench.port(2, 0), generation2.checkpoint(PRIMARY, { pid: 1, ack: true }))).toBe(0);
  expect(bench.channel.counters.get('refused')).toBe(0);
});

test('many messages in a refused datagram are one refusal', () => {
  const bench = new Bench();
  const bytes = Buffer.concat([generation2.init(PRIMARY, { pid: 1 }), generation2.checkpoint(PRIMARY, { pid: 1 })]);
  expect(bench.say(bench.port(1, 1000), bytes)).toHaveLength(1);
});

test('a refused datagram that calls itself an error is not answered', () => {
  const bench = new Bench();
  expect(
    bench.say(bench.port(1, 1000), '24000000 0200 0000 00000000 01000000 ffffffff 10000000140005000000000001000000'),
  ).toEqual([]);
});

test('the kernel’s own port is not listened to', () => {
  const bench = new Bench();
  expect(
    bench.say({ address: { carrier: 'netlink', portId: 0 }, uid: 0, pid: 0 }, generation1.init({ pid: 1 })),
  ).toEqual([]);
  expect(bench.daemon.take()).toEqual([]);
});
