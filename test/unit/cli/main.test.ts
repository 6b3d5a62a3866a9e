// The program as a shell sees it: what it prints where, and its exit status.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '../../..');
const LOAD = `require(${JSON.stringify(join(ROOT, 'test/netns/lab-load.js'))})(${JSON.stringify(join(ROOT, 'src/cli/main.ts'))})`;

function colo(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', LOAD, '--', ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

jest.setTimeout(60_000);

test.each([['--help'], ['rules', '--help'], ['rules', 'apply', '--help'], ['doctor', '--help'], ['--version']])(
  'asked for by %s %s %s: printed, and well',
  (...args) => {
    const result = colo(...args);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toMatch(args.includes('--version') ? /^\d+\.\d+\.\d+\n$/ : /^Usage: colo /);
  },
);

test.each<[string[], RegExp]>([
  [['rules', 'aply'], /^colo: unknown command 'aply'\n\(Did you mean apply\?\)\n$/],
  [['rules', 'apply', '--guest-prt', 'x'], /^colo: unknown option '--guest-prt'\n\(Did you mean --guest-port\?\)\n$/],
  [['bogus'], /^colo: unknown command 'bogus'\n/],
  [
    ['rules', 'show', '--role', 'master'],
    /^colo: option '--role <role>' argument 'master' is invalid\. Allowed choices are primary, secondary\.\n$/,
  ],
  [
    ['doctor', '--role', 'master'],
    /^colo: option '--role <role>' argument 'master' is invalid\. Allowed choices are primary, secondary\.\n$/,
  ],
  [['rules', 'show', '--config', '/nonexistent'], /^colo: cannot read the configuration: ENOENT.*\n$/],
  [['primary', '--index', '1'], /^colo: --guest-port: .* is missing.*\ncolo: give --config FILE/],
])('%j is refused with status 2, on standard error', (args, message) => {
  const { status, stdout, stderr } = colo(...args);
  expect(stderr).toMatch(message);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
});

test('rules are shown as commands, or as JSON', () => {
  const node = ['--role', 'primary', '--index', '4', '--guest-port', 'tap4', '--forward-port', 'fwd4'];
  const text = colo('rules', 'show', ...node);
  expect(text.status).toBe(0);
  const json = JSON.parse(colo('rules', 'show', '--json', ...node).stdout) as { commands: string[] };
  expect(text.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual(json.commands);
  expect(json.commands).toContain(
    'iptables -w -t mangle -I PREROUTING -m physdev --physdev-in tap4 -m comment --comment colo:4 -j NFQUEUE --queue-num 100',
  );
});
