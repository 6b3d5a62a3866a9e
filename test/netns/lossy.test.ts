// A forward link that loses and reorders one frame in a hundred, both ways: what the hosts tell each other comes late,
// in another order or not at all, and still nothing wrong is let out, and every transfer finishes without a
// checkpoint's help.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expected } from './guest/content';
import { type Lab, type LabProcess, MIRROR_LINES } from './lab';
import { requires } from './requires';
import type { Order } from './support/client';
import { ADDRESSES, GUEST_PORT, Pair } from './support/pair';

jest.setTimeout(330_000);

const PER_10000 = '100';
const SEED = process.env.COLO_SEED ?? '7';
const port = GUEST_PORT;
const BYTES = 100_000;

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
    pair = await Pair.create({ link: 'ethernet', prepare: cut, node: { compareTimeoutMs: 600_000 } });
  });
  afterAll(() => pair?.destroy());

  test('downloads, uploads and transfers that the guest opens arrive whole, and nothing was let out unverified', async () => {
    const orders: Order[] = [ADDRESSES.IPv4, ADDRESSES.IPv6].flatMap((host, i) => [
      { op: 'get', host, port, bytes: BYTES },
      { op: 'upload', host, port, bytes: BYTES },
      { op: 'dial', host, port, bytes: BYTES, local: 9100 + i },
    ]);
    const transfers = orders.map((order) => pair.client.begin(order));
    for (const transfer of transfers) {
      const outcome = await pair.client.finish(transfer, 270_000).catch(async (error: Error) => {
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
