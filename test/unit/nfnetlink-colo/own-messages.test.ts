// Our own messages: status, statistics, bypass rules, release, leave.
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation2, own } from '../../../src/nfnetlink-colo/client';
import { PART_BYTES } from '../../../src/nfnetlink-colo/limits';
import { Bench, PRIMARY_1, PRIMARY_2 } from './harness';

const { PRIMARY } = ColoMode;
const golden = HOST_LITTLE_ENDIAN ? test : test.skip;

golden('requests byte for byte', () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  expect(hex(own.status())).toBe('14000000400c01000000000000000000' + '00010000');
  expect(hex(own.stats({ node: 2, seq: 3 }))).toBe(
    '1c000000410c01000300000000000000' + '00010000' + '0800010000000002',
  );
  expect(hex(own.bypassList({ node: 1 }))).toBe('1c000000420c01000000000000000000' + '00010000' + '0800010000000001');
  const json = Buffer.from('{"protocol":"udp"}').toString('hex');
  expect(hex(own.bypassAdd({ protocol: 'udp' }))).toBe(
    `2c000000430c05000000000000000000${'00010000'}16000200${json}0000`,
  );
  expect(hex(own.bypassRemove({ protocol: 'udp' }))).toMatch(/^2c000000440c0500/);
  expect(hex(own.bypassFlush())).toBe('14000000450c05000000000000000000' + '00010000');
  expect(hex(own.release())).toBe('14000000460c05000000000000000000' + '00010000');
  expect(hex(own.leave())).toBe('14000000470c05000000000000000000' + '00010000');
});

golden('a reply byte for byte: parts, then NLMSG_DONE', () => {
  const bench = new Bench();
  const answers = bench.say(bench.port(5), own.bypassList({ seq: 9 })).map((bytes) => bytes.toString('hex'));
  expect(answers).toEqual([
    `2c000000420c02000900000005000000${'00010000'}${'0800030000000002'}${'0800040000000000'}060002005b5d0000`,
    `14000000030002000900000005000000${'00000000'}`,
  ]);
});

test('the status tells who holds a node, and what the daemon adds', () => {
  const bench = new Bench([PRIMARY_1, PRIMARY_2]);
  bench.daemon.statusFields = { heldPackets: 3 };
  bench.ask(bench.port(4242), generation2.init(PRIMARY, { pid: 1 }));
  bench.ask(bench.unix(7, 0, 88), generation2.init(PRIMARY, { pid: 2 }));
  bench.channel.connectionClosed(7);
  bench.ask(bench.port(9, 1000), own.status());
  expect(bench.json(bench.unix(1), own.status())).toEqual({
    version: 1,
    daemon: 'test',
    refused: { datagrams: 1, last: { uid: 1000, pid: 100009 } },
    nodes: [
      {
        index: 1,
        name: 'web',
        role: 'primary',
        mode: 'primary',
        failedOver: false,
        checkpointWanted: false,
        noticePending: false,
        controller: { carrier: 'netlink', port: 4242, key: 1, generation: 2, uid: 0, pid: 104242 },
        controllerLost: null,
        heldPackets: 3,
      },
      {
        index: 2,
        name: 'mail',
        role: 'primary',
        mode: 'unprotected',
        failedOver: false,
        checkpointWanted: false,
        noticePending: false,
        controller: null,
        controllerLost: { reason: 'connection_closed', mode: 'primary' },
        heldPackets: 3,
      },
    ],
  });
  expect(bench.json(bench.unix(1), own.status({ node: 2 }))).toMatchObject({ nodes: [{ index: 2 }] });
  expect(bench.daemon.take()).toHaveLength(3);
});

test('statistics hold the channel’s own counters', () => {
  const bench = new Bench();
  expect(bench.json(bench.unix(1), own.stats())).toMatchObject({
    version: 1,
    control: { datagrams: 1, own_messages: 1 },
    nodes: [{ index: 1, pairs: 7 }],
  });
});

test('a long reply comes in parts, whatever characters they cut', () => {
  const bench = new Bench();
  bench.daemon.statusFields = { text: 'äöü€𐍈'.repeat(3000) };
  const answers = bench.say(bench.unix(1), own.status());
  expect(answers.length).toBeGreaterThan(5);
  for (const answer of answers) expect(answer.length).toBeLessThanOrEqual(PART_BYTES + 64);
  expect(bench.json(bench.unix(1), own.status())).toMatchObject({ nodes: [{ text: 'äöü€𐍈'.repeat(3000) }] });
});

test('NLMSG_DONE ends a reply; an acknowledgement that was asked for too is not sent after it', () => {
  const bench = new Bench();
  const request = Buffer.from(own.status());
  request[6] = 5; // NLM_F_REQUEST | NLM_F_ACK
  expect(bench.ask(bench.unix(1), request).map((event) => event.kind)).toEqual(['part', 'done']);
});

test('a reply that is too long is an error', () => {
  const bench = new Bench();
  bench.daemon.statusFields = { text: 'x'.repeat(1 << 20) };
  expect(bench.result(bench.unix(1), own.status())).toBe(-90);
});

test('bypass rules and release reach the daemon, which may refuse in words', () => {
  const bench = new Bench();
  const sender = bench.unix(1);
  bench.daemon.rules = [{ protocol: 'udp', ports: '53' }];
  expect(bench.json(sender, own.bypassList())).toEqual([{ protocol: 'udp', ports: '53' }]);
  expect(bench.result(sender, own.bypassAdd({ protocol: 'udp', ports: '53' }))).toBe(0);
  expect(bench.result(sender, own.bypassRemove({ protocol: 'udp', ports: '53' }))).toBe(0);
  expect(bench.result(sender, own.bypassFlush())).toBe(0);
  expect(bench.result(sender, own.release({ node: 1 }))).toBe(0);
  expect(bench.daemon.take()).toEqual([
    'bypass 1 + {"protocol":"udp","ports":"53"}',
    'bypass 1 - {"protocol":"udp","ports":"53"}',
    'bypass 1 flush',
    'release 1',
  ]);
  bench.daemon.result = { refused: 'invalid', why: 'protocol must be one of tcp, udp, icmp' };
  expect(bench.ask(sender, own.bypassAdd({ protocol: 'x' }))).toMatchObject([
    { kind: 'result', result: -22, why: 'protocol must be one of tcp, udp, icmp' },
  ]);
});

test('words of any length do not hurt', () => {
  const bench = new Bench();
  bench.daemon.result = { refused: 'invalid', why: '€'.repeat(100_000) };
  const [event] = bench.ask(bench.unix(1), own.bypassAdd({ note: 'x'.repeat(900) }));
  expect(event).toMatchObject({ kind: 'result', result: -22, why: '€'.repeat(500) });
});

test('words are for our own messages only', () => {
  const bench = new Bench();
  bench.daemon.result = { refused: 'busy', why: 'queue 100 is taken' };
  const [answer] = bench.say(bench.port(1), generation2.init(PRIMARY, { pid: 1 }));
  expect(answer).toHaveLength(48);
});

test.each([
  ['no such node', own.release({ node: 7 }), -19, 'there is no node 7; configured: 1 (web), 2 (mail)'],
  ['no such node to report on', own.status({ node: 7 }), -19, 'there is no node 7; configured: 1 (web), 2 (mail)'],
  ['a node must be named when there are several', own.release(), -22, 'which node? configured: 1 (web), 2 (mail)'],
  ['no controller to leave', own.leave({ node: 1 }), -2, 'node 1 has no controller'],
])('%s', (_name, bytes, errno, why) => {
  const bench = new Bench([PRIMARY_1, PRIMARY_2]);
  expect(bench.ask(bench.unix(1), bytes)).toMatchObject([{ kind: 'result', result: errno, why }]);
  expect(bench.daemon.take()).toEqual([]);
});

test.each([
  ['another version', '14000000 400c 0100 00000000 00000000 00020000', -93, /version 2 .* only 1 is known/],
  [
    'an unknown type',
    '14000000 630c 0100 00000000 00000000 00010000',
    -22,
    /message type 99 is not known; known are 64, 65/,
  ],
  ['no nfgenmsg', '10000000 400c 0100 00000000 00000000', -22, /no room for nfgenmsg/],
  [
    'a node of two bytes',
    '1c000000 400c 0100 00000000 00000000 00010000 06000100 0001 0000',
    -22,
    /attribute 1 has 2 bytes, not 4/,
  ],
  ['a rule that is missing', '14000000 430c 0100 00000000 00000000 00010000', -22, /a bypass rule in JSON is needed/],
  [
    'a rule that is no JSON',
    '1c000000 430c 0100 00000000 00000000 00010000 08000200 7b7b7b7b',
    -22,
    /a bypass rule in JSON is needed/,
  ],
  [
    'a rule that is no object',
    '19000000 430c 0100 00000000 00000000 00010000 05000200 31',
    -22,
    /a bypass rule in JSON is needed/,
  ],
])('%s is refused in words', (_name, bytes, errno, why) => {
  const bench = new Bench();
  const events = bench.ask(bench.unix(1), bytes);
  expect(events).toMatchObject([{ kind: 'result', result: errno, why: expect.stringMatching(why) }]);
  expect(bench.daemon.take()).toEqual([]);
});
