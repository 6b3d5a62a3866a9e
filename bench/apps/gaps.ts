// How long a client hears nothing when the primary's host dies: downloads and uploads under way, `kill -9` and dark
// links, and DO_FAILOVER at once. Measured on the client's wire: new data for a download, new acknowledgements for an
// upload.

import { execFileSync } from 'node:child_process';
import { GUEST_IP } from '../../test/netns/lab';
import type { Order } from '../../test/netns/support/client';
import { GUEST_PORT, Pair } from '../../test/netns/support/pair';
import { sleep, until } from '../../test/netns/support/wait';

/**
 * Bytes, and bytes a second: under way for more than a second, and a piece every few ms, of what the client's small
 * buffer holds.
 */
const TRANSFERS = {
  get: { bytes: 500_000_000, rate: undefined },
  upload: { bytes: 5_000_000, rate: 4_000_000 },
} as const;
const UNDER_WAY_MS = 300;
/** Kills fall on different places of whatever repeats itself. */
const SPREAD_MS = 37;

export interface Gaps {
  downMs: number[];
  upMs: number[];
}

/** A line of `tcpdump -tt -n -S`: time in s, the client's port, and where data and acknowledgement of the guest end. */
const SEGMENT = /^(\d+\.\d+) IP \S+ > [\d.]+\.(\d+): Flags \[[^\]]*\](?:, seq (?:\d+:)?(\d+))?(?:, ack (\d+))?/;

/** One of a connection's two numbers: when it last moved on, and its longest pause that ended after the kill. */
class Progress {
  private at = 0;
  private last = Number.NaN;
  moved = 0;
  longestMs = 0;

  see(value: number, timeS: number, fromS: number): void {
    if (Number.isNaN(value)) return;
    const step = (value - this.last) | 0;
    if (!Number.isNaN(this.last) && step <= 0) return;
    if (!Number.isNaN(this.last)) {
      this.moved += step;
      if (timeS > fromS) this.longestMs = Math.max(this.longestMs, (timeS - this.at) * 1000);
    }
    this.at = timeS;
    this.last = value;
  }
}

function readCapture(capture: string, fromS: number): { data: Progress; acknowledged: Progress }[] {
  const flows = new Map<string, { data: Progress; acknowledged: Progress }>();
  for (const line of capture.split('\n')) {
    const match = SEGMENT.exec(line);
    if (match === null) continue;
    const [, time, port, end, ack] = match;
    let flow = flows.get(port!);
    if (flow === undefined) {
      flow = { data: new Progress(), acknowledged: new Progress() };
      flows.set(port!, flow);
    }
    flow.data.see(Number(end), Number(time), fromS);
    flow.acknowledged.see(Number(ack), Number(time), fromS);
  }
  return [...flows.values()];
}

async function once(pair: Pair, number: number, gaps: Gaps): Promise<void> {
  const { lab, client } = pair;
  const filter = ['tcp', 'and', 'src', 'host', GUEST_IP, 'and', 'src', 'port', `${GUEST_PORT}`];
  const dump = lab.spawn('client', 'tcpdump', ['-i', 'lan0', '-n', '-tt', '-S', '-l', '-s', '120', ...filter]);
  await dump.waitFor(/listening on/);
  const orders = (['get', 'get', 'upload', 'upload'] as const).map(
    (op): Order => ({ op, host: GUEST_IP, port: GUEST_PORT, ...TRANSFERS[op] }),
  );
  const transfers = orders.map((order) => client.begin(order));
  await until('beginning of all transfers', () => transfers.every((one) => one.begun || one.outcome !== undefined));
  await sleep(UNDER_WAY_MS + ((number * SPREAD_MS) % 300));
  if (transfers.some((one) => one.outcome !== undefined)) throw new Error('a transfer ended before the kill');
  await pair.provenEqual();
  const killedAtS = Date.now() / 1000;
  // All at once, as a host dies: the death of the daemon alone would leave the peers' acknowledgements their way to the
  // SVM.
  execFileSync('ip', ['-n', lab.ns.pn, '-batch', '-'], { input: 'link set fwd0 down\nlink set nic0 down\n' });
  pair.daemons.primary.child.kill('SIGKILL');
  await pair.controllers.secondary.failover();
  pair.controllers.primary.close();
  lab.killPrimary();
  for (const one of transfers) {
    const { bytes } = await client.finish(one, 60_000);
    if (bytes !== one.order.bytes) throw new Error(`a transfer ended with ${bytes} bytes`);
  }
  await dump.stop('SIGTERM');
  for (const { data, acknowledged } of readCapture(dump.output, killedAtS)) {
    if (data.moved > TRANSFERS.get.bytes / 2) gaps.downMs.push(data.longestMs);
    else if (acknowledged.moved > TRANSFERS.upload.bytes / 2) gaps.upMs.push(acknowledged.longestMs);
  }
}

export async function measureGaps(kills: number, log: (line: string) => void): Promise<Gaps> {
  const gaps: Gaps = { downMs: [], upMs: [] };
  // Nothing that waits is to be taken for a divergence on a busy machine.
  const pair = await Pair.create({ link: 'ethernet', node: { compareTimeoutMs: 30_000 } });
  try {
    for (let number = 0; number < kills; number++) {
      if (number > 0) await pair.rebuildPrimary();
      try {
        await once(pair, number, gaps);
      } catch (error) {
        throw new Error(`kill ${number}: ${(error as Error).message}\n${await pair.account()}`);
      }
    }
  } finally {
    await pair.destroy();
  }
  const seen = gaps.downMs.length + gaps.upMs.length;
  if (seen !== 4 * kills) throw new Error(`${seen} connections were seen on the wire instead of ${4 * kills}`);
  log(`gaps: ${JSON.stringify({ down: gaps.downMs.map(Math.round), up: gaps.upMs.map(Math.round) })}`);
  return gaps;
}
