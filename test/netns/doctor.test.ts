// `colo doctor`: it finds what is there, says what is not, and leaves nothing behind.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check } from '../../src/doctor/check';
import { Lab } from './lab';
import { requires } from './requires';

const ROOT = join(__dirname, '../..');
const LOAD = `require(${JSON.stringify(join(__dirname, 'lab-load.js'))})(${JSON.stringify(join(ROOT, 'src/cli/main.ts'))})`;

interface Report {
  ok: boolean;
  checks: Check[];
}

function doctor(
  prefix: string[],
  args: string[] = [],
  env: NodeJS.ProcessEnv = process.env,
): { status: number | null; report: Report } {
  const [program, ...rest] = [...prefix, process.execPath, '-e', LOAD, '--', 'doctor', '--json', ...args];
  const { status, stdout, stderr } = spawnSync(program!, rest, { encoding: 'utf8', env });
  if (stdout === '') throw new Error(stderr);
  return { status, report: JSON.parse(stdout) as Report };
}

const of = (report: Report, id: string): Check => report.checks.find((check) => check.id === id)!;

jest.setTimeout(120_000);

requires(
  'netns',
  'nfqueue',
  'addon',
)('doctor', () => {
  afterEach(() => {
    expect(readdirSync('/run/netns').filter((name) => name.startsWith('colo-doctor-'))).toEqual([]);
  });

  test('a machine that runs these tests has all that is needed', () => {
    const { status, report } = doctor([]);
    expect(report.checks.filter(({ needed, state }) => needed && state !== 'ok')).toEqual([]);
    expect({ status, ok: report.ok }).toEqual({ status: 0, ok: true });
    expect(of(report, 'trip').found).toBe('IPv4 and IPv6');
    // Whether this kernel has it or not, it is not needed.
    expect(of(report, 'conntrack-glue').needed).toBe(false);
  });

  test('without rights it says so, and does not guess', () => {
    const { status, report } = doctor(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']);
    expect(status).toBe(1);
    expect(of(report, 'rights')).toMatchObject({ state: 'missing', todo: expect.stringContaining('root') });
    expect(of(report, 'trip')).toMatchObject({ state: 'unknown' });
  });

  test('a missing or failing program is named, with what to do', () => {
    const dir = mkdtempSync(join(tmpdir(), 'colo-doctor-test-'));
    writeFileSync(join(dir, 'nft'), '#!/bin/sh\necho broken >&2\nexit 1\n', { mode: 0o755 });
    const env = { ...process.env, PATH: `${dir}:${process.env.PATH}` };
    const broken = doctor([], [], env);
    expect(of(broken.report, 'nft')).toMatchObject({ state: 'missing', found: 'nft --version: broken' });
    expect(of(broken.report, 'nft-zone').state).toBe('missing');
    expect(broken.status).toBe(1);
    // Whoever does without says so.
    expect(doctor([], ['--no-nftables'], env).status).toBe(0);
    const other = doctor([], ['--iptables', 'iptables-nosuch']);
    expect(of(other.report, 'iptables')).toMatchObject({
      state: 'missing',
      found: expect.stringContaining('is not installed'),
    });
    // The kernel is not to blame.
    for (const id of ['physdev', 'marks', 'conntrack', 'nfqueue']) {
      expect(of(other.report, id)).toMatchObject({
        found: 'iptables-nosuch is not installed',
        todo: expect.stringContaining('install it'),
      });
    }
    rmSync(dir, { recursive: true });
  });

  test('with a configuration it looks at the wiring', async () => {
    const lab = await Lab.create({ plumbing: false });
    try {
      const node = '--role primary --index 1 --forward-port fwd0 --guest-port'.split(' ');
      const inPn = ['ip', 'netns', 'exec', lab.ns.pn];
      const good = doctor(inPn, [...node, 'tap0']);
      expect(of(good.report, 'wiring')).toMatchObject({ state: 'ok' });
      expect(good.status).toBe(0);
      expect(of(good.report, 'rules')).toMatchObject({
        state: 'missing',
        needed: false,
        found: expect.stringContaining('vm1: iptables rules missing'),
        todo: expect.stringContaining('colo rules apply'),
      });
      const bad = doctor(inPn, [...node, 'tap9']);
      expect(of(bad.report, 'wiring')).toMatchObject({ state: 'missing', found: 'tap9 does not exist' });
      expect(bad.status).toBe(1);
    } finally {
      await lab.destroy();
    }
  });

  test('with a stream link it looks at its key, and at what a secondary needs', async () => {
    const lab = await Lab.create({ plumbing: false });
    try {
      const key = join(lab.dir, 'key');
      writeFileSync(key, `${'5a'.repeat(32)}\n`, { mode: 0o644 });
      const inSn = ['ip', 'netns', 'exec', lab.ns.sn];
      const node = ['--role', 'secondary', '--index', '1', '--guest-port', 'tap0', '--state-dir', lab.dir];
      const link = [...node, '--link-connect', '192.0.2.1:9780', '--link-key', key];
      const open = doctor(inSn, link);
      expect(of(open.report, 'link')).toMatchObject({
        state: 'missing',
        found: expect.stringContaining('its mode is 0644'),
        todo: expect.stringContaining('chmod 0600'),
      });
      expect(open.status).toBe(1);
      chmodSync(key, 0o600);
      const good = doctor(inSn, link);
      expect(of(good.report, 'link')).toMatchObject({ state: 'ok', found: 'dials tcp:192.0.2.1:9780, encrypted' });
      expect(of(good.report, 'rules').found).toBe(
        'vm1: nft table netdev colo-1 missing or changed; vm1: tap0 does ARP',
      );
      const insecure = [...node, '--link-connect', '192.0.2.1:9780', '--link-insecure'];
      expect(of(doctor(inSn, insecure).report, 'link').found).toBe('dials tcp:192.0.2.1:9780, WITHOUT A KEY');
      await lab.exec('sn', process.execPath, ['-e', LOAD, '--', 'rules', 'apply', ...link]);
      expect(of(doctor(inSn, link).report, 'rules')).toMatchObject({ state: 'ok', found: 'in place' });
    } finally {
      await lab.destroy();
    }
  });

  test.each(['primary', 'secondary'] as const)('it sees whether the rules of a %s are in place', async (role) => {
    const lab = await Lab.create({ plumbing: false });
    try {
      const host = role === 'primary' ? 'pn' : 'sn';
      const inside = ['ip', 'netns', 'exec', lab.ns[host]];
      const node = `--role ${role} --index 1 --forward-port fwd0 --guest-port tap0 --state-dir ${lab.dir}`.split(' ');
      const rules = (...words: string[]) =>
        lab.exec(host, process.execPath, ['-e', LOAD, '--', 'rules', ...words, ...node]);
      await rules('apply');
      expect(of(doctor(inside, node).report, 'rules')).toMatchObject({ state: 'ok', found: 'in place' });
      // Another queue than that of the rules.
      expect(of(doctor(inside, [...node, '--guest-queue', '7']).report, 'rules')).toMatchObject({
        state: 'missing',
        found: 'vm1: iptables rules missing',
      });
      if (role === 'primary') {
        await lab.exec(host, 'tc', ['qdisc', 'del', 'dev', 'tap0', 'clsact']);
        expect(of(doctor(inside, node).report, 'rules').found).toBe('vm1: no mirror');
      }
      await rules('remove');
      expect(of(doctor(inside, node).report, 'rules')).toMatchObject({ state: 'missing' });
    } finally {
      await lab.destroy();
    }
  });
});
