// How long programs take to start, each over `node -e 0` in the same run: `colo --version`, `colo ctl status` of a
// running daemon, and a primary's daemon until it says `ready` (as root, so that it gives up capabilities, and with a
// configuration in YAML). In a network namespace of its own: `unshare -n node start.js`. Prints JSON.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { median } from './lib/median';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const COLO = join(ROOT, 'bin/colo');
const ROUNDS = process.env.COLO_BENCH_QUICK === '1' ? 3 : 21;

export interface StartResult {
  /** Milliseconds, medians of runs in turns. */
  node_ms: number;
  version_ms: number;
  ctl_ms: number;
  ready_ms: number;
  'cli.version_ratio': number;
  'cli.ctl_ratio': number;
  'daemon.ready_ratio': number;
}

const dir = mkdtempSync(join(tmpdir(), 'colo-start-'));

function daemon(name: string) {
  const stateDir = join(dir, name);
  const file = join(dir, `${name}.yaml`);
  const node = { index: 1, guestPort: 'tap0', forwardPort: 'fwd0' };
  writeFileSync(file, `role: primary\nstateDir: ${stateDir}\nnodes:\n  - ${JSON.stringify(node)}\n`);
  return {
    file,
    socket: join(stateDir, 'primary.sock'),
    forget: () => rmSync(stateDir, { recursive: true, force: true }),
  };
}

/** Milliseconds from the start to the line that says `ready`, and how to end it. */
function startDaemon(file: string): Promise<{ ms: number; end(): Promise<void> }> {
  const from = performance.now();
  const child = spawn(process.execPath, [COLO, 'primary', '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    createInterface(child.stderr).on('line', (line) => {
      said.push(line);
      if (!line.includes('"msg":"ready"')) return;
      const ms = performance.now() - from;
      resolve({
        ms,
        end: () => {
          child.kill('SIGTERM');
          return exited;
        },
      });
    });
    void exited.then(() => reject(new Error(`the daemon has ended:\n${said.join('\n')}`)));
  });
}

function run(...args: string[]): number {
  const from = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`node ${args.join(' ')}: status ${status}\n${stderr}`);
  return performance.now() - from;
}

async function ready(): Promise<number> {
  const { file, forget } = daemon('measured');
  forget();
  const { ms, end } = await startDaemon(file);
  await end();
  return ms;
}

async function main(): Promise<void> {
  for (const words of [
    'link add tap0 type veth peer name guest',
    'link add fwd0 type veth peer name other',
    'link add br0 type bridge',
    'link set tap0 master br0 up',
    'link set fwd0 up',
    'link set br0 up',
    'link set lo up',
  ]) {
    execFileSync('ip', words.split(' '));
  }
  const times = { node: [] as number[], version: [] as number[], ctl: [] as number[], ready: [] as number[] };
  // The first start of all fills caches, where there are some.
  for (let round = 0; round <= ROUNDS; round++) {
    const turn = { node: run('-e', '0'), version: run(COLO, '--version'), ctl: 0, ready: await ready() };
    const asked = daemon('asked');
    const running = await startDaemon(asked.file);
    turn.ctl = run(COLO, 'ctl', 'status', '--socket', asked.socket);
    await running.end();
    if (round > 0) for (const [name, ms] of Object.entries(turn)) times[name as keyof typeof times].push(ms);
  }
  const {
    node,
    version,
    ctl,
    ready: ready_ms,
  } = Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)])) as Record<
    keyof typeof times,
    number
  >;
  const result: StartResult = {
    node_ms: node,
    version_ms: version,
    ctl_ms: ctl,
    ready_ms,
    'cli.version_ratio': version / node,
    'cli.ctl_ratio': ctl / node,
    'daemon.ready_ratio': ready_ms / node,
  };
  console.log(JSON.stringify(result));
}

main()
  .finally(() => rmSync(dir, { recursive: true, force: true }))
  .catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
