// The program as a person meets it: help, wrong words, exit statuses, machine-readable output.

import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(__dirname, '../..');
const COLO = join(ROOT, 'bin/colo');

function colo(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [COLO, ...args], { timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

let dir = '';
beforeAll(() => {
  if (!existsSync(join(ROOT, 'dist/cli/main.js'))) throw new Error('not built: run `make build`');
  dir = mkdtempSync(join(tmpdir(), 'colo-cli-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('every command has help and the help names what it does', async () => {
  const { status, stdout } = await colo('--help');
  expect(status).toBe(0);
  for (const name of ['primary', 'secondary', 'rules', 'ctl', 'status', 'doctor', 'compare', 'simulate']) {
    expect(stdout).toContain(name);
    const help = await colo(name, '--help');
    expect([name, help.status]).toEqual([name, 0]);
    expect(help.stdout).toContain('Usage:');
  }
});

test('the program is loaded out of its pack, and from its files where that is of something else', async () => {
  const { read } = require(join(ROOT, 'bin/packed.js')) as { read(): unknown };
  expect(read()).toBeDefined();
  // The same with a pack that is not there, beside the same files.
  const other = join(dir, 'unpacked');
  mkdirSync(join(other, 'bin'), { recursive: true });
  for (const name of ['colo', 'packed.js']) copyFileSync(join(ROOT, 'bin', name), join(other, 'bin', name));
  for (const name of ['dist', 'node_modules', 'package.json']) symlinkSync(join(ROOT, name), join(other, name));
  for (const args of [['--version'], ['--help'], ['rules', 'aply'], ['simulate', '--seeds', '1', '--json']]) {
    const run = (program: string) =>
      promisify(execFile)(process.execPath, [program, ...args]).catch((error: unknown) => error);
    const texts = [await run(COLO), await run(join(other, 'bin/colo'))].map((result) => {
      const { stdout, stderr } = result as { stdout: string; stderr: string };
      return [stdout, stderr];
    });
    expect(texts[1]).toEqual(texts[0]);
  }
});

test('the version is that of the package', async () => {
  const { version } = require(join(ROOT, 'package.json')) as { version: string };
  expect((await colo('--version')).stdout.trim()).toBe(version);
});

test.each([
  [['frobnicate'], 'unknown command'],
  [['primary', '--indx', '1'], '--index'],
  [['primary', '--index', '1'], '--guest-port'],
  [['primary', '--index', 'x', '--guest-port', 'tap0', '--forward-port', 'fwd0'], 'index'],
  [['primary', '--config', '/nonexistent.yaml'], '/nonexistent.yaml'],
  [['ctl', 'checkpoint', '--socket', '/nonexistent.sock'], 'is the daemon running?'],
  [['compare', '/nonexistent.pcap', '/nonexistent.pcap'], '/nonexistent.pcap'],
  [
    ['rules', 'show', '--role', 'primary', '--index', '1', '--guest-port', 'tap 0', '--forward-port', 'f'],
    'name of a network interface',
  ],
])('%j: status 2, and standard error says %j', async (args, words) => {
  const { status, stdout, stderr } = await colo(...args);
  expect(status).toBe(2);
  expect(stderr).toContain('colo: ');
  expect(stderr).toContain(words);
  expect(stdout).toBe('');
});

test('a wrong key of a configuration is named with its line and the right one', async () => {
  const file = join(dir, 'bad.yaml');
  writeFileSync(file, 'role: primary\nnodes:\n  - index: 1\n    guestport: tap0\n    forwardPort: fwd0\n');
  const { status, stderr } = await colo('primary', '--config', file);
  expect(status).toBe(2);
  expect(stderr).toContain(`${file}:4: nodes[0].guestport is not a key (did you mean guestPort?)`);
});

test('rules show prints commands, and JSON when asked', async () => {
  const args = ['rules', 'show', '--role', 'primary', '--index', '7', '--guest-port', 'tap0', '--forward-port', 'fwd0'];
  const { status, stdout } = await colo(...args);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^iptables .*--physdev-in tap0.*--comment colo:7 .*NFQUEUE --queue-num 100$/m);
  expect(stdout).toMatch(/^ip6tables /m);
  JSON.parse((await colo(...args, '--json')).stdout);
});

test('the examples of the documents are right', async () => {
  for (const role of ['primary', 'secondary']) {
    const { status, stderr } = await colo('rules', 'show', '--config', join(ROOT, `docs/examples/${role}.yaml`));
    expect([role, status, stderr]).toEqual([role, 0, '']);
  }
});
