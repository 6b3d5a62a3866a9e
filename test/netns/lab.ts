// A laboratory for end-to-end tests: client, PN, SN and the two guests as network namespaces (wiring in lab-topology).
// Needs root. All names carry the pid of the process that made them; destroy() removes only those.
import { type ChildProcess, execFile, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guard } from './lab-guard';
import {
  DETACH_RULES,
  insideLines,
  linkLines,
  MIRROR_LINES,
  ROLES,
  type Role,
  sysctls,
  type TopologyOptions,
  UNSHARE_RULES,
} from './lab-topology';

export * from './lab-topology';

export interface LabOptions extends Partial<TopologyOptions> {}

export interface ExecResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface ExecOptions {
  input?: string;
  /** Milliseconds; the command is killed after it. Default 60,000. */
  timeoutMs?: number;
  /** Return a failing command's result instead of throwing. */
  allowFailure?: boolean;
  env?: NodeJS.ProcessEnv;
}

let serial = 0;

export class Lab {
  readonly ns: Readonly<Record<Role, string>>;
  /** A directory of the laboratory's own, removed with it. */
  readonly dir: string;
  readonly options: TopologyOptions;
  private readonly processes = new Set<LabProcess>();
  private readonly guard: Guard;
  private destroyed = false;

  /** Builds everything; on an error nothing stays. */
  static async create(options: LabOptions = {}): Promise<Lab> {
    Lab.sweep();
    const lab = new Lab({
      link: 'ethernet',
      mtu: 1500,
      plumbing: true,
      distinctStacks: true,
      detachGuests: false,
      ...options,
    });
    try {
      lab.build();
      await lab.linksWork();
    } catch (error) {
      lab.destroySync();
      throw error;
    }
    return lab;
  }

  private constructor(options: TopologyOptions) {
    this.options = options;
    const prefix = `colo-${process.pid}-${serial++}`;
    this.ns = Object.fromEntries(ROLES.map((role) => [role, `${prefix}-${role}`])) as Record<Role, string>;
    this.dir = mkdtempSync(join(tmpdir(), `${prefix}-`));
    this.guard = new Guard(this.dir, Object.values(this.ns));
  }

  private build(): void {
    for (const role of ROLES) {
      execFileSync('ip', ['netns', 'add', this.ns[role]]);
      const settings = Object.entries(sysctls(role, this.options)).map(([key, value]) => `${key}=${value}`);
      this.execSync(role, 'sysctl', ['-qw', ...settings]);
    }
    batch(['ip', '-batch', '-'], linkLines(this.ns, this.options.mtu));
    for (const role of ROLES) {
      batch(['ip', '-n', this.ns[role], '-batch', '-'], insideLines(role, this.options));
    }
    const forwardBridge = this.options.plumbing && this.options.link === 'ethernet';
    if (forwardBridge) batch(['tc', '-n', this.ns.pn, '-batch', '-'], MIRROR_LINES);
    this.execSync('sn', 'nft', ['-f', '-'], UNSHARE_RULES);
    if (this.options.detachGuests) {
      for (const role of ['pvm', 'svm'] as const) this.execSync(role, 'nft', ['-f', '-'], DETACH_RULES);
    }
    for (const role of ['pn', 'sn'] as const) {
      const ports = ['nic0', 'tap0', 'fwd0', ...(forwardBridge ? ['colobr0'] : [])];
      this.execSync(role, 'sysctl', ['-qw', ...ports.map((port) => `net.ipv6.conf.${port}.disable_ipv6=1`)]);
    }
  }

  /**
   * A port forwards, and an interface sends, only after the kernel's own worker has taken note of the carrier; what
   * comes before is lost.
   */
  private async linksWork(): Promise<void> {
    for (let attempt = 0; attempt < 500; attempt++) {
      if (ROLES.every((role) => this.worksIn(role))) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error('the links of the laboratory do not come up');
  }

  private worksIn(role: Role): boolean {
    const links = JSON.parse(this.execSync(role, 'ip', ['-j', 'link', 'show', 'up'])) as {
      operstate: string;
      qdisc: string;
    }[];
    const ports = JSON.parse(this.execSync(role, 'bridge', ['-j', 'link'])) as { state: string }[];
    return (
      links.every(
        ({ operstate, qdisc }) => operstate !== 'DOWN' && operstate !== 'LOWERLAYERDOWN' && qdisc !== 'noop',
      ) && ports.every(({ state }) => state === 'forwarding')
    );
  }

  /** Runs a command to its end inside a namespace. */
  exec(role: Role, command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        'ip',
        ['netns', 'exec', this.ns[role], command, ...args],
        {
          timeout: options.timeoutMs ?? 60_000,
          killSignal: 'SIGKILL',
          maxBuffer: 256 << 20,
          env: options.env ?? process.env,
        },
        (error, stdout, stderr) => {
          const code = typeof error?.code === 'number' ? error.code : error ? 128 : 0;
          if (error && !options.allowFailure)
            reject(new Error(`${role}: ${command} ${args.join(' ')}: ${error.message}\n${stderr}`));
          else resolve({ code, stdout, stderr });
        },
      );
      child.stdin?.on('error', () => {});
      child.stdin?.end(options.input ?? '');
    });
  }

  /** The same, blocking; returns standard output and throws with standard error in the message. */
  execSync(role: Role, command: string, args: readonly string[] = [], input = ''): string {
    return execFileSync('ip', ['netns', 'exec', this.ns[role], command, ...args], {
      input,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
      maxBuffer: 256 << 20,
    });
  }

  /** Starts a long-running command inside a namespace; destroy() ends it if nobody did before. */
  spawn(role: Role, command: string, args: readonly string[] = [], options: SpawnOptions = {}): LabProcess {
    // `ip netns exec` replaces itself by the command, so the pid is the command's own.
    const child = spawn('ip', ['netns', 'exec', this.ns[role], command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.dir,
      ...options,
    });
    const started = new LabProcess(child, `${role}: ${command} ${args.join(' ')}`);
    this.processes.add(started);
    child.once('exit', () => this.processes.delete(started));
    return started;
  }

  /** Pids of everything that runs inside a namespace, started by spawn() or by what spawn() started. */
  pids(role: Role): number[] {
    const out = execFileSync('ip', ['netns', 'pids', this.ns[role]], { encoding: 'utf8' });
    return out.split(/\s+/).filter(Boolean).map(Number);
  }

  /** `kill -9` of a virtual machine: its processes die and the tap that belonged to them goes away. */
  killGuest(role: 'pvm' | 'svm'): void {
    for (const pid of this.pids(role)) kill(pid);
    execFileSync('ip', ['-n', this.ns[role === 'pvm' ? 'pn' : 'sn'], 'link', 'del', 'tap0']);
  }

  /** `kill -9` of everything on the PN, its guest included; with `powerOff` the host's links go dark too. */
  killPrimary(powerOff = false): void {
    if (powerOff) batch(['ip', '-n', this.ns.pn, '-batch', '-'], ['link set nic0 down', 'link set fwd0 down']);
    for (const pid of this.pids('pn')) kill(pid);
    this.killGuest('pvm');
  }

  /** What a failover does to the secondary's wiring, by hand; the daemon does it itself when told so. */
  moveSecondaryTap(): void {
    const lines = ['link set tap0 master br0', 'link set br0 type bridge fdb_flush'];
    batch(['ip', '-n', this.ns.sn, '-batch', '-'], lines);
  }

  async destroy(): Promise<void> {
    if (this.destroyed) return;
    await Promise.all([...this.processes].map((running) => running.stop('SIGKILL')));
    this.destroySync();
  }

  private destroySync(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    removeNamespaces(Object.values(this.ns));
    rmSync(this.dir, { recursive: true, force: true });
    this.guard.dismiss();
  }

  /** Removes laboratories whose builder is dead and whose guard was killed with it. */
  private static sweep(): void {
    const stale = namespaces().filter((name) => {
      const pid = /^colo-(\d+)-\d+-(client|pn|sn|pvm|svm)$/.exec(name)?.[1];
      return pid !== undefined && !alive(Number(pid));
    });
    removeNamespaces(stale);
  }
}

/** One long-running command of the laboratory. */
export class LabProcess {
  private text = '';
  private readonly waiters = new Set<() => void>();
  /** Exit status, or -1 after a signal; undefined while it runs. */
  exitCode: number | undefined;

  constructor(
    readonly child: ChildProcess,
    readonly name: string,
  ) {
    const take = (chunk: Buffer) => {
      this.text += chunk.toString('utf8');
      this.wake();
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
    child.once('error', (error) => {
      this.text += `${error}\n`;
      this.exitCode = -1;
      this.wake();
    });
    child.once('close', (code) => {
      this.exitCode = code ?? -1;
      this.wake();
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** Everything written to standard output and standard error so far. */
  get output(): string {
    return this.text;
  }

  /** Resolves with the match once the output has it; rejects when the process ends first or the time is up. */
  async waitFor(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpMatchArray> {
    let match: RegExpMatchArray | null = null;
    await this.until(
      () => {
        match = this.text.match(pattern);
        return match !== null;
      },
      `${pattern}`,
      timeoutMs,
    );
    return match as unknown as RegExpMatchArray;
  }

  /** Resolves with the exit status once the process has ended and its output is complete. */
  async ended(timeoutMs = 60_000): Promise<number> {
    if (this.exitCode === undefined) await this.until(() => this.exitCode !== undefined, 'its end', timeoutMs);
    return this.exitCode ?? -1;
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    if (this.exitCode === undefined) this.child.kill(signal);
    return this.ended();
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }

  private until(done: () => boolean, what: string, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const good = done();
        if (!good && this.exitCode === undefined) return;
        clearTimeout(timer);
        this.waiters.delete(check);
        if (good) resolve();
        else reject(new Error(`${this.name}: ended with ${this.exitCode} before ${what}; its output:\n${this.text}`));
      };
      const timer = setTimeout(() => {
        this.waiters.delete(check);
        reject(new Error(`${this.name}: no ${what} within ${timeoutMs} ms; its output:\n${this.text}`));
      }, timeoutMs);
      this.waiters.add(check);
      check();
    });
  }
}

/** Runs `ip -batch -` or `tc -batch -`: one process for many commands, the first error ends it. */
function batch(command: readonly [string, ...string[]], lines: readonly string[]): void {
  const [file, ...args] = command;
  execFileSync(file, args, { input: `${lines.join('\n')}\n`, stdio: ['pipe', 'pipe', 'pipe'] });
}

function namespaces(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return [];
  }
}

function removeNamespaces(names: readonly string[]): void {
  const existing = new Set(namespaces());
  for (const name of names) {
    if (!existing.has(name)) continue;
    const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
    for (const pid of pids.split(/\s+/).filter(Boolean)) kill(Number(pid));
    execFileSync('ip', ['netns', 'del', name]);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
