// The stream link between the hosts beside the ethernet link: what it sends, and what it costs in throughput and in
// latency, on a good network and on one that loses. Everything in turns, as the machine's own speed changes.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Lab, STREAM_IPS } from '../test/netns/lab';
import { LoadPair } from './lib/load-pair';
import { median, quantile } from './lib/median';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const RELAY = join(ROOT, 'test/netns/support/relay.c');
const ROUNDS = process.env.COLO_BENCH_QUICK === '1' ? 1 : 5;
const SECONDS = 2;
/** Of 10,000 frames, lost and overtaken each. */
const BAD = '100';
const HOSTS = ['pn', 'sn'] as const;

export interface LinkResult {
  /** Bytes of the frames between the hosts, both directions, per byte that the client got. */
  'link.bytes_ratio': number;
  /** The same where the guests send frames of at most 1,448 bytes of payload. */
  'link.bytes_ratio_1448': number;
  /** Bulk download, stream / ethernet. */
  'link.throughput_ratio': number;
  /** Bulk upload, stream / ethernet. */
  'link.upload_ratio': number;
  /** Bulk download through a relay of frames, with 1 % lost and 1 % overtaken / with none. */
  'link.loss_ratio': number;
  /** What protection adds to a one-byte request and response, p50, stream / ethernet. */
  'link.latency_ratio': number;
  ethernet_gbps: number;
  stream_gbps: number;
  ethernet_upload_gbps: number;
  stream_upload_gbps: number;
  relay_gbps: number;
  relay_lossy_gbps: number;
  ethernet_added_us_p50: number;
  stream_added_us_p50: number;
  /** Of all pairs, for any reason: runs that were repeated. */
  checkpoints: number;
}

let checkpoints = 0;

export async function runLinkBench(log: (line: string) => void): Promise<LinkResult> {
  checkpoints = 0;
  const result = { ...(await bytes()), ...(await speeds()), ...(await losses()), checkpoints };
  log(`link: ${JSON.stringify(result)}`);
  return result;
}

type Part<K extends keyof LinkResult> = Promise<Pick<LinkResult, K>>;

async function speeds(): Part<
  | 'link.throughput_ratio'
  | 'link.upload_ratio'
  | 'link.latency_ratio'
  | `${'ethernet' | 'stream'}_${'gbps' | 'upload_gbps' | 'added_us_p50'}`
> {
  return withPairs(
    [() => LoadPair.create('ethernet'), () => LoadPair.create('stream'), () => LoadPair.create('none')],
    async ([ethernet, stream, plain]) => {
      const down = await inTurns([ethernet!, stream!], download);
      const up = await inTurns([ethernet!, stream!], async (pair) => (await pair.upload(SECONDS)).gbps);
      const trips = await inTurns([ethernet!, stream!, plain!], async (pair) =>
        quantile(await pair.roundTrips(3000), 0.5),
      );
      const added = [trips[0]! - trips[2]!, trips[1]! - trips[2]!] as const;
      return {
        'link.throughput_ratio': down[1]! / down[0]!,
        'link.upload_ratio': up[1]! / up[0]!,
        'link.latency_ratio': added[1] / added[0],
        ethernet_gbps: down[0]!,
        stream_gbps: down[1]!,
        ethernet_upload_gbps: up[0]!,
        stream_upload_gbps: up[1]!,
        ethernet_added_us_p50: added[0],
        stream_added_us_p50: added[1],
      };
    },
  );
}

/** Frames as on a wire: none is larger than the link's MTU. */
async function bytes(): Part<'link.bytes_ratio' | 'link.bytes_ratio_1448'> {
  const prepare = async (lab: Lab): Promise<void> => {
    for (const host of HOSTS) lab.execSync(host, 'ip', ['link', 'set', 'fwd0', 'gso_max_segs', '1']);
  };
  return withPairs([() => LoadPair.create('stream', prepare)], async ([pair]) => {
    const { lab } = pair!;
    const ratio = async (): Promise<number> => {
      const ratios: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const one = await pair!.undisturbed(async () => {
          const before = frameBytes(lab);
          const transfer = await pair!.download(SECONDS);
          return (frameBytes(lab) - before) / transfer.bytes;
        });
        ratios.push(one);
      }
      return median(ratios);
    };
    const whole = await ratio();
    for (const guest of ['pvm', 'svm'] as const) {
      lab.execSync(guest, 'ip', ['link', 'set', 'eth0', 'gso_max_segs', '1']);
    }
    return { 'link.bytes_ratio': whole, 'link.bytes_ratio_1448': await ratio() };
  });
}

async function losses(): Part<'link.loss_ratio' | 'relay_gbps' | 'relay_lossy_gbps'> {
  const through = (per10000: string) => LoadPair.create('stream', (lab) => putRelay(lab, per10000));
  return withPairs([() => through('0'), () => through(BAD)], async (pairs) => {
    const [good, bad] = await inTurns(pairs, download);
    return { 'link.loss_ratio': bad! / good!, relay_gbps: good!, relay_lossy_gbps: bad! };
  });
}

const download = async (pair: LoadPair): Promise<number> => (await pair.download(SECONDS)).gbps;

/** Each measured in every round; the median of each. */
async function inTurns(pairs: readonly LoadPair[], one: (pair: LoadPair) => Promise<number>): Promise<number[]> {
  const values = pairs.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, pair] of pairs.entries()) values[i]!.push(await pair.undisturbed(() => one(pair)));
  }
  return values.map(median);
}

async function withPairs<T>(
  makers: readonly (() => Promise<LoadPair>)[],
  use: (pairs: readonly LoadPair[]) => Promise<T>,
): Promise<T> {
  const pairs: LoadPair[] = [];
  try {
    for (const make of makers) pairs.push(await make());
    return await use(pairs);
  } finally {
    for (const pair of pairs) {
      for (const line of pair.requests) console.log(line);
      checkpoints += pair.checkpoints;
      await pair.destroy();
    }
  }
}

/** Both directions of the link between the hosts. */
function frameBytes(lab: Lab): number {
  const said = JSON.parse(lab.execSync('pn', 'ip', ['-s', '-j', 'link', 'show', 'fwd0'])) as [
    { stats64: { rx: { bytes: number }; tx: { bytes: number } } },
  ];
  const { rx, tx } = said[0].stats64;
  return rx.bytes + tx.bytes;
}

/** A cable between the hosts that loses and reorders so many of 10,000 frames. */
async function putRelay(lab: Lab, per10000: string): Promise<void> {
  const program = join(lab.dir, 'relay');
  execFileSync('gcc', ['-O2', '-Wall', '-Werror', '-o', program, RELAY]);
  lab.execSync('pn', 'ip', ['link', 'del', 'fwd0']);
  const relay = lab.spawn('client', program, [lab.ns.pn, lab.ns.sn, per10000, per10000, '1']);
  await relay.waitFor(/ready/);
  for (const host of HOSTS) {
    lab.execSync(host, 'sysctl', ['-qw', 'net.ipv6.conf.fwd0.disable_ipv6=1']);
    lab.execSync(host, 'ip', ['addr', 'add', `${STREAM_IPS[host]}/30`, 'dev', 'fwd0']);
    lab.execSync(host, 'ip', ['link', 'set', 'fwd0', 'up']);
  }
}

if (require.main === module) {
  runLinkBench((line) => console.log(line)).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}
