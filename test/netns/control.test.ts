// What the outside world does to a daemon: signals, strangers, controllers that go away, rules changed while it runs.

import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { requires } from './requires';
import { NODE_INDEX } from './support/controller';
import { ADDRESSES, GUEST_PORT, Pair, SECRETS } from './support/pair';
import { until } from './support/wait';

jest.setTimeout(180_000);

const CAP_NET_ADMIN = 1n << 12n;
const CAP_NET_RAW = 1n << 13n;
const COLO = `${__dirname}/../../dist/cli/main.js`;

const secret = (pair: Pair) =>
  pair.client.begin({ op: 'text', host: ADDRESSES.IPv4, port: GUEST_PORT, path: '/secret' });

async function held(pair: Pair): Promise<void> {
  await until('a held answer', async () => (await pair.controllers.primary.status()).state === 'waiting-for-checkpoint');
}

requires('netns', 'nfqueue')('a running daemon', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 60_000 } });
  });
  afterAll(() => pair?.destroy());

  test('has two capabilities, on every thread', () => {
    for (const daemon of Object.values(pair.daemons)) {
      for (const thread of readdirSync(`/proc/${daemon.pid}/task`)) {
        const status = readFileSync(`/proc/${daemon.pid}/task/${thread}/status`, 'utf8');
        for (const set of ['CapPrm', 'CapEff', 'CapBnd']) {
          const bits = BigInt(`0x${new RegExp(`${set}:\\s*(\\w+)`).exec(status)![1]}`);
          expect([set, bits & ~(CAP_NET_ADMIN | CAP_NET_RAW)]).toEqual([set, 0n]);
        }
      }
    }
  });

  test('refuses a foreign user, and counts it', async () => {
    // The laboratory's own directory lets only root in.
    chmodSync(pair.lab.dir, 0o755);
    const { stderr, code } = await pair.lab.exec(
      'pn',
      'setpriv',
      ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, COLO, 'ctl', 'release', '--socket', pair.socketPath('primary')],
      { allowFailure: true },
    );
    expect(code).toBe(2);
    expect(stderr).toContain('the daemon refused: not permitted');
    const { stdout } = await pair.lab.exec('pn', process.execPath, [COLO, 'status', '--json', '--socket', pair.socketPath('primary')]);
    expect((JSON.parse(stdout) as { refused: { datagrams: number } }).refused.datagrams).toBeGreaterThan(0);
  });

  test('takes a bypass rule while it runs: what differs passes at once, and both sides are counted', async () => {
    await pair.controllers.primary.bypassAdd({ protocol: 'tcp', ports: GUEST_PORT, end: 'guest' });
    const outcome = await pair.client.run({ op: 'text', host: ADDRESSES.IPv4, port: GUEST_PORT, path: '/secret' });
    expect(outcome.text).toContain(SECRETS.primary);
    const { counters } = await pair.stats('primary');
    expect(counters.primary_bypassed).toBeGreaterThan(0);
    expect(counters.secondary_bypassed).toBeGreaterThan(0);
    expect(pair.controllers.primary.notices).toBe(0);
  });

  test('reads the bypass rules of its configuration again at SIGHUP', async () => {
    pair.writeConfig('primary', { bypass: [{ protocol: 'udp', ports: 5353 }] });
    process.kill(pair.daemons.primary.pid, 'SIGHUP');
    await pair.daemons.primary.waitFor(/bypass rules read again/);
    const { stdout } = await pair.lab.exec('pn', process.execPath, [COLO, 'ctl', 'bypass', 'list', '--json', '--socket', pair.socketPath('primary')]);
    expect(JSON.parse(stdout)).toEqual([{ protocol: 'udp', ports: 5353, end: 'either' }]);
  });
});

requires('netns', 'nfqueue')('a controller that goes away', () => {
  let pair: Pair;
  afterEach(() => pair?.destroy());

  test('leaves a living guest unprotected: what was held is released', async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 60_000 } });
    const answer = secret(pair);
    await held(pair);
    expect(answer.begun).toBe(false);
    pair.controllers.primary.close();
    await pair.daemons.primary.waitFor(/UNPROTECTED/);
    await until('the answer', () => answer.outcome !== undefined);
    expect(answer.outcome!.text).toContain(SECRETS.primary);
  });

  test('with the guest: what was held is dropped and never seen', async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 60_000 } });
    const capture = pair.lab.spawn('client', 'tcpdump', ['-U', '-w', `${pair.lab.dir}/client.pcap`, '-i', 'lan0']);
    await capture.waitFor(/listening on/);
    secret(pair);
    await held(pair);
    pair.lab.killGuest('pvm');
    pair.controllers.primary.close();
    await pair.daemons.primary.waitFor(/what was held is dropped/);
    await capture.stop('SIGINT');
    expect(readFileSync(`${pair.lab.dir}/client.pcap`, 'latin1')).not.toContain(SECRETS.primary);
  });

  test('with the policy `hold`, what is held waits for the next controller', async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 60_000, onControllerLoss: 'hold' } });
    const answer = secret(pair);
    await held(pair);
    pair.controllers.primary.close();
    await pair.daemons.primary.waitFor(/stays held/);
    const { stdout } = await pair.lab.exec('pn', process.execPath, [COLO, 'status', '--json', '--node', String(NODE_INDEX), '--socket', pair.socketPath('primary')]);
    expect((JSON.parse(stdout) as { nodes: { heldPackets: number }[] }).nodes[0]!.heldPackets).toBeGreaterThan(0);
    expect(answer.begun).toBe(false);
  });
});

requires('netns', 'nfqueue')('SIGTERM', () => {
  let pair: Pair;
  afterAll(() => pair?.destroy());

  test('ends a daemon with status 0, and lets nothing out that was held', async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 60_000 } });
    const capture = pair.lab.spawn('client', 'tcpdump', ['-U', '-w', `${pair.lab.dir}/client.pcap`, '-i', 'lan0']);
    await capture.waitFor(/listening on/);
    secret(pair);
    await held(pair);
    expect(await pair.daemons.primary.stop('SIGTERM')).toBe(0);
    await capture.stop('SIGINT');
    expect(readFileSync(`${pair.lab.dir}/client.pcap`, 'latin1')).not.toContain(SECRETS.primary);
  });
});
