// Two network namespaces joined by a veth pair, for tests of the native sockets, and a process in each that runs small
// functions there. All names carry this process's pid and are removed by close().
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

export const LEFT_IP = '10.77.0.1';
export const RIGHT_IP = '10.77.0.2';
export const LEFT_IP6 = 'fd77::1';
export const RIGHT_IP6 = 'fd77::2';

let serial = 0;

export function sh(...words: string[]): string {
  return execFileSync(words[0]!, words.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs in the agent: `state` outlives the call, `args` came with it. May return a promise. */
// biome-ignore lint/suspicious/noExplicitAny: what crosses to the other process is whatever its function makes of it
export type AgentFunction = (state: Record<string, any>, args: any, require: NodeJS.Require) => unknown;

const AGENT = `
const state = {};
process.on('message', async ({ serial, source, args }) => {
  try {
    process.send({ serial, value: await eval('(' + source + ')')(state, args, require) });
  } catch (error) {
    process.send({ serial, error: String(error && error.stack || error) });
  }
});
process.on('disconnect', () => process.exit(0));
`;

export class Agent {
  private readonly child: ChildProcess;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  private readonly waiting = new Map<number, { resolve: (v: any) => void; reject: (e: Error) => void }>();
  private next = 1;

  constructor(ns: string) {
    this.child = spawn('ip', ['netns', 'exec', ns, process.execPath, '-e', AGENT], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.child.on('message', (message: { serial: number; value?: unknown; error?: string }) => {
      const waiter = this.waiting.get(message.serial);
      this.waiting.delete(message.serial);
      if (message.error !== undefined) waiter?.reject(new Error(message.error));
      else waiter?.resolve(message.value);
    });
    this.child.on('exit', () => {
      for (const waiter of this.waiting.values()) waiter.reject(new Error('the agent has ended'));
      this.waiting.clear();
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  run<T = any>(body: AgentFunction, args: unknown = {}): Promise<T> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.child.send({ serial: id, source: body.toString(), args });
    });
  }

  close(): void {
    this.child.removeAllListeners('exit');
    if (this.child.connected) this.child.disconnect();
  }
}

/** Removes what a killed test run has left. */
function sweep(): void {
  for (const line of sh('ip', 'netns', 'list').split('\n')) {
    const owner = /^colonat-(\d+)-\d+-[lr]\b/.exec(line);
    if (owner && !existsSync(`/proc/${owner[1]}`)) sh('ip', 'netns', 'del', line.split(' ')[0]!);
  }
}

export class NativeLab {
  readonly left: string;
  readonly right: string;
  readonly leftAgent: Agent;
  readonly rightAgent: Agent;

  constructor() {
    const name = `colonat-${process.pid}-${serial++}`;
    this.left = `${name}-l`;
    this.right = `${name}-r`;
    sweep();
    try {
      this.build();
    } catch (error) {
      this.removeNamespaces();
      throw error;
    }
    this.leftAgent = new Agent(this.left);
    this.rightAgent = new Agent(this.right);
  }

  /** A command in the left namespace. */
  inLeft(...words: string[]): string {
    return sh('ip', 'netns', 'exec', this.left, ...words);
  }

  inRight(...words: string[]): string {
    return sh('ip', 'netns', 'exec', this.right, ...words);
  }

  /** Sends what leaves the left namespace through a queue. */
  queueOutput(queue: number, ...match: string[]): void {
    this.rule('iptables', queue, match);
  }

  queueOutput6(queue: number, ...match: string[]): void {
    this.rule('ip6tables', queue, match);
  }

  flushRules(): void {
    this.inLeft('iptables', '-w', '-t', 'mangle', '-F');
    this.inLeft('ip6tables', '-w', '-t', 'mangle', '-F');
  }

  close(): void {
    this.leftAgent.close();
    this.rightAgent.close();
    this.removeNamespaces();
  }

  private rule(program: string, queue: number, match: string[]): void {
    this.inLeft(program, '-w', '-t', 'mangle', '-A', 'OUTPUT', ...match, '-j', 'NFQUEUE', '--queue-num', String(queue));
  }

  private build(): void {
    for (const ns of [this.left, this.right]) sh('ip', 'netns', 'add', ns);
    sh('ip', '-n', this.left, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', this.right);
    for (const [ns, ip, ip6] of [
      [this.left, LEFT_IP, LEFT_IP6],
      [this.right, RIGHT_IP, RIGHT_IP6],
    ] as const) {
      sh('ip', '-n', ns, 'address', 'add', `${ip}/24`, 'dev', 'veth0');
      sh('ip', '-n', ns, 'address', 'add', `${ip6}/64`, 'dev', 'veth0', 'nodad');
      sh('ip', '-n', ns, 'link', 'set', 'lo', 'up');
      sh('ip', '-n', ns, 'link', 'set', 'veth0', 'up');
    }
  }

  private removeNamespaces(): void {
    for (const ns of [this.left, this.right]) {
      try {
        sh('ip', 'netns', 'del', ns);
      } catch {
        // It was never made.
      }
    }
  }
}

/** Waits until `done()`, looking every 5 ms; jest's own timeout is the limit. */
export async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 5));
}
