// The death of the primary node, many times: at any moment of transfers that go on, in any order of what dies first.
// Every connection is finished by the secondary guest, and no byte is missing, double or wrong.
import { execFileSync } from 'node:child_process';
import { expected } from './guest/content';
import { requires } from './requires';
import type { Order, Transfer } from './support/client';
import { ADDRESSES, GUEST_PORT, Pair } from './support/pair';
import { sleep, until } from './support/wait';

const KILLS = Number(process.env.COLO_KILLS ?? 50);
/** Pairs at work at the same time; most of a kill is waiting. */
const LANES = 2;
const SEED = Number(process.env.COLO_SEED ?? 20151104);
const BYTES = 1_500_000;
const RATE = 1_200_000;
const port = GUEST_PORT;

jest.setTimeout(15 * 60_000 + KILLS * 10_000);

/** mulberry32: a kill of a given seed and number is always the same. */
function randomness(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Kill {
  orders: Order[];
  atMs: number;
  /** What dies, in this order, and how long after what died before. */
  deaths: ('daemon' | 'guest' | 'links')[];
  pausesMs: number[];
  failoverMs: number;
}

function plan(number: number): Kill {
  const random = randomness(SEED * 1000 + number);
  const orders: Order[] = [
    { op: 'get', host: ADDRESSES.IPv4, port, bytes: BYTES, rate: RATE },
    { op: 'get', host: ADDRESSES.IPv6, port, bytes: BYTES, rate: RATE },
    {
      op: 'dial',
      host: random() < 0.5 ? ADDRESSES.IPv4 : ADDRESSES.IPv6,
      port,
      bytes: BYTES,
      rate: RATE,
      // Below the ports that the client takes for its own connections.
      local: 2000 + number,
    },
  ];
  if (random() < 0.5) {
    const host = random() < 0.5 ? ADDRESSES.IPv4 : ADDRESSES.IPv6;
    orders.push({ op: 'upload', host, port, bytes: BYTES, rate: RATE });
  }
  const deaths: Kill['deaths'] = ['daemon', 'guest', 'links'];
  for (let i = deaths.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [deaths[i], deaths[j]] = [deaths[j]!, deaths[i]!];
  }
  return {
    orders,
    atMs: Math.floor(random() * 1200),
    deaths,
    pausesMs: deaths.map(() => Math.floor(random() ** 3 * 60)),
    failoverMs: Math.floor(random() * 150),
  };
}

requires('netns', 'nfqueue')('the death of the primary node', () => {
  const pairs: Pair[] = [];
  beforeAll(async () => {
    for (let lane = 0; lane < LANES; lane++) pairs.push(await Pair.create({ node: { compareTimeoutMs: 30_000 } }));
  });
  afterAll(async () => {
    for (const pair of pairs) await pair.destroy();
  });

  async function die(pair: Pair, kill: Kill): Promise<void> {
    const { lab } = pair;
    for (const [i, what] of kill.deaths.entries()) {
      await sleep(kill.pausesMs[i]!);
      if (what === 'daemon') await pair.killDaemon('primary');
      else if (what === 'links') {
        const lines = 'link set nic0 down\nlink set fwd0 down\n';
        execFileSync('ip', ['-n', lab.ns.pn, '-batch', '-'], { input: lines });
      } else {
        // The hypervisor was the controller.
        pair.controllers.primary.close();
        lab.killGuest('pvm');
      }
    }
  }

  async function once(pair: Pair, number: number): Promise<{ unfinished: number; gapMs: number }> {
    const kill = plan(number);
    const { client } = pair;
    const transfers: Transfer[] = kill.orders.map((order) => client.begin(order));
    await until('beginning of all transfers', () => transfers.every((t) => t.begun || t.outcome !== undefined));
    // At once: the plan may let some of them end before the kill.
    if (number < LANES) optionsInUse(pair);
    await sleep(kill.atMs);
    const unfinished = transfers.filter((transfer) => transfer.outcome === undefined).length;
    await pair.provenEqual();
    await die(pair, kill);
    await sleep(kill.failoverMs);
    // A checkpoint that was told and never came about: the SVM still lives in the old numbers, and shows it.
    if (number % 3 === 0) await pair.controllers.secondary.checkpoint();
    await pair.controllers.secondary.failover();
    // The controller's successor finds a node that has failed over, and connections that live on its offsets.
    if (number % 2 === 1) await pair.attach('secondary');
    let gapMs = 0;
    if (transfers.some((transfer) => transfer.outcome === undefined)) {
      await until('reminders', async () => (await pair.stats('secondary')).counters.reminders! > 0);
    }
    for (const transfer of transfers) {
      const outcome = await client.finish(transfer, 120_000);
      expect(outcome).toMatchObject({ bytes: BYTES, sha256: expected(BYTES) });
      gapMs = Math.max(gapMs, outcome.gapMs ?? 0);
    }
    // A connection that begins only now is the SVM's own affair.
    const late = { op: 'get', host: number % 2 === 0 ? ADDRESSES.IPv4 : ADDRESSES.IPv6, port, bytes: 1000 } as const;
    expect((await client.run(late, 60_000)).sha256).toBe(expected(1000));
    return { unfinished, gapMs };
  }

  /** Every connection of the client uses the options that make a failover hard. */
  function optionsInUse(pair: Pair): void {
    const sockets = pair.lab.execSync('client', 'ss', ['-tinH', 'state', 'established']);
    const lines = sockets.split('\n').filter((line) => /\bcwnd:/.test(line));
    expect(lines.length).toBeGreaterThanOrEqual(3);
    // 12 bytes of each segment are timestamps.
    for (const line of lines) expect(line).toMatch(/\bwscale:\d+,\d+ .*\badvmss:(1448|1428)\b/);
    for (const role of ['client', 'pvm', 'svm'] as const) {
      const settings = ['tcp_sack', 'tcp_timestamps', 'tcp_window_scaling'].map((name) => `net.ipv4.${name}`);
      expect(pair.lab.execSync(role, 'sysctl', ['-n', ...settings])).toMatch(/^1\n[12]\n1\n$/);
    }
  }

  test(`${KILLS} times, seed ${SEED}: all transfers finish, whole`, async () => {
    let next = 0;
    const gaps: number[] = [];
    let unfinished = 0;
    const lane = async (pair: Pair): Promise<void> => {
      for (let first = true; next < KILLS; first = false) {
        const number = next++;
        if (!first) await pair.rebuildPrimary();
        try {
          const result = await once(pair, number);
          unfinished += result.unfinished;
          gaps.push(result.gapMs);
        } catch (error) {
          next = KILLS;
          throw new Error(
            `kill ${number} of seed ${SEED}: ${JSON.stringify(plan(number))}\n${(error as Error).message}\n${await pair.account()}`,
          );
        }
      }
    };
    await Promise.all(pairs.map(lane));
    gaps.sort((a, b) => a - b);
    console.log(
      `failovers ${gaps.length}, seed ${SEED}: connections carried over ${unfinished}; longest gap of each, ms: median ${gaps[gaps.length >> 1]}, worst ${gaps.at(-1)}`,
    );
    expect(gaps).toHaveLength(KILLS);
    // The kills did come in the middle of transfers.
    expect(unfinished).toBeGreaterThan(KILLS);
  });
});
