// What operators and controllers do, and what happens when they go: rules at run time, strangers, lost controllers,
// signals.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Conntrack } from '../../src/io/conntrack';
import { PacketSocket } from '../../src/io/packet-socket';
import { gratuitousArpFrame } from '../../src/packet/arp';
import { unsolicitedNaFrame } from '../../src/packet/neighbour';
import { flowMeta } from '../../src/packet/tuple';
import { CLIENT_IP, CLIENT_IP6, GUEST_IP, GUEST_IP6, GUEST_MAC, type LabProcess } from './lab';
import { requires } from './requires';
import type { Transfer } from './support/client';
import { GUEST_PORT, Pair, SECRETS } from './support/pair';
import { sleep, until } from './support/wait';
import { Wire } from './support/wire';

jest.setTimeout(180_000);

const ROOT = process.env.COLO_ROOT ?? join(__dirname, '..', '..');
/** Four words as in a flow record. The IPv6 addresses here are fd77::N. */
const addressWords = (text: string): number[] =>
  text.includes(':')
    ? [0xfd770000, 0, 0, Number.parseInt(text.split('::')[1]!, 16)]
    : [text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0), 0, 0, 0];
const NOBODY = '65534';
const BYPASS = { protocol: 'tcp', ports: GUEST_PORT, end: 'guest' };

requires('netns', 'nfqueue')('control', () => {
  let pair: Pair;
  let wire: Wire;
  afterEach(() => pair?.destroy());

  async function start(node: Record<string, unknown> = {}): Promise<void> {
    pair = await Pair.create({ link: 'ethernet', node: { compareTimeoutMs: 300_000, ...node } });
    wire = await Wire.listen(pair);
  }

  const askSecret = (): Transfer =>
    pair.client.begin({ op: 'text', host: GUEST_IP, port: GUEST_PORT, path: '/secret' });

  /** The PVM's answer is held, because the SVM's differs. */
  async function holdSecret(): Promise<Transfer> {
    const before = pair.controllers.primary.notices;
    const question = askSecret();
    await until('notice', () => pair.controllers.primary.notices > before);
    await until('held packets', async () => (await pair.controllers.primary.status()).heldPackets > 0);
    expect(await wire.count(SECRETS.primary)).toBe(0);
    return question;
  }

  const state = async (): Promise<string> => (await pair.controllers.primary.status()).state;

  test('a bypass rule at run time: the PVM is heard at once, the SVM never, both are counted', async () => {
    await start();
    await pair.controllers.primary.bypassAdd(BYPASS);
    const outcome = await pair.client.finish(askSecret());
    expect(outcome.text).toContain(SECRETS.primary);
    const counted = async () => (await pair.stats('primary')).counters;
    await until('bypassed packets of both', async () => {
      const { primary_bypassed, secondary_bypassed } = await counted();
      return primary_bypassed! > 0 && secondary_bypassed! > 0;
    });
    expect(await wire.count(SECRETS.secondary)).toBe(0);
    expect(await counted()).toMatchObject({
      divergences: 0,
      primary_unprotected: pair.unprotectedBefore,
      deltas_lost: 0,
      peer_resets_lost: 0,
      guest_queue_malformed: 0,
      forward_queue_verdict_errors: 0,
    });
    expect(pair.controllers.primary.notices).toBe(0);
  });

  test('SIGHUP reads the bypass rules of the configuration again', async () => {
    await start();
    pair.writeConfig('primary', { bypass: [BYPASS] });
    pair.daemons.primary.child.kill('SIGHUP');
    await pair.daemons.primary.waitFor(/bypass rules read again/);
    expect((await pair.client.finish(askSecret())).text).toContain(SECRETS.primary);
    pair.writeConfig('primary', { bypass: 'nonsense' });
    pair.daemons.primary.child.kill('SIGHUP');
    await pair.daemons.primary.waitFor(/the old bypass rules stay/);
    expect((await pair.client.finish(askSecret())).text).toContain(SECRETS.primary);
  });

  test('a stranger is refused on both carriers, and the daemon says so', async () => {
    await start();
    // Its way to the socket is open: it is the daemon that refuses.
    chmodSync(pair.lab.dir, 0o755);
    const program = join(ROOT, 'dist', 'cli', 'main.js');
    const as = (uid: string, args: string[]) =>
      pair.lab.exec('pn', 'setpriv', [`--reuid=${uid}`, '--clear-groups', process.execPath, ...args], {
        allowFailure: true,
      });
    const ctl = [program, 'ctl', 'release', '--socket', pair.socketPath('primary')];
    const refused = await as(NOBODY, ctl);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/permitted|EPERM|denied/);
    expect((await as('0', ctl)).code).toBe(0);
    const script = `
      const { NetlinkSocket, NETLINK_USERSOCK } = require(${JSON.stringify(join(ROOT, 'dist/io/netlink-socket.js'))});
      const { generation2, readDatagram } = require(${JSON.stringify(join(ROOT, 'dist/nfnetlink-colo/client.js'))});
      const socket = new NetlinkSocket({ protocol: NETLINK_USERSOCK }, {
        onMessage: (bytes) => { console.log('answer', readDatagram(Uint8Array.from(bytes))[0].result); process.exit(0); },
        onClose: (error) => { console.log(error); process.exit(1); },
      });
      socket.send(generation2.checkpoint(1, { pid: 1, ack: true }), 28);`;
    expect((await as(NOBODY, ['-e', script])).stdout).toBe('answer -1\n');
    expect((await as('0', ['-e', script])).stdout).toMatch(/answer (0|-17)\n/);
    const status = (await pair.controllers.primary.status()) as Record<string, unknown>;
    expect(status.state).toBe('comparing');
  });

  test('colo ctl says what is in the way of a command', async () => {
    await start();
    const ctl = async (...words: string[]): Promise<string> => {
      const args = ['ctl', ...words, '--socket', pair.socketPath('primary')];
      const { code, stdout, stderr } = await pair.lab.exec('pn', join(ROOT, 'bin/colo'), args, { allowFailure: true });
      return `${code} ${stdout}${stderr}`;
    };
    expect(await ctl('init')).toMatch(/^2 .*has a controller already\n.*ctl leave/);
    expect(await ctl('failover')).toMatch(/^2 .*is a primary\n.*secondary host/);
    expect(await ctl('bypass', 'add', '--protocol', 'tpc')).toMatch(/^2 .*protocol: must be one of .*\n$/);
    expect(await ctl('leave')).toMatch(/^0 /);
    expect(await ctl('checkpoint')).toMatch(/^2 .*has no controller\n.*ctl init/);
  });

  test.each(['primary', 'secondary'] as const)(
    "the %s's status has the mode that its controller said",
    async (side) => {
      await start();
      const status = (await pair.controllers[side].status()) as Record<string, unknown>;
      expect(status).toMatchObject({ role: side, mode: side, failedOver: false });
    },
  );

  test('a lost controller, policy release: what is held goes out, whole, and the node says that it is unprotected', async () => {
    await start();
    const question = await holdSecret();
    pair.controllers.primary.close();
    await until('unprotected node', async () => (await state()) === 'unprotected');
    expect(pair.daemons.primary.output).toMatch(/UNPROTECTED/);
    expect((await pair.client.finish(question)).text).toBe(`the secret is ${SECRETS.primary}\n`);
    expect((await pair.client.finish(askSecret())).text).toContain(SECRETS.primary);
    expect(await wire.count(SECRETS.secondary)).toBe(0);
  });

  test.each(['controller first', 'port first'])(
    'controller and guest gone together, %s: what is held is never seen',
    async (order) => {
      await start();
      const question = await holdSecret();
      if (order === 'controller first') pair.controllers.primary.close();
      pair.lab.killGuest('pvm');
      if (order !== 'controller first') pair.controllers.primary.close();
      await until('dead guest', async () => (await state()) === 'guest-dead');
      expect((await pair.controllers.primary.status()).heldPackets).toBe(0);
      expect(await wire.count(SECRETS.primary)).toBe(0);
      expect(question.outcome).toBeUndefined();
    },
  );

  test('a lost controller, policy hold: nothing goes out', async () => {
    await start({ onControllerLoss: 'hold' });
    await holdSecret();
    pair.controllers.primary.close();
    await pair.daemons.primary.waitFor(/what is held stays held/);
    expect((await pair.controllers.primary.status()).heldPackets).toBeGreaterThan(0);
    expect(await wire.count(SECRETS.primary)).toBe(0);
  });

  test('a lost controller, policy drop: what is held is gone', async () => {
    await start({ onControllerLoss: 'drop' });
    await holdSecret();
    pair.controllers.primary.close();
    await pair.daemons.primary.waitFor(/what was held is dropped/);
    expect(await wire.count(SECRETS.primary)).toBe(0);
  });

  test.each(['a control socket', 'a metrics port'])(
    'a daemon that finds %s taken ends, and leaves its queues',
    async (what) => {
      await start();
      const file = join(pair.lab.dir, 'second.yaml');
      const second = {
        role: 'primary',
        stateDir: join(pair.lab.dir, 'second'),
        nodes: [
          {
            index: 2,
            guestPort: 'tap0',
            forwardPort: 'fwd0',
            queues: { guest: 7, forward: 8, guestUdp: 9, forwardUdp: 10 },
          },
        ],
        control: { netlinkPort: 29, unixPath: join(pair.lab.dir, 'second.sock') },
        metricsPort: 9464,
      };
      let holder: LabProcess | undefined;
      if (what === 'a control socket') second.control.unixPath = pair.socketPath('primary');
      else {
        const script = "require('node:http').createServer().listen(9464, '127.0.0.1', () => console.log('listens'))";
        holder = pair.lab.spawn('pn', process.execPath, ['-e', script]);
        await holder.waitFor(/listens/);
      }
      writeFileSync(file, JSON.stringify(second));
      const program = join(ROOT, 'dist', 'cli', 'main.js');
      const daemon = pair.lab.spawn('pn', process.execPath, [program, 'primary', '--config', file]);
      expect(await daemon.ended(15_000)).toBe(2);
      expect(daemon.output).toMatch(/^colo: .*EADDRINUSE.*\ncolo: /);
      const queues = pair.lab.execSync('pn', 'cat', ['/proc/net/netfilter/nfnetlink_queue']);
      expect(queues).not.toMatch(/^ *([789]|10) /m);
      await holder?.stop();
    },
  );

  test('a state directory that cannot be written does not stop a failover, and is written when it can be', async () => {
    await start();
    const kept = join(pair.lab.dir, 'secondary', 'control-secondary');
    mkdirSync(`${kept}.new`);
    pair.lab.killPrimary();
    await pair.controllers.secondary.failover();
    const daemon = pair.daemons.secondary;
    await daemon.waitFor(/the guest is on the outer bridge/);
    await daemon.waitFor(/"level":"error".*EISDIR.*cannot be kept/);
    expect(readFileSync(kept, 'utf8')).toContain('"failedOver":false');
    rmdirSync(`${kept}.new`);
    await until('kept state', () => readFileSync(kept, 'utf8').includes('"failedOver":true'));
    expect(daemon.exitCode).toBeUndefined();
    expect(daemon.output.match(/cannot be kept/g)).toHaveLength(1);
  });

  test('an ARP or ND request of the SVM asks for a checkpoint, once an epoch, also after the forward port was off', async () => {
    await start();
    const { primary } = pair.controllers;
    const asked = async () => (await pair.stats('primary')).requests.secondary_address_request;
    const request = () =>
      pair.lab.exec('svm', 'busybox', ['arping', '-c', '1', '-w', '1', '-I', 'eth0', '10.77.0.77'], {
        allowFailure: true,
      });
    const fwd0 = (...change: string[]) => pair.lab.execSync('pn', 'ip', ['link', 'set', 'dev', 'fwd0', ...change]);
    /** The daemon listens again a moment after the port is back. */
    const askedAgain = async (times: number): Promise<void> => {
      await until('a request that is heard', async () => {
        await request();
        return (await asked()) === times;
      });
    };
    await request();
    await until('notice', () => primary.notices === 1);
    expect(await asked()).toBe(1);
    await request();
    expect(await asked()).toBe(1);
    await primary.checkpoint();
    await askedAgain(2);

    await primary.checkpoint();
    fwd0('down');
    await sleep(100);
    fwd0('up');
    await askedAgain(3);
    expect(primary.notices).toBe(3);

    // Neighbour discovery comes by the queue.
    await primary.checkpoint();
    await pair.lab.exec('svm', 'busybox', ['ping', '-6', '-c', '1', '-W', '1', 'fd77::77'], { allowFailure: true });
    await until('notice', () => primary.notices === 4);
    expect(await asked()).toBe(4);
  });

  test("at a failover the network is told where the guest's addresses are now", async () => {
    await start();
    for (const host of [GUEST_IP, GUEST_IP6]) {
      await pair.client.run({ op: 'get', host, port: GUEST_PORT, bytes: 1000 }, 60_000);
    }
    const guest = new PacketSocket({ interface: 'eth0', netns: pair.lab.ns.svm }, { onFrame: () => {} });
    const mac = Buffer.from(GUEST_MAC.replaceAll(':', ''), 'hex');
    guest.send(gratuitousArpFrame(mac, 0x0a4d0002));
    guest.send(unsolicitedNaFrame(mac, Buffer.from('fd770000000000000000000000000002', 'hex')));
    guest.close();
    await until('claims', async () => {
      const { addressesClaimed } = (await pair.controllers.secondary.status()) as Record<string, unknown>;
      return (addressesClaimed as number) >= 2;
    });
    const heard = pair.lab.spawn('client', 'tcpdump', ['-lnei', 'lan0', 'arp or icmp6']);
    await heard.waitFor(/listening on/);
    pair.lab.killPrimary();
    await pair.controllers.secondary.failover();
    await pair.daemons.secondary.waitFor(/addresses are announced/);
    await heard.waitFor(new RegExp(`${GUEST_MAC} > ff:ff:ff:ff:ff:ff.*ARP.*${GUEST_IP}.*tell ${GUEST_IP}`));
    await heard.waitFor(new RegExp(`${GUEST_MAC} > 33:33:00:00:00:01.*neighbor advertisement.*${GUEST_IP6}`));
  });

  test.each([GUEST_IP, GUEST_IP6])('a reset of a connection to %s by its peer reaches the primary', async (host) => {
    await start();
    const script = `
      const socket = require('node:net').connect(${GUEST_PORT}, '${host}', () => socket.write('GET /secret HTTP/1.1\\r\\n\\r\\n'));
      setTimeout(() => { socket.resetAndDestroy(); console.log('reset'); }, 500);`;
    await pair.lab.spawn('client', process.execPath, ['-e', script]).waitFor(/reset/);
    await until('reset', async () => (await pair.stats('primary')).counters.flows_reset_by_peer! > 0);
    // What was held of it is wanted by nobody.
    expect((await pair.stats('primary')).gauges.held_packets).toBe(0);
  });

  test.each([
    [CLIENT_IP, GUEST_IP, flowMeta(0, 4, 6)],
    [CLIENT_IP6, GUEST_IP6, flowMeta(0, 6, 6)],
  ])(
    'the primary can ask whether the peer %s has answered %s, of which the guest has said nothing',
    async (from, to, meta) => {
      await start();
      const script = `
      const socket = require('node:net').connect({ port: ${GUEST_PORT}, host: '${to}', localPort: 40001 }, () => console.log('open'));
      setTimeout(() => {}, 60_000);
      process.once('SIGUSR2', () => { socket.resetAndDestroy(); console.log('reset'); });`;
      const conntrack = new Conntrack(pair.lab.ns.pn);
      try {
        const key = (peerPort: number) =>
          Uint32Array.of(...addressWords(to), ...addressWords(from), ((GUEST_PORT << 16) | peerPort) >>> 0, meta);
        const client = pair.lab.spawn('client', process.execPath, ['-e', script]);
        await client.waitFor(/open/);
        expect([conntrack.hasAnswered(key(40001)), conntrack.hasAnswered(key(40002))]).toEqual([true, false]);
        // Over and over: no answer is taken for another's.
        for (let i = 0; i < 1000; i++) expect(conntrack.hasAnswered(key(40001 + (i & 1)))).toBe((i & 1) === 0);
        client.child.kill('SIGUSR2');
        await client.waitFor(/reset/);
        await until('reset', () => !conntrack.hasAnswered(key(40001)));
      } finally {
        conntrack.close();
      }
    },
  );

  test('SIGTERM ends the daemon and lets nothing out', async () => {
    await start();
    await holdSecret();
    expect(await pair.daemons.primary.stop('SIGTERM')).toBe(0);
    expect(await wire.count(SECRETS.primary)).toBe(0);
  });

  test('a daemon that cannot have all that it needs ends, and says what it was', async () => {
    await start();
    const words = [
      '--index',
      '2',
      '--guest-port',
      'tap0',
      '--forward-port',
      'fwd0',
      '--state-dir',
      join(pair.lab.dir, 'other'),
    ];
    const second = pair.lab.spawn('pn', join(ROOT, 'bin/colo'), ['primary', ...words]);
    // The queues are the first daemon's.
    expect(await second.ended()).toBe(2);
    expect(second.output).toMatch(/NFQUEUE 100: resource busy/);
  });

  test('a control port that somebody else has is said loudly, and taken when it is free', async () => {
    await start();
    const state = join(pair.lab.dir, 'other');
    const words = ['--index', '2', '--guest-port', 'tap0', '--forward-port', 'fwd0', '--state-dir', state];
    const queues = [
      '--guest-queue',
      '110',
      '--forward-queue',
      '111',
      '--guest-udp-queue',
      '112',
      '--forward-udp-queue',
      '113',
    ];
    const second = pair.lab.spawn('pn', join(ROOT, 'bin/colo'), ['primary', ...words, ...queues]);
    await second.waitFor(/"msg":"ready"/);
    expect(second.output).toMatch(
      /"level":"error".*port id 28: address already in use.*"holder":"pid \d+ .*NO CONTROLLER CAN BE HEARD/,
    );
    const status = await pair.lab.exec('pn', join(ROOT, 'bin/colo'), [
      'status',
      '--socket',
      join(state, 'primary.sock'),
    ]);
    expect(status.stdout).toMatch(/!! NO CONTROLLER CAN BE HEARD OVER NETLINK: .*port id 28/);
    await pair.daemons.primary.stop('SIGTERM');
    await second.waitFor(/controllers can be heard over netlink again/);
  });

  test('the daemons run with two capabilities and no more, in every thread', async () => {
    await start();
    // CAP_NET_ADMIN and CAP_NET_RAW
    const allowed = (1n << 12n) | (1n << 13n);
    for (const daemon of Object.values(pair.daemons)) {
      const threads = readdirSync(`/proc/${daemon.pid}/task`);
      expect(threads.length).toBeGreaterThan(1);
      for (const thread of threads) {
        const status = readFileSync(`/proc/${daemon.pid}/task/${thread}/status`, 'utf8');
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
          const bits = BigInt(`0x${new RegExp(`${set}:\\s*(\\w+)`).exec(status)![1]}`);
          expect([set, bits & ~allowed]).toEqual([set, 0n]);
        }
      }
    }
  });
});
