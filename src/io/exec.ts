// Runs the system's programs (ip, tc, iptables, nft). Never through a shell: arguments go over as they are.

import { OperatorError } from '../core/errors';

export interface RunOptions {
  /** Standard input. */
  input?: string;
  /** Milliseconds; then the program is killed. Default 30,000. */
  timeoutMs?: number;
}

/** A program that could not be started, or that failed. */
export class CommandError extends OperatorError {
  constructor(
    /** As a person would type it. */
    readonly command: string,
    /** Exit status; undefined when it did not start or was killed. */
    readonly status: number | undefined,
    readonly stderr: string,
    hint: string | undefined,
    cause: unknown,
  ) {
    super('ECOMMAND', `${command}: ${firstLine(stderr) || (cause as Error).message}`, hint, { cause });
  }
}

/** Debian's names; others call them nearly the same. */
const PACKAGES: Record<string, string> = {
  ip: 'iproute2',
  bridge: 'iproute2',
  tc: 'iproute2',
  nft: 'nftables',
  modprobe: 'kmod',
};

/** Unprivileged shells have no sbin in their path; messages are read by programs, so they are in English. */
const ENVIRONMENT = { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH ?? '/usr/bin:/bin'}:/usr/sbin:/sbin` };

/** Resolves with standard output. Rejects with CommandError. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  // Loaded with the first program that is run: a daemon is ready before.
  const { execFile } = require('node:child_process') as typeof import('node:child_process');
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { env: ENVIRONMENT, timeout: options.timeoutMs ?? 30_000, killSignal: 'SIGKILL', maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(failure(program, args, error, stderr));
      },
    );
    // A program that fails early may not read its input; its exit status is more useful than EPIPE.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

function failure(
  program: string,
  args: readonly string[],
  error: Error & { code?: unknown; killed?: boolean },
  stderr: string,
): CommandError {
  const command = shellLine([program, ...args]);
  if (error.code === 'ENOENT') {
    const name = PACKAGES[program] ?? (program.startsWith('ip') ? 'iptables' : program);
    return new CommandError(
      command,
      undefined,
      `${program} is not installed`,
      `install it (Debian: apt-get install ${name})`,
      error,
    );
  }
  if (error.killed) return new CommandError(command, undefined, 'did not end in time and was killed', undefined, error);
  const status = typeof error.code === 'number' ? error.code : undefined;
  const hint = /permission denied|operation not permitted|you must be root/i.test(stderr)
    ? 'run it as root'
    : undefined;
  return new CommandError(command, status, stderr, hint, error);
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0]!;
}

/** A command as a person would type it into a shell. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
