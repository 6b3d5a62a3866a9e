// Real servers behind the proxy: requests per second of a protected pair, as a share of what each of two unprotected
// pairs gets that run at the same time (a protected pair is two guests at work, too); how soon a checkpoint is asked
// for when two databases wait for different clients; and what a client hears of the death of the primary's host.

import type { Lab } from '../../test/netns/lab';
import { postgresProgram, type ServerName, Servers } from '../../test/netns/support/servers';
import { sleep } from '../../test/netns/support/wait';
import { BenchPair } from '../lib/bench-pair';
import { median } from '../lib/median';
import { measureGaps } from './gaps';
import { LOADS, type Load, type LoadName, PAGE, PIPELINE, PIPELINE_PORT, pgbench } from './loads';

export interface AppsResult {
  dns_tcp_ratio: number;
  pipeline_ratio: number;
  redis_ratio: number;
  pg_select_ratio: number;
  /** From the last progress of what was held to the request for a checkpoint; null: nothing stalled. */
  pg_rw_stall_ms: number | null;
  nginx_ratio: number;
  nginx_short_ratio: number;
  gap_down_ms_p50: number;
  gap_up_ms_p50: number;
  gap_ms_p99: number;
  /** Requests per second: protected, and each of two unprotected pairs at once. */
  rates: Record<LoadName, { protected: number; two_pairs: number }>;
  /** Checkpoints asked for during each load; none is expected. */
  checkpoints: Record<LoadName, number>;
  pg_rw_tps: number;
  pg_rw_stalls: number;
}

/** COLO_BENCH_QUICK=1: does it work at all. The figures mean nothing then. */
const QUICK = process.env.COLO_BENCH_QUICK === '1';
const ROUNDS = QUICK ? 1 : 5;
const SECONDS = QUICK ? 1 : 3;
/** Rounds at the most for one that counts, and the time in which broken connections are given up. */
const TRIES = 4;
const SETTLE_MS = 3000;
const WARM_UP_SECONDS = QUICK ? 1 : 2;
const STALL_SECONDS = QUICK ? 3 : 20;
const KILLS = QUICK ? 2 : 40;
const SERVERS: readonly ServerName[] = ['nginx', 'redis', 'postgresql', 'unbound'];

async function startServers(lab: Lab, guests: readonly ('pvm' | 'svm')[]): Promise<void> {
  const servers = new Servers(lab, { [PAGE.name]: PAGE.bytes });
  await servers.startBoth(SERVERS, guests);
  for (const guest of guests) {
    const pipeline = lab.spawn(guest, process.execPath, [PIPELINE, 'serve', `${PIPELINE_PORT}`]);
    await pipeline.waitFor(/ready/);
    // In each guest alike, so that both have started as many processes: PostgreSQL tells their ids.
    const make = ['-i', '-q', '-I', 'dtGvp', '-h', '127.0.0.1', '-U', 'postgres', 'postgres'];
    await lab.exec(guest, postgresProgram('pgbench'), make);
  }
}

const createPair = (isProtected: boolean): Promise<BenchPair> =>
  BenchPair.create(isProtected ? 'ethernet' : 'none', (lab) =>
    startServers(lab, isProtected ? ['pvm', 'svm'] : ['pvm']),
  );

/** A protected pair's controller: answers requests for checkpoints at once. */
class Answering {
  private begin = 0;

  constructor(private readonly pair: BenchPair) {
    const controller = pair.controller!;
    controller.onNotice = () => void controller.checkpoint();
  }

  restart(): void {
    this.begin = this.output.length;
  }

  /** What the primary's daemon has logged of each request since then. */
  get requests(): string[] {
    return this.output
      .slice(this.begin)
      .split('\n')
      .filter((line) => line.includes('asking for a checkpoint'));
  }

  private get output(): string {
    return this.pair.daemons!.primary.output;
  }
}

const percentile = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!;
};
const round = (x: number, digits: number): number => Number(x.toFixed(digits));

/**
 * The rate of a round in which no checkpoint was asked for: two processes in namespaces do not become equal by one, so
 * their connections break, and the round measures that. What was asked for is counted all the same.
 */
async function undisturbed(load: Load, pair: BenchPair, answering: Answering): Promise<number> {
  for (let left = TRIES; ; left--) {
    const before = answering.requests.length;
    const rate = await load(pair.lab, SECONDS).catch((error: unknown) => error as Error);
    const disturbed = answering.requests.length > before;
    if (typeof rate === 'number' && (!disturbed || left === 1)) return rate;
    if (!disturbed || left === 1) throw rate;
    await sleep(SETTLE_MS);
  }
}

/** `only`: these loads alone, and nothing else; for development. */
export async function runAppsBench(log: (line: string) => void, only: readonly string[] = []): Promise<AppsResult> {
  const result: Record<string, unknown> = {};
  const rates: Record<string, { protected: number; two_pairs: number }> = {};
  const checkpoints: Record<string, number> = {};
  const pairs: BenchPair[] = [];
  try {
    for (const isProtected of [true, false, false]) pairs.push(await createPair(isProtected));
    const [guarded, plain, second] = pairs as [BenchPair, BenchPair, BenchPair];
    const answering = new Answering(guarded);
    for (const [name, load] of Object.entries(LOADS)) {
      if (only.length > 0 && !only.includes(name)) continue;
      answering.restart();
      const ratios: number[] = [];
      const guardedRates: number[] = [];
      const plainRates: number[] = [];
      for (const { lab } of pairs) await load(lab, WARM_UP_SECONDS).catch(() => {});
      for (let i = 0; i < ROUNDS; i++) {
        const mine = await undisturbed(load, guarded, answering);
        const [one, two] = await Promise.all([load(plain.lab, SECONDS), load(second.lab, SECONDS)]);
        guardedRates.push(mine);
        plainRates.push((one + two) / 2);
        ratios.push((2 * mine) / (one + two));
      }
      result[`${name}_ratio`] = round(median(ratios), 3);
      rates[name] = { protected: Math.round(median(guardedRates)), two_pairs: Math.round(median(plainRates)) };
      const { requests } = answering;
      checkpoints[name] = requests.length;
      const { protected: mine, two_pairs } = rates[name];
      log(`apps ${name}: protected ${mine}/s, two pairs ${two_pairs}/s each, ${requests.length} checkpoints`);
      // Those after the first may come of it: copies of a process do not become equal by a checkpoint.
      if (requests.length > 0) log(`the first: ${requests[0]}`);
    }
    if (only.length > 0 && !only.includes('pg_rw')) return { ...result, rates, checkpoints } as unknown as AppsResult;
    answering.restart();
    result.pg_rw_tps = await pgbench(guarded.lab, STALL_SECONDS);
    // What waited longest says how long nothing had moved.
    const waited = answering.requests.flatMap((line) => /"waitedMs":(\d+)/.exec(line)?.slice(1).map(Number) ?? []);
    result.pg_rw_stalls = waited.length;
    result.pg_rw_stall_ms = waited.length === 0 ? null : round(median(waited), 1);
    log(`apps pg_rw: ${result.pg_rw_tps} tps, ${waited.length} stalls, median ${result.pg_rw_stall_ms} ms`);
  } finally {
    for (const pair of pairs) await pair.destroy();
  }
  const gaps = await measureGaps(KILLS, log);
  result.gap_down_ms_p50 = round(median(gaps.downMs), 1);
  result.gap_up_ms_p50 = round(median(gaps.upMs), 1);
  result.gap_ms_p99 = round(percentile([...gaps.downMs, ...gaps.upMs], 0.99), 1);
  return { ...result, rates, checkpoints } as unknown as AppsResult;
}

if (require.main === module) {
  runAppsBench((line) => console.log(line), process.argv.slice(2))
    .then((result) => console.log(JSON.stringify(result, null, 2)))
    .catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
}
