// Controllers that die, come back, or are there still when the daemon has been restarted.
import { ColoMode } from '../../../src/netlink/colo-generation2';
import { generation1, generation2, own } from '../../../src/nfnetlink-colo/client';
import { Bench, PRIMARY_1, PRIMARY_2, RecordingDaemon, SECONDARY_1 } from './harness';

const { PRIMARY, SECONDARY } = ColoMode;
const EEXIST = -17;
const EINVAL = -22;
const PID = 4242;

function held(nodes = [PRIMARY_1]): Bench {
  const bench = new Bench(nodes);
  expect(bench.result(bench.port(PID), generation2.init(nodes[0]!.role, { pid: PID }))).toBe(0);
  bench.daemon.take();
  return bench;
}

/** A second process of the daemon, which starts from what the first one saved (as JSON text). */
function restarted(old: Bench, nodes = [PRIMARY_1], edit: (bench: Bench) => void = () => {}): Bench {
  const bench = new Bench(nodes);
  bench.ports = old.ports;
  bench.nowMs = 50_000;
  edit(bench);
  const state: unknown = JSON.parse(JSON.stringify(old.channel.save()));
  expect(bench.channel.resume(state, bench.nowMs)).toBeUndefined();
  return bench;
}

describe('a netlink port', () => {
  test('that is gone is noticed by the next look, one second later at most', () => {
    const bench = held();
    let looks = 0;
    const ports = bench.ports!;
    const look = () => {
      looks++;
      return ports;
    };
    Object.defineProperty(bench, 'ports', { get: look });
    bench.tick(0);
    expect([looks, bench.daemon.take()]).toEqual([1, []]);
    ports.delete(PID);
    let passedMs = 0;
    while (bench.daemon.calls.length === 0 && passedMs < 5000) {
      bench.tick(100);
      passedMs += 100;
    }
    expect(bench.daemon.take()).toEqual(['lost 1 mode 1 port_gone']);
    expect(looks).toBe(2);
    expect(passedMs).toBe(1000);
    bench.tick(5000);
    expect(bench.daemon.take()).toEqual([]);
    expect(bench.channel.counters.get('controllers_lost')).toBe(1);
  });

  test('that another socket has taken over is lost too', () => {
    const bench = held();
    bench.ports!.set(PID, 99);
    bench.tick(1000);
    expect(bench.daemon.take()).toEqual(['lost 1 mode 1 port_reused']);
  });

  test('that cannot be looked at is not lost', () => {
    const bench = held();
    bench.ports = undefined;
    bench.tick(1000);
    bench.tick(1000);
    expect(bench.daemon.take()).toEqual([]);
    expect(bench.channel.counters.get('probes_failed')).toBe(2);
  });

  test('whose inode was not known at INIT is learned later', () => {
    const bench = new Bench();
    bench.ports = undefined;
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(0);
    bench.ports = new Map([[PID, 7]]);
    bench.tick(1000);
    bench.ports = new Map([[PID, 8]]);
    bench.tick(1000);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh', 'lost 1 mode 1 port_reused']);
  });

  test('that is gone before its INIT is read claims nothing', () => {
    const bench = new Bench();
    const sender = bench.port(PID);
    bench.ports!.clear();
    bench.say(sender, generation2.init(PRIMARY, { pid: PID }));
    expect(bench.daemon.take()).toEqual([]);
    expect(bench.channel.table.at(1)!.claim).toBeUndefined();
  });
});

test('a connection that ends is lost at once, and only it', () => {
  const bench = new Bench([PRIMARY_1, PRIMARY_2]);
  bench.ask(bench.unix(7), generation2.init(PRIMARY, { pid: 1 }));
  bench.ask(bench.unix(8), generation2.init(PRIMARY, { pid: 2 }));
  bench.ask(bench.unix(9), own.status());
  bench.daemon.take();
  bench.channel.connectionClosed(9);
  expect(bench.daemon.take()).toEqual([]);
  bench.channel.connectionClosed(8);
  expect(bench.daemon.take()).toEqual(['lost 2 mode 1 connection_closed']);
  // A node without a controller is unknown again.
  expect(bench.result(bench.unix(9), generation2.checkpoint(PRIMARY, { pid: 2 }))).toBe(EEXIST);
});

test('one connection that holds two nodes loses both', () => {
  const bench = new Bench([PRIMARY_1, PRIMARY_2]);
  bench.ask(bench.unix(7), generation2.init(PRIMARY, { pid: 1 }));
  bench.ask(bench.unix(7), generation2.init(PRIMARY, { pid: 2 }));
  bench.daemon.take();
  bench.channel.connectionClosed(7);
  expect(bench.daemon.take()).toEqual(['lost 1 mode 1 connection_closed', 'lost 2 mode 1 connection_closed']);
});

describe('a controller that comes after one that died', () => {
  test('with another key gets the node without waiting for a look', () => {
    const bench = held();
    bench.ports!.delete(PID);
    expect(bench.result(bench.port(PID + 1), generation2.init(PRIMARY, { pid: PID + 1 }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['lost 1 mode 1 port_gone', 'init 1 mode 1 fresh']);
  });

  test('on the same port id (libxl takes 1, 2...) starts afresh', () => {
    const bench = new Bench();
    bench.ask(bench.port(1), generation1.init({ pid: 1 }));
    bench.ports!.set(1, 777);
    expect(bench.result(bench.port(1), generation1.init({ pid: 1 }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh', 'lost 1 mode 1 port_reused', 'init 1 mode 1 fresh']);
  });

  test('after a failover whose connections live: the successor finds it, and only a reset ends it', () => {
    const bench = held([SECONDARY_1]);
    bench.ask(bench.port(PID), generation2.failover(SECONDARY, { pid: PID }));
    bench.daemon.hasTakenOver = true;
    bench.ports!.delete(PID);
    bench.tick(1000);
    expect(bench.result(bench.port(9), generation2.init(SECONDARY, { pid: 9 }))).toBe(0);
    expect(bench.channel.table.nodes[0]!.failedOver).toBe(true);
    bench.daemon.take();
    expect(bench.result(bench.port(9), generation2.checkpoint(SECONDARY, { pid: 9, ack: true }))).toBe(EINVAL);
    expect(bench.result(bench.port(9), generation2.failover(SECONDARY, { pid: 9, ack: true }))).toBe(0);
    expect(bench.daemon.take()).toEqual([]);
    bench.ask(bench.port(9), generation2.reset(SECONDARY, { pid: 9, ack: true }));
    expect(bench.daemon.take()).toEqual(['reset 1']);
    bench.daemon.hasTakenOver = false;
    expect(bench.result(bench.port(9), generation2.checkpoint(SECONDARY, { pid: 9, ack: true }))).toBe(0);
  });

  test('after a failover a reset needs no controller; before it does', () => {
    const bench = new Bench([SECONDARY_1]);
    expect(bench.result(bench.port(9), generation2.reset(SECONDARY, { pid: 1, ack: true }))).toBe(EEXIST);
    bench.daemon.hasTakenOver = true;
    expect(bench.result(bench.port(9), generation2.reset(SECONDARY, { pid: 1, ack: true }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['reset 1']);
  });

  test('after a failover: the loss says that it had happened, and the new pair begins without it', () => {
    const bench = held([SECONDARY_1]);
    bench.ask(bench.port(PID), generation2.failover(SECONDARY, { pid: PID }));
    bench.ports!.delete(PID);
    bench.tick(1000);
    bench.ask(bench.port(9), generation2.init(SECONDARY, { pid: 9 }));
    expect(bench.daemon.take()).toEqual(['failover 1', 'lost 1 mode 2 port_gone failed-over', 'init 1 mode 2 fresh']);
    expect(bench.result(bench.port(9), generation2.checkpoint(SECONDARY, { pid: 9, ack: true }))).toBe(0);
  });
});

describe('a restarted daemon', () => {
  test('goes on with a controller on a netlink port that is still there', () => {
    const bench = restarted(held());
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 restored']);
    bench.channel.notify(1);
    expect(bench.notices()[0]).toMatch(/^netlink:4242 1c000000000c/);
    expect(bench.say(bench.port(PID), generation2.checkpoint(PRIMARY, { pid: PID }))).toEqual([]);
    expect(bench.daemon.take()).toEqual(['checkpoint 1']);
    for (let i = 0; i < 5; i++) bench.tick(1000);
    expect(bench.daemon.take()).toEqual([]);
  });

  test('notifies a generation-1 controller in generation 1', () => {
    const old = new Bench();
    old.ask(old.port(1), generation1.init({ pid: 1 }));
    const bench = restarted(old);
    bench.channel.notify(1);
    expect(bench.notices()).toEqual(['netlink:1 1100000011000000000000000100000001000000']);
  });

  test('repeats the notice that had not been sent', () => {
    const old = held();
    old.sendResult = -11;
    old.channel.notify(1);
    const bench = restarted(old);
    bench.tick(0);
    expect(bench.notices()).toHaveLength(1);
  });

  test('notices at once that its controller died in between, or that its port id changed hands', () => {
    for (const change of ['gone', 'reused'] as const) {
      const old = held();
      if (change === 'gone') old.ports!.delete(PID);
      else old.ports!.set(PID, 3);
      const bench = restarted(old);
      expect(bench.daemon.take()).toEqual(['init 1 mode 1 restored', `lost 1 mode 1 port_${change}`]);
    }
  });

  test('answers the first INIT of the controller that it had with 0, the second with EEXIST', () => {
    const bench = restarted(held());
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 restored', 'init 1 mode 1 reattached']);
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(EEXIST);
    expect(bench.result(bench.port(9), generation2.init(PRIMARY, { pid: 9 }))).toBe(EEXIST);
  });

  test('waits for a controller on a Unix socket, and takes it up again', () => {
    const old = new Bench([SECONDARY_1]);
    old.ask(old.unix(3, 0, 555), generation2.init(SECONDARY, { pid: 0 }));
    old.ask(old.unix(3, 0, 555), generation2.failover(SECONDARY, { pid: 0 }));
    const bench = restarted(old, [SECONDARY_1]);
    bench.tick(1900);
    expect(bench.daemon.take()).toEqual(['init 1 mode 2 restored failed-over']);
    expect(bench.result(bench.unix(1, 0, 555), generation2.init(SECONDARY, { pid: 0 }))).toBe(0);
    bench.tick(1000);
    expect(bench.daemon.take()).toEqual(['init 1 mode 2 reattached failed-over']);
  });

  test('sends a controller that came back what it had missed', () => {
    const old = new Bench();
    old.ask(old.unix(3, 0, 555), generation2.init(PRIMARY, { pid: 0 }));
    const bench = restarted(old);
    bench.channel.notify(1);
    expect(bench.channel.busy).toBe(false);
    expect(bench.notices()).toEqual([]);
    bench.ask(bench.unix(1, 0, 555), generation2.init(PRIMARY, { pid: 0 }));
    expect(bench.channel.busy).toBe(true);
    bench.tick(0);
    expect(bench.notices()).toHaveLength(1);
    expect(bench.notices()[0]).toMatch(/^unix:1 /);
  });

  test('tells a controller that came back again what it may not have read', () => {
    const old = new Bench();
    old.ask(old.unix(3, 0, 555), generation2.init(PRIMARY, { pid: 0 }));
    old.channel.notify(1);
    expect(old.notices()).toHaveLength(1);
    const bench = restarted(old);
    bench.ask(bench.unix(1, 0, 555), generation2.init(PRIMARY, { pid: 0 }));
    bench.tick(0);
    expect(bench.notices()).toHaveLength(1);
  });

  test('gives a Unix controller up after two seconds', () => {
    const old = new Bench();
    old.ask(old.unix(3, 0, 555), generation2.init(PRIMARY, { pid: 0 }));
    const bench = restarted(old);
    bench.tick(1999);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 restored']);
    bench.tick(1);
    expect(bench.daemon.take()).toEqual(['lost 1 mode 1 not_back']);
  });

  test('takes another process for a new pair', () => {
    const old = new Bench();
    old.ask(old.unix(3, 0, 555), generation2.init(PRIMARY, { pid: 0 }));
    const bench = restarted(old);
    expect(bench.result(bench.unix(1, 0, 556), generation2.init(PRIMARY, { pid: 0 }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 restored', 'lost 1 mode 1 replaced', 'init 1 mode 1 fresh']);
  });

  test('decides again about a node whose controller was lost before', () => {
    const old = held();
    old.ports!.delete(PID);
    old.tick(1000);
    const bench = restarted(restarted(old));
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 restored', 'lost 1 mode 1 port_gone']);
    expect(bench.result(bench.port(9), generation2.init(PRIMARY, { pid: 9 }))).toBe(0);
    expect(restarted(bench).daemon.take()).toEqual(['init 1 mode 1 restored']);
  });

  test('loses a node that it cannot take up', () => {
    const bench = restarted(held(), [PRIMARY_1], ({ daemon }) => {
      daemon.result = { refused: 'busy' };
    });
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 restored', 'lost 1 mode 1 not_restored']);
  });

  test('forgets nodes that are configured no more, or in another role', () => {
    const old = held();
    expect(restarted(old, [PRIMARY_2]).daemon.take()).toEqual([]);
    expect(restarted(old, [SECONDARY_1]).daemon.take()).toEqual([]);
  });

  test.each([
    ['null', null],
    ['text', 'state'],
    ['another version', { version: 2, nodes: [] }],
    ['no nodes', { version: 1 }],
    ['a node that is none', { version: 1, nodes: [null] }],
    ['a node without its fields', { version: 1, nodes: [{ index: 1 }] }],
    [
      'a mode that is none',
      { version: 1, nodes: [{ index: 1, mode: 9, failedOver: false, checkpointWanted: false, noticePending: false }] },
    ],
    [
      'a claim without its fields',
      {
        version: 1,
        nodes: [
          {
            index: 1,
            mode: 1,
            failedOver: false,
            checkpointWanted: false,
            noticePending: false,
            claim: { generation: 3 },
          },
        ],
      },
    ],
  ])('says what is wrong with a saved state that is %s, and starts from nothing', (_name, state) => {
    const bench = new Bench();
    expect(bench.channel.resume(state, 0)).toEqual(expect.any(String));
    expect(bench.daemon.take()).toEqual([]);
    expect(bench.result(bench.port(1), generation2.init(PRIMARY, { pid: 1 }))).toBe(0);
  });
});

describe('a detached node', () => {
  test('outlives the connection that made it, and a restart', () => {
    const bench = new Bench();
    expect(bench.result(bench.unix(1), generation2.init(PRIMARY, { pid: 0, detached: true }))).toBe(0);
    bench.channel.connectionClosed(1);
    bench.tick(3000);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh']);
    const next = restarted(bench);
    next.tick(5000);
    expect(next.daemon.take()).toEqual(['init 1 mode 1 restored']);
    expect(next.result(next.unix(2), generation2.checkpoint(PRIMARY, { pid: 0, ack: true }))).toBe(0);
    expect(next.result(next.unix(2), generation2.init(PRIMARY, { pid: 0, detached: true }))).toBe(EEXIST);
  });

  test('has nobody to notify, and says so', () => {
    const bench = new Bench();
    bench.ask(bench.unix(1), generation2.init(PRIMARY, { pid: 0, detached: true }));
    bench.channel.notify(1);
    expect(bench.channel.counters.get('notices_unheard')).toBe(1);
    expect(bench.channel.busy).toBe(false);
  });

  test('goes to a controller that comes, or ends by LEAVE', () => {
    const bench = new Bench();
    bench.ask(bench.unix(1), generation2.init(PRIMARY, { pid: 0, detached: true }));
    expect(bench.result(bench.port(PID), generation2.init(PRIMARY, { pid: PID }))).toBe(0);
    expect(bench.daemon.take()).toEqual(['init 1 mode 1 fresh', 'lost 1 mode 1 replaced', 'init 1 mode 1 fresh']);
    expect(bench.result(bench.unix(1), own.leave())).toBe(0);
    expect(bench.daemon.take()).toEqual(['lost 1 mode 1 left']);
    expect(bench.result(bench.unix(1), own.leave())).toBe(-2);
  });
});

test('onChange tells of everything that a successor needs, and not of notices', () => {
  const bench = new Bench([SECONDARY_1]);
  const steps: [() => unknown, number][] = [
    [() => bench.ask(bench.unix(1), generation2.init(SECONDARY, { pid: 0 })), 1],
    [() => bench.channel.notify(1), 0],
    [() => bench.ask(bench.unix(1), generation2.checkpoint(SECONDARY, { pid: 0 })), 0],
    [() => bench.ask(bench.unix(1), generation2.failover(SECONDARY, { pid: 0 })), 1],
    [() => bench.channel.connectionClosed(1), 1],
  ];
  for (const [step, changes] of steps) {
    const before = bench.changes;
    step();
    expect(bench.changes - before).toBe(changes);
  }
});

test('a loss is told after the node is free: the daemon may look, and a new controller may come in it', () => {
  class Curious extends RecordingDaemon {
    bench: Bench | undefined;
    override controllerLost(): void {
      expect(this.bench!.channel.table.at(1)!.claim).toBeUndefined();
      this.calls.push('looked');
    }
  }
  const daemon = new Curious();
  const bench = new Bench([PRIMARY_1], {}, daemon);
  daemon.bench = bench;
  bench.ask(bench.unix(1), generation2.init(PRIMARY, { pid: 0 }));
  bench.channel.connectionClosed(1);
  expect(daemon.take()).toEqual(['init 1 mode 1 fresh', 'looked']);
});
