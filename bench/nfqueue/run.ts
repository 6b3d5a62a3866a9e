// NFQUEUE, every packet rewritten: this project, a C program on libnetfilter_queue, and npm's nfqueue, in turns. UDP
// goes through OUTPUT in a namespace of the benchmark's own; the rate is the kernel's count of packets that got their
// verdict. The generator is bound to the first CPU, the consumer to the second, where there are two.

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
  /** The consumer's processor time per packet in us, which other work on the machine disturbs less. */
  ours_cpu_us: number;
  c_cpu_us: number;
  npm_cpu_us: number;
  c_batched_cpu_us: number;
}

type Consumer = 'ours' | 'c' | 'npm' | 'c_batched';

interface Rate {
  packetsPerSecond: number;
  cpuUsPerPacket: number;
}

const QUEUE = 1;
const SOMEBODY = '10.78.0.2';
const NOBODY = '10.78.0.3';
const PORT = 9000;
const PACKET_BYTES = 1400;
const ROUNDS = 5;
const WARM_UP_MS = 300;
const WINDOW_MS = 1000;
const CHECKED_PACKETS = 5000;

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const HERE = join(ROOT, 'bench/nfqueue');
const BUILT = join(ROOT, 'build/bench');
const CONSUMERS: Record<Consumer, string[]> = {
  ours: [process.execPath, join(HERE, 'ours.js'), String(QUEUE)],
  c: [join(BUILT, 'consumer'), String(QUEUE)],
  npm: [process.execPath, join(HERE, 'npm.js'), String(QUEUE)],
  c_batched: [join(BUILT, 'consumer'), String(QUEUE), 'batched'],
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function sh(...words: string[]): void {
  execFileSync(words[0]!, words.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
}

class Bench {
  private readonly sender = `colobq-${process.pid}-s`;
  private readonly receiver = `colobq-${process.pid}-r`;
  private readonly children = new Set<ChildProcess>();

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
    const mangle = ['ip', 'netns', 'exec', this.sender, 'iptables', '-w', '-t', 'mangle', '-A'];
    sh(...mangle, 'OUTPUT', '-p', 'udp', '-j', 'NFQUEUE', '--queue-num', String(QUEUE));
    // Behind the queue the way is as short as can be, so that the queue is what is measured.
    sh(...mangle, 'POSTROUTING', '-d', NOBODY, '-j', 'DROP');
  }

  destroy(): void {
    for (const child of this.children) child.kill('SIGKILL');
    for (const ns of [this.sender, this.receiver]) {
      try {
        sh('ip', 'netns', 'del', ns);
      } catch {
        // It was never made.
      }
    }
  }

  async round(command: string[]): Promise<Rate> {
    const consumer = await this.start(this.sender, 1, command);
    const generator = this.spawn(this.sender, 0, this.generator(NOBODY));
    try {
      await sleep(WARM_UP_MS);
      const began = process.hrtime.bigint();
      const settled = this.settled(consumer.pid!);
      const cpu = cpuSeconds(consumer.pid!);
      await sleep(WINDOW_MS);
      const packets = this.settled(consumer.pid!) - settled;
      const cpuUsed = cpuSeconds(consumer.pid!) - cpu;
      const seconds = Number(process.hrtime.bigint() - began) / 1e9;
      return { packetsPerSecond: packets / seconds, cpuUsPerPacket: (cpuUsed * 1e6) / packets };
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
    const generator = this.spawn(this.sender, 0, [...this.generator(SOMEBODY), String(CHECKED_PACKETS)]);
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

  private generator(to: string): string[] {
    return [join(BUILT, 'generator'), to, String(PORT), String(PACKET_BYTES)];
  }

  private spawn(ns: string, cpu: number, command: string[]): ChildProcess {
    const pinned = availableParallelism() > 1 ? ['taskset', '-c', String(cpu), ...command] : command;
    // `ip netns exec` and `taskset` become the command, so that a signal to the child reaches it.
    const child = spawn('ip', ['netns', 'exec', ns, ...pinned], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.children.add(child);
    child.once('exit', () => this.children.delete(child));
    return child;
  }

  private start(ns: string, cpu: number, command: string[]): Promise<ChildProcess> {
    const child = this.spawn(ns, cpu, command);
    return new Promise((resolve, reject) => {
      const tooEarly = (): void => reject(new Error(`${command.join(' ')} ended at its start`));
      child.once('exit', tooEarly);
      child.stdout!.once('data', () => {
        child.off('exit', tooEarly);
        resolve(child);
      });
    });
  }

  /**
   * Packets that have got a verdict: the id of the last one less those that wait, as the kernel lists them for the
   * namespace of the process (/proc/net/netfilter/nfnetlink_queue: queue, port id, waiting, mode, range, dropped,
   * dropped, last id).
   */
  private settled(pid: number): number {
    const columns = readFileSync(`/proc/${pid}/net/netfilter/nfnetlink_queue`, 'utf8').trim().split(/\s+/).map(Number);
    if (columns[5] !== 0 || columns[6] !== 0)
      throw new Error('the kernel dropped packets, so the rate would mean nothing');
    return columns[7]! - columns[2]!;
  }
}

/** User and system time of all threads (proc(5), fields 14 and 15, in hundredths of a second). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
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
  const names = Object.keys(CONSUMERS) as Consumer[];
  const rates = names.map(() => [] as Rate[]);
  const interrupted = (): void => {
    bench.destroy();
    process.exit(130);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    bench.build();
    for (const name of names) await bench.verify(name, CONSUMERS[name]);
    for (let i = 0; i < rounds; i++) {
      for (const [k, name] of names.entries()) rates[k]!.push(await bench.round(CONSUMERS[name]));
    }
  } finally {
    bench.destroy();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
  const result: Record<string, number> = {};
  for (const [k, name] of names.entries()) {
    result[`${name}_pps`] = Math.round(median(rates[k]!.map((rate) => rate.packetsPerSecond)));
    result[`${name}_cpu_us`] = Number(median(rates[k]!.map((rate) => rate.cpuUsPerPacket)).toFixed(2));
  }
  return result as unknown as NfqueueBench;
}
