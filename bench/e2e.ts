// End to end in network namespaces: bulk TCP throughput, protected over either link and not, and what protection adds
// to the latency of a one-byte request. Guests, daemons and the client share this machine's processors, so the fair
// measure for throughput is what one of two unprotected pairs gets that run at the same time.

import { LoadPair, PRIMARY_CPU, SECONDARY_CPU } from './lib/load-pair';
import { median, quantile } from './lib/median';

const ROUNDS = 5;
const SECONDS = 2;

export interface E2eResult {
  protected_gbps: number;
  /** Over a stream link. */
  protected_stream_gbps: number;
  unprotected_gbps: number;
  two_pairs_gbps: number;
  added_us_p50: number;
  added_us_p99: number;
  cpus: string;
}

export async function runE2eBench(log: (line: string) => void): Promise<E2eResult> {
  const pairs: LoadPair[] = [];
  const made = async (pair: Promise<LoadPair>): Promise<LoadPair> => {
    pairs.push(await pair);
    return pair;
  };
  try {
    const guarded = await made(LoadPair.create('ethernet'));
    const streamed = await made(LoadPair.create('stream'));
    const plain = await made(LoadPair.create('none'));
    const second = await made(LoadPair.create('none'));
    const protectedRates: number[] = [];
    const streamRates: number[] = [];
    const unprotectedRates: number[] = [];
    const twoPairRates: number[] = [];
    const p50: number[] = [];
    const p99: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      protectedRates.push((await guarded.download(SECONDS)).gbps);
      streamRates.push((await streamed.download(SECONDS)).gbps);
      unprotectedRates.push((await plain.download(SECONDS)).gbps);
      const [one, two] = await Promise.all([plain.download(SECONDS), second.download(SECONDS)]);
      twoPairRates.push((one.gbps + two.gbps) / 2);
      const withProxy = await guarded.roundTrips(3000);
      const without = await plain.roundTrips(3000);
      p50.push(quantile(withProxy, 0.5) - quantile(without, 0.5));
      p99.push(quantile(withProxy, 0.99) - quantile(without, 0.99));
    }
    const result = {
      protected_gbps: median(protectedRates),
      protected_stream_gbps: median(streamRates),
      unprotected_gbps: median(unprotectedRates),
      two_pairs_gbps: median(twoPairRates),
      added_us_p50: median(p50),
      added_us_p99: median(p99),
      cpus: `client, PVM and PN on CPU ${PRIMARY_CPU}, SVM and SN on CPU ${SECONDARY_CPU}`,
    };
    const asked = pairs.flatMap(({ requests }) => requests);
    if (asked.length > 0) throw new Error(`not everything was compared: ${asked.join('\n')}`);
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
