// End to end in network namespaces: bulk TCP throughput, protected and not, and what protection adds to the latency of
// a one-byte request. Guests, daemons and the client share this machine's processors, so the fair measure for
// throughput is what one of two unprotected pairs gets that run at the same time.

import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { GUEST_IP } from '../test/netns/lab';
import { BenchPair } from './lib/bench-pair';
import { median } from './lib/median';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const LOAD = join(ROOT, 'bench/lib/load.js');
const PORT = 8080;
/** For latency: the primary's side and the client on one CPU, the secondary's on another where there is one. */
const PRIMARY_CPU = '0';
const SECONDARY_CPU = cpus().length > 1 ? '1' : '0';
const ROUNDS = 5;
const SECONDS = 2;

export interface E2eResult {
  protected_gbps: number;
  unprotected_gbps: number;
  two_pairs_gbps: number;
  added_us_p50: number;
  added_us_p99: number;
  cpus: string;
}

class E2ePair {
  private constructor(
    private readonly pair: BenchPair,
    /** Process ids by the CPU that they get for the latency measurement. */
    private readonly cpuOf: ReadonlyMap<number, string>,
  ) {}

  static async create(isProtected: boolean): Promise<E2ePair> {
    const cpuOf = new Map<number, string>();
    const pair = await BenchPair.create(isProtected, async (lab) => {
      for (const guest of isProtected ? (['pvm', 'svm'] as const) : (['pvm'] as const)) {
        const server = lab.spawn(guest, process.execPath, [LOAD, 'serve', String(PORT)]);
        await server.waitFor(/ready/);
        cpuOf.set(server.pid, guest === 'pvm' ? PRIMARY_CPU : SECONDARY_CPU);
      }
    });
    const { controller, daemons } = pair;
    if (controller !== undefined && daemons !== undefined) {
      cpuOf.set(daemons.primary.pid, PRIMARY_CPU).set(daemons.secondary.pid, SECONDARY_CPU);
      controller.onNotice = () => {
        throw new Error(`the benchmark pair diverged: ${daemons.primary.output.slice(-1000)}`);
      };
    }
    return new E2ePair(pair, cpuOf);
  }

  /** Gbit/s of one bulk download. */
  async download(): Promise<number> {
    const { stdout } = await this.pair.lab.exec('client', process.execPath, [
      LOAD,
      'download',
      GUEST_IP,
      String(PORT),
      String(SECONDS),
    ]);
    return Number(stdout);
  }

  /** Round trips of one byte on one connection, in us, sorted. */
  async roundTrips(count: number): Promise<number[]> {
    this.pin(true);
    const command = ['-c', PRIMARY_CPU, process.execPath, LOAD, 'pingpong', GUEST_IP, String(PORT), String(count)];
    const { stdout } = await this.pair.lab.exec('client', 'taskset', command);
    this.pin(false);
    return (JSON.parse(stdout) as number[]).sort((a, b) => a - b);
  }

  private pin(on: boolean): void {
    for (const [pid, cpu] of this.cpuOf)
      execFileSync('taskset', ['-acp', on ? cpu : `0-${cpus().length - 1}`, String(pid)], { stdio: 'ignore' });
  }

  destroy(): Promise<void> {
    return this.pair.destroy();
  }
}

const at = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!;

export async function runE2eBench(log: (line: string) => void): Promise<E2eResult> {
  const pairs: E2ePair[] = [];
  try {
    const guarded = await E2ePair.create(true);
    pairs.push(guarded);
    const plain = await E2ePair.create(false);
    pairs.push(plain);
    const second = await E2ePair.create(false);
    pairs.push(second);
    const protectedRates: number[] = [];
    const unprotectedRates: number[] = [];
    const twoPairRates: number[] = [];
    const p50: number[] = [];
    const p99: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      protectedRates.push(await guarded.download());
      unprotectedRates.push(await plain.download());
      const [one, two] = await Promise.all([plain.download(), second.download()]);
      twoPairRates.push((one + two) / 2);
      const withProxy = await guarded.roundTrips(3000);
      const without = await plain.roundTrips(3000);
      p50.push(at(withProxy, 0.5) - at(without, 0.5));
      p99.push(at(withProxy, 0.99) - at(without, 0.99));
    }
    const result = {
      protected_gbps: median(protectedRates),
      unprotected_gbps: median(unprotectedRates),
      two_pairs_gbps: median(twoPairRates),
      added_us_p50: median(p50),
      added_us_p99: median(p99),
      cpus: `client, PVM and PN on CPU ${PRIMARY_CPU}, SVM and SN on CPU ${SECONDARY_CPU}`,
    };
    log(`e2e: ${JSON.stringify(result)}`);
    return result;
  } finally {
    for (const pair of pairs) await pair.destroy();
  }
}

if (require.main === module) {
  runE2eBench((line) => console.log(line)).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}
