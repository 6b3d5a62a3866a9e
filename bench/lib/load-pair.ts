// A pair whose guests serve bulk transfers and one-byte requests (load.js), and a client that asks for them.

import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { GUEST_IP, type Lab } from '../../test/netns/lab';
import { BenchPair, type Protection } from './bench-pair';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const LOAD = join(ROOT, 'bench/lib/load.js');
const PORT = 8080;
/** For latency: the primary's side and the client on one CPU, the secondary's on another where there is one. */
export const PRIMARY_CPU = '0';
export const SECONDARY_CPU = cpus().length > 1 ? '1' : '0';

/** A connection may stand still when a checkpoint was asked for. */
const ROUND_TRIPS_MS = 20_000;
const ATTEMPTS = 5;

/** A bulk transfer, as the client saw it. */
export interface Transfer {
  gbps: number;
  /** Of the whole of it; `gbps` leaves its beginning out. */
  bytes: number;
}

export class LoadPair {
  /** That were asked for. */
  checkpoints = 0;
  private answered = 0;

  private constructor(
    private readonly pair: BenchPair,
    /** Process ids by the CPU that they get for the latency measurement. */
    private readonly cpuOf: ReadonlyMap<number, string>,
  ) {}

  static async create(protection: Protection, prepare?: (lab: Lab) => Promise<void>): Promise<LoadPair> {
    const cpuOf = new Map<number, string>();
    const guests = protection === 'none' ? (['pvm'] as const) : (['pvm', 'svm'] as const);
    const startServers = async (lab: Lab): Promise<void> => {
      for (const guest of guests) {
        const server = lab.spawn(guest, process.execPath, [LOAD, 'serve', String(PORT)]);
        await server.waitFor(/ready/);
        cpuOf.set(server.pid, guest === 'pvm' ? PRIMARY_CPU : SECONDARY_CPU);
      }
    };
    const pair = await BenchPair.create(protection, startServers, prepare);
    const { controller, daemons } = pair;
    const made = new LoadPair(pair, cpuOf);
    if (controller !== undefined && daemons !== undefined) {
      cpuOf.set(daemons.primary.pid, PRIMARY_CPU).set(daemons.secondary.pid, SECONDARY_CPU);
      controller.onNotice = () => {
        made.checkpoints++;
      };
    }
    return made;
  }

  get lab(): Lab {
    return this.pair.lab;
  }

  /** Process ids, of a protected pair. */
  get daemons(): { primary: number; secondary: number } {
    const { primary, secondary } = this.pair.daemons!;
    return { primary: primary.pid, secondary: secondary.pid };
  }

  /** What the primary's daemon has said of the checkpoints. */
  get requests(): readonly string[] {
    const lines = this.pair.daemons?.primary.output.split('\n') ?? [];
    return lines.filter((line) => line.includes('asking for a checkpoint'));
  }

  /**
   * What one run has measured. One in which a checkpoint was asked for is no measurement: nobody loads states here, so
   * it is answered when the client has gone, and the run repeated.
   */
  async undisturbed<T>(run: () => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await this.answer();
      const result = await run().catch((error: unknown) => {
        if (this.checkpoints === this.answered) throw error;
      });
      if (this.checkpoints === this.answered) return result as T;
    }
    throw new Error(`checkpoints in ${ATTEMPTS} runs, one after the other: ${this.requests.slice(-1)}`);
  }

  private async answer(): Promise<void> {
    if (this.checkpoints === this.answered) return;
    this.answered = this.checkpoints;
    await this.pair.controller!.checkpoint();
  }

  download(seconds: number): Promise<Transfer> {
    return this.transfer('download', seconds);
  }

  upload(seconds: number): Promise<Transfer> {
    return this.transfer('upload', seconds);
  }

  /** Round trips of one byte on one connection, in us, sorted. */
  async roundTrips(count: number): Promise<number[]> {
    this.pin(true);
    const command = ['-c', PRIMARY_CPU, process.execPath, LOAD, 'pingpong', GUEST_IP, String(PORT), String(count)];
    const limit = { timeoutMs: ROUND_TRIPS_MS };
    const { stdout } = await this.pair.lab.exec('client', 'taskset', command, limit).finally(() => this.pin(false));
    return (JSON.parse(stdout) as number[]).sort((a, b) => a - b);
  }

  destroy(): Promise<void> {
    return this.pair.destroy();
  }

  private async transfer(what: 'download' | 'upload', seconds: number): Promise<Transfer> {
    const args = [LOAD, what, GUEST_IP, String(PORT), String(seconds)];
    const { stdout } = await this.pair.lab.exec('client', process.execPath, args);
    return JSON.parse(stdout) as Transfer;
  }

  private pin(on: boolean): void {
    for (const [pid, cpu] of this.cpuOf)
      execFileSync('taskset', ['-acp', on ? cpu : `0-${cpus().length - 1}`, String(pid)], { stdio: 'ignore' });
  }
}
