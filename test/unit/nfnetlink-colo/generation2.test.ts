// Generation 2 as QEMU's COLO branch speaks it: nlmsg_pid names the node, and is QEMU's process id.
import { HOST_LITTLE_ENDIAN } from '../../../src/netlink/byte-order';
import { Colo2Type, ColoMode } from '../../../src/netlink/colo-generation2';
import { generation1, generation2 } from '../../../src/nfnetlink-colo/client';
import { Bench, PRIMARY_1, PRIMARY_2, SECONDARY_1 } from './harness';

const { UNPROTECTED, PRIMARY, SECONDARY } = ColoMode;
const EEXIST = -17;
const ENODEV = -19;
const EINVAL = -22;
const golden = HOST_LITTLE_ENDIAN ? test : test.skip;
const PID = 4242;

golden('a whole conversation, byte for byte', () => {
  const bench = new Bench();
  const qemu = bench.port(0x1092);
  const hex = (answers: Buffer[]) => answers.map((answer) => answer.toString('hex'));
  expect(hex(bench.say(qemu, '1c000000 030c 0500 00000000 92100000 | 00 00 0001 | 0500 0100 01 000000'))).toEqual([
    '24000000020000000000000092100000' + '00000000' + '1c000000030c05000000000092100000',
  ]);
  expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh']);
  bench.channel.notify(1);
  expect(bench.notices()).toEqual(['netlink:4242 1c000000000c000000000000921000000000000008000100' + '00000001']);
  expect(bench.say(qemu, '1c000000 010c 0100 00000000 92100000 | 00 00 0001 | 0500 0100 01 000000')).toEqual([]);
  expect(bench.daemon.take()).toEqual(['checkpoint 1']);
  // An error echoes the whole message: 48 bytes.
  expect(hex(bench.say(qemu, '1c000000 010c 0100 00000000 92100000 | 00 00 0001 | 0500 0100 02 000000'))).toEqual([
    '30000000020000000000000092100000' + 'eaffffff' + '1c000000010c0100000000009210000000000001' + '0500010002000000',
  ]);
  expect(bench.daemon.take()).toEqual([]);
});

/** A node of each role, held by a controller with a key that is no index. */
function held(role: typeof PRIMARY_1 = PRIMARY_1): Bench {
  const bench = new Bench([role]);
  expect(bench.result(bench.port(PID), generation2.init(role.role, { pid: PID }))).toBe(0);
  bench.daemon.take();
  return bench;
}

describe('INIT', () => {
  test('without a mode, or with one that does not exist, is EINVAL', () => {
    const bench = new Bench();
    expect(bench.result(bench.port(PID), '14000000 030c 0500 00000000 92100000 00000001')).toBe(EINVAL);
    expect(bench.result(bench.port(PID), '1c000000 030c 0500 00000000 92100000 00000001 0500 0100 03 000000')).toBe(
      EINVAL,
    );
    expect(bench.daemon.take()).toEqual([]);
    expect(bench.channel.counters.get('malformed')).toBe(2);
  });

  test('in the mode of the other role is EINVAL', () => {
    const bench = new Bench();
    expect(bench.result(bench.port(PID), generation2.init(SECONDARY, { pid: PID }))).toBe(EINVAL);
    expect(bench.result(bench.port(1), generation2.init(SECONDARY, { pid: 1 }))).toBe(EINVAL);
    expect(bench.daemon.take()).toEqual([]);
  });

  test('twice is EEXIST, from whomever', () => {
    const bench = held();
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(EEXIST);
    expect(bench.result(bench.port(9), generation2.init(PRIMARY, { pid: 1 }))).toBe(EEXIST);
    expect(bench.result(bench.port(10), generation2.init(PRIMARY, { pid: 10 }))).toBe(EEXIST);
    expect(bench.daemon.take()).toEqual([]);
  });

  test('unprotected is accepted, and a checkpoint of it is nothing', () => {
    const bench = new Bench();
    expect(bench.result(bench.port(PID), generation2.init(UNPROTECTED, { pid: PID }))).toBe(0);
    expect(bench.result(bench.port(PID), generation2.checkpoint(UNPROTECTED, { pid: PID, ack: true }))).toBe(0);
    expect(bench.result(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID }))).toBe(EINVAL);
    expect(bench.daemon.take()).toEqual(['init 1 mode 0 fresh']);
  });

  test('that the daemon refuses claims nothing', () => {
    const bench = new Bench();
    bench.daemon.result = { refused: 'busy', why: 'queue 100 is taken' };
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(-16);
    bench.daemon.result = undefined;
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(0);
  });
});

describe('which node a key names', () => {
  test('an index that fits exactly wins, in any order', () => {
    const bench = new Bench([PRIMARY_1, PRIMARY_2]);
    expect(bench.result(bench.port(2), generation2.init(PRIMARY, { pid: 2 }))).toBe(0);
    expect(bench.result(bench.port(1), generation2.init(PRIMARY, { pid: 1 }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['init 2 mode 1 fresh', 'init 1 mode 1 fresh']);
  });

  test('a process id gets the only node that is free', () => {
    const bench = new Bench([PRIMARY_1, PRIMARY_2]);
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(ENODEV);
    bench.ask(bench.port(1), generation2.init(PRIMARY, { pid: 1 }));
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh', 'init 2 mode 1 fresh']);
    bench.say(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID }));
    bench.say(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: 1 }));
    expect(bench.daemon.take()).toEqual(['checkpoint 2', 'checkpoint 1']);
    expect(bench.result(bench.port(7), generation2.init(PRIMARY, { pid: 7 }))).toBe(EEXIST);
  });

  test('a free node of the other role does not count', () => {
    const bench = new Bench([PRIMARY_1, { index: 2, name: 'back', role: SECONDARY }]);
    expect(bench.result(bench.port(PID), generation2.init(SECONDARY, { pid: PID }))).toBe(0);
    expect(bench.result(bench.port(PID + 1), generation2.init(PRIMARY, { pid: PID + 1 }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['init 2 mode 2 fresh', 'init 1 mode 1 fresh']);
  });

  test('0 is the only node, or the one that the sender holds', () => {
    const bench = held();
    expect(bench.result(bench.unix(1), generation2.checkpoint(PRIMARY, { pid: 0, ack: true }))).toBe(0);
    const two = new Bench([PRIMARY_1, PRIMARY_2]);
    two.ask(two.unix(5), generation2.init(PRIMARY, { pid: 2 }));
    expect(two.result(two.unix(5), generation2.checkpoint(PRIMARY, { pid: 0, ack: true }))).toBe(0);
    expect(two.result(two.unix(6), generation2.checkpoint(PRIMARY, { pid: 0 }))).toBe(EEXIST);
    expect(two.daemon.take()).toEqual(['init 2 mode 1 fresh', 'checkpoint 2']);
  });

  test('a key that is nobody’s is EEXIST, also from who holds a node', () => {
    const bench = held();
    expect(bench.result(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID + 1 }))).toBe(EEXIST);
    expect(bench.result(bench.unix(1), generation2.checkpoint(PRIMARY, { pid: PID + 1 }))).toBe(EEXIST);
    expect(bench.daemon.take()).toEqual([]);
  });

  test('a client that leaves nlmsg_pid 0 over netlink is notified all the same', () => {
    const bench = new Bench();
    bench.ask(bench.port(900), generation2.init(PRIMARY, { pid: 0 }));
    bench.channel.notify(1);
    expect(bench.notices()).toHaveLength(1);
    expect(bench.notices()[0]).toMatch(/^netlink:900 .{24}84030000/);
  });
});

describe('a node without a controller', () => {
  test.each([
    ['DO_CHECKPOINT', generation2.checkpoint(PRIMARY, { pid: PID })],
    ['DO_CHECKPOINT by index', generation2.checkpoint(PRIMARY, { pid: 1 })],
    ['DO_FAILOVER', generation2.failover(SECONDARY, { pid: PID })],
    ['DO_FAILOVER in a mode that is wrong anyway', generation2.failover(PRIMARY, { pid: PID })],
    ['PROXY_RESET', generation2.reset(PRIMARY, { pid: PID })],
  ])('%s is EEXIST', (_name, bytes) => {
    const bench = new Bench();
    expect(bench.result(bench.port(PID), bytes)).toBe(EEXIST);
    expect(bench.daemon.take()).toEqual([]);
  });
});

describe('commands', () => {
  test('a mode that is not the node’s is EINVAL, and nothing breaks', () => {
    for (const role of [PRIMARY_1, SECONDARY_1]) {
      const bench = held(role);
      for (const mode of [UNPROTECTED, PRIMARY, SECONDARY]) {
        const right = mode === role.role;
        expect(bench.result(bench.port(PID), generation2.checkpoint(mode, { pid: PID }))).toBe(
          right ? undefined : EINVAL,
        );
        expect(bench.result(bench.port(PID), generation2.reset(mode, { pid: PID }))).toBe(right ? undefined : EINVAL);
      }
      expect(bench.daemon.take()).toEqual(
        role === PRIMARY_1 ? ['checkpoint 1', 'reset 1'] : ['checkpoint 1', 'reset 1'],
      );
    }
  });

  test('a mode is needed for a checkpoint and a failover', () => {
    const bench = held(SECONDARY_1);
    expect(bench.result(bench.port(PID), '14000000 010c 0100 00000000 92100000 00000001')).toBe(EINVAL);
    expect(bench.result(bench.port(PID), '14000000 020c 0100 00000000 92100000 00000001')).toBe(EINVAL);
    expect(bench.result(bench.port(PID), generation2.reset(undefined, { pid: PID, ack: true }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['reset 1']);
  });

  test('only a secondary fails over, and once', () => {
    const primary = held();
    for (const mode of [UNPROTECTED, PRIMARY, SECONDARY]) {
      expect(primary.result(primary.port(PID), generation2.failover(mode, { pid: PID }))).toBe(EINVAL);
    }
    expect(primary.daemon.take()).toEqual([]);
    const secondary = held(SECONDARY_1);
    for (const mode of [UNPROTECTED, PRIMARY]) {
      expect(secondary.result(secondary.port(PID), generation2.failover(mode, { pid: PID }))).toBe(EINVAL);
    }
    expect(secondary.say(secondary.port(PID), generation2.failover(SECONDARY, { pid: PID }))).toEqual([]);
    expect(secondary.result(secondary.port(PID), generation2.failover(SECONDARY, { pid: PID, ack: true }))).toBe(0);
    expect(secondary.daemon.take()).toEqual(['failover 1']);
    expect(secondary.result(secondary.port(PID), generation2.checkpoint(SECONDARY, { pid: PID }))).toBe(EINVAL);
  });

  test('a failover that the daemon could not do can be asked for again', () => {
    const bench = held(SECONDARY_1);
    bench.daemon.result = { refused: 'failed' };
    expect(bench.result(bench.port(PID), generation2.failover(SECONDARY, { pid: PID }))).toBe(-5);
    bench.daemon.result = undefined;
    expect(bench.result(bench.port(PID), generation2.failover(SECONDARY, { pid: PID, ack: true }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['failover 1', 'failover 1']);
  });

  test('KERNEL_NOTIFY and unknown types are EINVAL', () => {
    const bench = held();
    for (const type of [Colo2Type.KERNEL_NOTIFY, 5, 63]) {
      const bytes = Buffer.from(generation2.checkpoint(PRIMARY, { pid: PID }));
      bytes[4] = type;
      expect(bench.result(bench.port(PID), bytes)).toBe(EINVAL);
    }
    for (const type of ['1000', '1600', '0103', '0b0c', 'ff0b', '000d']) {
      expect(bench.result(bench.port(PID), `1c000000 ${type} 0100 00000000 92100000 00000001 0500010001000000`)).toBe(
        EINVAL,
      );
    }
    expect(bench.channel.counters.get('unknown_type')).toBe(9);
    expect(bench.daemon.take()).toEqual([]);
  });

  test('generations may be mixed by other speakers, but the notice goes out in that of the INIT', () => {
    const bench = held();
    bench.say(bench.port(1), generation1.checkpoint({ pid: 1 }));
    expect(bench.daemon.take()).toEqual(['checkpoint 1']);
    bench.channel.notify(1);
    expect(bench.notices()[0]).toMatch(/^netlink:4242 1c000000000c/);
  });
});
