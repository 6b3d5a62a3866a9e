// Somebody else's firewall reload takes the rules of a protected node: the daemon notices, says so, and puts them back
// if it may.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lab, type LabProcess } from './lab';
import { requires } from './requires';
import { Controller, NODE_INDEX } from './support/controller';
import { until } from './support/wait';

jest.setTimeout(120_000);

const BIN = join(process.env.COLO_ROOT ?? join(__dirname, '..', '..'), 'bin/colo');

const VLAN_SYSCTL = 'net.bridge.bridge-nf-filter-vlan-tagged';

requires('netns', 'nfqueue')('rules that somebody has flushed', () => {
  let lab: Lab;
  afterEach(() => lab?.destroy());

  let file: string;
  let daemon: LabProcess;
  let controller: Controller;

  async function protect(restoreRules: boolean): Promise<void> {
    lab = await Lab.create({ plumbing: false });
    file = join(lab.dir, 'primary.json');
    const nodes = [{ index: NODE_INDEX, guestPort: 'tap0', forwardPort: 'fwd0' }];
    writeFileSync(file, JSON.stringify({ role: 'primary', stateDir: join(lab.dir, 'state'), restoreRules, nodes }));
    await rules('apply');
    daemon = lab.spawn('pn', BIN, ['primary', '--config', file]);
    await daemon.waitFor(/"msg":"ready"/);
    controller = new Controller(join(lab.dir, 'state', 'primary.sock'), 'primary');
    expect(await controller.init()).toBe(0);
    await becomes('comparing');
  }
  const rules = (what: 'apply' | 'remove') => lab.exec('pn', BIN, ['rules', what, '--config', file]);
  const becomes = (state: string): Promise<unknown> =>
    until(state, async () => (await controller.status()).state === state);
  const count = (what: RegExp): number => daemon.output.match(what)?.length ?? 0;

  /** What has passed meanwhile nobody has seen: a checkpoint is asked for. */
  async function mended(): Promise<void> {
    await becomes('waiting-for-checkpoint');
    await controller.checkpoint();
    await becomes('comparing');
    expect(await controller.status()).toMatchObject({ protected: true, rulesMissing: [] });
  }

  const FLUSHES: [program: string, words: string[], what: RegExp][] = [
    ['tc', ['qdisc', 'del', 'dev', 'tap0', 'clsact'], /^no mirror$/],
    ['nft', ['flush', 'table', 'netdev', 'colo-1'], /^nft table netdev colo-1 missing or changed$/],
    ['ip', ['link', 'set', 'br0', 'type', 'bridge', 'nf_call_iptables', '0'], /^br0 does not call iptables$/],
    ['sysctl', ['-qw', `${VLAN_SYSCTL}=0`], /^sysctl net.bridge.bridge-nf-filter-vlan-tagged is not 1$/],
    ['iptables', ['-t', 'mangle', '-F'], /^iptables rules missing$/],
  ];

  test('told, whichever it is, until they are applied again', async () => {
    await protect(false);
    for (const [program, words, what] of FLUSHES) {
      lab.execSync('pn', program, words);
      await until(`word of ${program}`, async () => {
        const { rulesMissing } = (await controller.status()) as unknown as { rulesMissing: string[] };
        return rulesMissing.some((text) => what.test(text));
      });
      expect(await controller.status()).toMatchObject({ state: 'rules-missing', protected: false });
    }
    expect(daemon.output).toMatch(/"level":"error".*RULES ARE GONE/);
    const status = await lab.exec('pn', BIN, ['status', '--socket', controller.path]);
    expect(status.stdout).toMatch(/!! node vm1: RULES ARE GONE \(colo rules apply\): .*no mirror/);
    await rules('apply');
    await mended();
  });

  test('put back where the configuration says so, but not once they were removed', async () => {
    await protect(true);
    for (const [program, words] of [...FLUSHES, ['nft', ['flush', 'ruleset']] as const]) {
      const before = count(/the rules are put back/g);
      lab.execSync('pn', program, words as string[]);
      await until(`rules again after ${program}`, () => count(/the rules are put back/g) > before);
      await mended();
    }
    // With the two capabilities that the daemon has kept nothing is left undone.
    expect((await rules('apply')).stdout).toMatch(/everything was in place/);
    const before = count(/the rules are put back/g);
    await rules('remove');
    await becomes('rules-missing');
    const seen = count(/RULES ARE GONE/g);
    lab.execSync('pn', 'ip', [
      'link',
      'set',
      'br0',
      'type',
      'bridge',
      'nf_call_iptables',
      '1',
      'nf_call_ip6tables',
      '1',
    ]);
    await until('another look', () => count(/RULES ARE GONE/g) > seen);
    expect(count(/the rules are put back/g)).toBe(before);
    expect(lab.execSync('pn', 'iptables-save', ['-t', 'mangle'])).not.toMatch(/colo:1/);
  });
});
