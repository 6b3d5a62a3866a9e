// NFQUEUE, every packet rewritten: this project, a C program on libnetfilter_queue, and npm's nfqueue, in turns. UDP leaves a
// namespace of the benchmark's own through OUTPUT; the rate is what the interface has sent, whoever judged the packets.
// The generator is bound to the first CPU, the consumer to the second, where there are two.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { median } from '../lib/median';

export interface NfqueueBench {
  ours_pps: number;
  /** One verdict per system call: the library's interface. */
  c_pps: number;
  npm_pps: number;
  /** C with recvmmsg and many verdicts to a send, by hand; for the reader, no goal. */
  c_batched_pps: number;
}

const QUEUE = 1;
const PORT = 9000;
const PACKET_BYTES = 1400;
const ROUNDS = 5;
const WARM_UP_MS = 300;
const WINDOW_MS = 1000;
const CHECKED_PACKETS = 5000;

const HERE = __dirname;
const BUILT = join(HERE, '../../build/bench');
const CONSUMERS: Record<keyof NfqueueBench, string[]> = {
  ours_pps: [process.execPath, join(HERE, 'ours.js'), String(QUEUE)],
  c_pps: [join(BUILT, 'consumer'), String(QUEUE)],
  npm_pps: [process.execPath, join(HERE, 'npm.js'), String(QUEUE)],
  c_batched_pps: [join(BUILT, 'consumer'), String(QUEUE), 'batched'],
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function sh(...words: string[]): void {
  execFileSync(words[0]!, words.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
}

class Bench {
  private readonly sender = `colobq-${process.pid}-s`;
  private readonly receiver = `colobq-${process.pid}-r`;

  build(): void {
    for (const ns of [this.sender, this.receiver]) sh('ip', 'netns', 'add', ns);
    sh(
      'ip',
      '-n',
      this.sender,
      'link',
      'add',
      'veth0',
      'type',
      'veth',
      'peer',
      'name',
      'veth0',
      'netns',
      this.receiver,
    );
    [this.sender, this.receiver].forEach((ns, i) => {
      sh('ip', '-n', ns, 'address', 'add', `10.78.0.${i + 1}/24`, 'dev', 'veth0');
      sh('ip', '-n', ns, 'link', 'set', 'veth0', 'up');
    });
    const rule = ['-A', 'OUTPUT', '-p', 'udp', '-j', 'NFQUEUE', '--queue-num', String(QUEUE)];
    sh('ip', 'netns', 'exec', this.sender, 'iptables', '-w', '-t', 'mangle', ...rule);
  }

  destroy(): void {
    for (const ns of [this.sender, this.receiver]) {
      try {
        sh('ip', 'netns', 'del', ns);
      } catch {
        // It was never made.
      }
    }
  }

  /** Packets per second in one window. */
  async round(command: string[]): Promise<number> {
    const consumer = await this.start(this.sender, 1, command);
    const generator = this.spawn(this.sender, 0, this.generator());
    try {
      await sleep(WARM_UP_MS);
      const began = process.hrtime.bigint();
      const before = this.sent(consumer.pid!);
      await sleep(WINDOW_MS);
      const packets = this.sent(consumer.pid!) - before;
      return packets / (Number(process.hrtime.bigint() - began) / 1e9);
    } finally {
      await stop(generator);
      await stop(consumer);
    }
  }

  /** Every packet arrives, and every one rewritten, with a checksum that the receiver's kernel takes. */
  async verify(name: string, command: string[]): Promise<void> {
    const receiver = await this.start(this.receiver, 0, [join(BUILT, 'receiver'), String(PORT)]);
    const consumer = await this.start(this.sender, 1, command);
    let said = '';
    receiver.stdout!.on('data', (text) => {
      said += text;
    });
    const closed = new Promise((resolve) => receiver.once('close', resolve));
    const generator = this.spawn(this.sender, 0, [...this.generator(), String(CHECKED_PACKETS)]);
    try {
      await closed;
    } finally {
      await stop(generator);
      await stop(consumer);
    }
    if (said.trim() !== `${CHECKED_PACKETS} rewritten, 0 other`) {
      throw new Error(`${name}: of ${CHECKED_PACKETS} packets ${said.trim() || 'nothing arrived'}`);
    }
  }

  private generator(): string[] {
    return [join(BUILT, 'generator'), '10.78.0.2', String(PORT), String(PACKET_BYTES)];
  }

  private spawn(ns: string, cpu: number, command: string[]): ChildProcess {
    const pinned = availableParallelism() > 1 ? ['taskset', '-c', String(cpu), ...command] : command;
    // `ip netns exec` and `taskset` become the command, so that a signal to the child reaches it.
    return spawn('ip', ['netns', 'exec', ns, ...pinned], { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  private start(ns: string, cpu: number, command: string[]): Promise<ChildProcess> {
    const child = this.spawn(ns, cpu, command);
    return new Promise((resolve, reject) => {
      child.once('exit', () => reject(new Error(`${command.join(' ')} ended at its start`)));
      child.stdout!.once('data', () => {
        child.removeAllListeners('exit');
        resolve(child);
      });
    });
  }

  /** Packets that left the sender's interface, as the process sees its namespace. */
  private sent(pid: number): number {
    const line = readFileSync(`/proc/${pid}/net/dev`, 'utf8')
      .split('\n')
      .find((each) => each.trim().startsWith('veth0:'));
    return Number(line!.trim().split(/\s+/)[10]);
  }
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

/** Medians of packets per second. Needs root, and the project built (`make build`). */
export async function runNfqueueBench(rounds = ROUNDS): Promise<NfqueueBench> {
  sh(join(HERE, 'setup.sh'));
  const bench = new Bench();
  const names = Object.keys(CONSUMERS) as (keyof NfqueueBench)[];
  const rates = new Map<string, number[]>(names.map((name) => [name, []]));
  try {
    bench.build();
    for (const name of names) await bench.verify(name, CONSUMERS[name]);
    for (let i = 0; i < rounds; i++) {
      for (const name of names) rates.get(name)!.push(await bench.round(CONSUMERS[name]));
    }
  } finally {
    bench.destroy();
  }
  return Object.fromEntries(
    names.map((name) => [name, Math.round(median(rates.get(name)!))]),
  ) as unknown as NfqueueBench;
}
