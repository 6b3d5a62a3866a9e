// A forward link that loses and reorders one frame in a hundred, both ways: what the hosts tell each other comes late, in another
// order or not at all, and still nothing wrong is let out and a download arrives. Several transfers at once do not yet finish
// reliably over such a link (see the limits in the README), so only one is asked for here.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expected } from './guest/content';
import { type Lab, type LabProcess, MIRROR_LINES } from './lab';
import { requires } from './requires';
import type { Order } from './support/client';
import { ADDRESSES, GUEST_PORT, Pair } from './support/pair';

jest.setTimeout(300_000);

const PER_10000 = '100';
const SEED = process.env.COLO_SEED ?? '7';
const port = GUEST_PORT;
const BYTES = 200_000;

requires('netns', 'nfqueue')(`a forward link that loses and reorders 1 %, seed ${SEED}`, () => {
  let pair: Pair;
  let relay: LabProcess;

  /** Puts the relay between the two hosts, where a cable was. */
  async function cut(lab: Lab): Promise<void> {
    const program = `${lab.dir}/relay`;
    execFileSync('gcc', ['-O2', '-Wall', '-Werror', '-o', program, join(__dirname, 'support', 'relay.c')]);
    lab.execSync('pn', 'ip', ['link', 'del', 'fwd0']);
    relay = lab.spawn('client', program, [lab.ns.pn, lab.ns.sn, PER_10000, PER_10000, SEED]);
    await relay.waitFor(/ready/);
    for (const role of ['pn', 'sn'] as const) {
      lab.execSync(role, 'ip', ['link', 'set', 'fwd0', 'master', 'colobr0', 'up']);
      lab.execSync(role, 'sysctl', ['-qw', 'net.ipv6.conf.fwd0.disable_ipv6=1']);
    }
    lab.execSync('pn', 'tc', ['qdisc', 'del', 'dev', 'tap0', 'clsact']);
    lab.execSync('pn', 'tc', ['-batch', '-'], `${MIRROR_LINES.join('\n')}\n`);
  }

  beforeAll(async () => {
    pair = await Pair.create({ prepare: cut, node: { compareTimeoutMs: 600_000 } });
  });
  afterAll(() => pair?.destroy());

  test('a download arrives whole, and nothing was let out unverified', async () => {
    const orders: Order[] = [{ op: 'get', host: ADDRESSES.IPv4, port, bytes: BYTES }];
    const transfers = orders.map((order) => pair.client.begin(order));
    for (const transfer of transfers) {
      const outcome = await pair.client.finish(transfer, 240_000).catch(async (error: Error) => {
        throw new Error(`${error.message}\n${await pair.account()}`);
      });
      expect(outcome).toMatchObject({ bytes: BYTES, sha256: expected(BYTES) });
    }
    await pair.provenEqual();
    await relay.stop('SIGTERM');
    const [, lost, reordered] = relay.output.match(/lost (\d+) reordered (\d+)/)!;
    expect(Number(lost)).toBeGreaterThan(0);
    expect(Number(reordered)).toBeGreaterThan(0);
  });
});
