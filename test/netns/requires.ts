// What a test needs of the machine. A missing ability skips the test with a reason; when COLO_REQUIRE names it (a list
// like "netns,nfqueue"), the test fails instead, so that a run that should be complete cannot pass by skipping.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export type Ability = 'root' | 'netns' | 'nfqueue' | 'addon' | 'valgrind' | 'gcc' | 'qemu' | 'guest' | 'nodes';

/** Where the newer releases of Node are. */
export const NODES = `${__dirname}/../nodes/node_modules`;

function run(file: string, ...args: string[]): string | undefined {
  try {
    execFileSync(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    return undefined;
  } catch (error) {
    const stderr = (error as { stderr?: Buffer }).stderr;
    return stderr && stderr.length > 0 ? stderr.toString().trim() : (error as Error).message;
  }
}

function probeNetns(): string | undefined {
  const name = `colo-probe-${process.pid}`;
  const failed = run('ip', 'netns', 'add', name);
  if (failed !== undefined) return `network namespaces cannot be made: ${failed}`;
  run('ip', 'netns', 'del', name);
  return undefined;
}

/** Makes a rule in a namespace of its own. */
function probeNfqueue(): string | undefined {
  const name = `colo-probe-q${process.pid}`;
  const failed = run('ip', 'netns', 'add', name);
  if (failed !== undefined) return `network namespaces cannot be made: ${failed}`;
  const rule = ['-t', 'mangle', '-A', 'OUTPUT', '-p', 'udp', '-j', 'NFQUEUE', '--queue-num', '1'];
  const missing = run('ip', 'netns', 'exec', name, 'iptables', '-w', ...rule);
  run('ip', 'netns', 'del', name);
  return missing === undefined ? undefined : `no NFQUEUE rule can be made: ${missing}`;
}

const PROBES: Record<Ability, () => string | undefined> = {
  root: () => (process.geteuid?.() === 0 ? undefined : 'not run as root'),
  netns: probeNetns,
  nfqueue: probeNfqueue,
  addon: () =>
    existsSync(`${__dirname}/../../build/colo.node`) ? undefined : 'build/colo.node is missing: run `make build`',
  valgrind: () => run('valgrind', '--version') && 'valgrind is not installed',
  gcc: () => run('gcc', '--version') && 'gcc is not installed',
  qemu: () => run('qemu-system-x86_64', '--version') && 'qemu-system-x86_64 is not installed',
  nodes: () => (existsSync(NODES) ? undefined : 'run `npm ci --prefix test/nodes --ignore-scripts`'),
  // Built once; without its cache that takes a download.
  guest: () => run(`${__dirname}/../guest/build-guest.sh`),
};

const known = new Map<Ability, string | undefined>();

/** Why the machine lacks one of the abilities; undefined when it has them all. */
export function missing(...abilities: Ability[]): string | undefined {
  for (const ability of abilities) {
    if (!known.has(ability)) known.set(ability, PROBES[ability]());
    const reason = known.get(ability);
    if (reason !== undefined) return `${ability}: ${reason}`;
  }
  return undefined;
}

/** `describe` for tests that need these abilities. */
export function requires(...abilities: Ability[]): (name: string, body: () => void) => void {
  const reason = missing(...abilities);
  if (reason === undefined) return describe;
  const required = (process.env.COLO_REQUIRE ?? '').split(',').map((word) => word.trim());
  if (abilities.some((ability) => required.includes(ability))) {
    return (name) => {
      describe(name, () => {
        test(`needs ${abilities.join(', ')}`, () => {
          throw new Error(`COLO_REQUIRE forbids to skip this: ${reason}`);
        });
      });
    };
  }
  return (name, body) => {
    console.warn(`skipped "${name}": ${reason}`);
    describe.skip(`${name} (${reason})`, body);
  };
}
