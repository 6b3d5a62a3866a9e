// QEMU's colo-compare and this project's on the same streams through the same sockets, in turns; medians of several
// rounds, each with a fresh device that is warmed up. The device has one CPU and the generator the other. The generator
// checks every released byte; what it reaches against a sink that compares nothing is measured too (`generator_pps_*`),
// so that one sees that it is not the limit.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { median } from '../lib/median';
import { DEVICE_CPU, Device, type DeviceKind, GENERATOR_CPU } from './devices';
import { syscallsPerPacket } from './syscalls';

export interface ChardevResult {
  /** Pairs per second, ours / QEMU's: the median of the rounds' ratios. */
  ratio_1400: number;
  ratio_10: number;
  ratio_udp18: number;
  latency_ratio: number;
  cpu_ratio_1400: number;
  syscalls_per_packet: number;
  conn_growth: number;
  ours_pps_1400: number;
  qemu_pps_1400: number;
  generator_pps_1400: number;
  ours_pps_10: number;
  qemu_pps_10: number;
  generator_pps_10: number;
  ours_pps_udp18: number;
  qemu_pps_udp18: number;
  generator_pps_udp18: number;
  ours_cpu_us_1400: number;
  qemu_cpu_us_1400: number;
  ours_p50_us: number;
  qemu_p50_us: number;
  ours_p99_us: number;
  qemu_p99_us: number;
  qemu_syscalls_per_packet: number;
  ours_conn_per_s_100: number;
  ours_conn_per_s_100000: number;
  /** Share of the frames that QEMU's device released before an older one of the same stream; ours must have none. */
  qemu_reordered_share_1400: number;
  cpus: string;
}

const ROUNDS = 5;
const WARM_UP_MS = 1500;
const MEASURE_MS = 2000;
const BATCH = 400;
/**
 * Two batches on their way, so that the device never waits for the next one. QEMU's queue takes 1024 and drops what is
 * more.
 */
const WINDOW = 2 * BATCH;
const UDP_FLOWS = 1000;
const LATENCY_PAIRS = { warmUp: 5000, measured: 20_000 };
const COUNTED_PAIRS = 200_000;
/**
 * Open before the two measurements, measured block of new ones, warm-up, and the time after which reset ones are
 * forgotten.
 */
const CONNECTIONS = { few: 100, many: 100_000, block: 20_000, warmUp: 20_000, settleMs: 13_000 };

type Figures = Record<string, number>;
type Load = (device: Device) => Promise<Figures>;

const SATURATING = {
  '1400': (device) => device.load('stream', 1400, WINDOW, BATCH, WARM_UP_MS, MEASURE_MS, device.pid),
  '10': (device) => device.load('stream', 10, WINDOW, BATCH, WARM_UP_MS, MEASURE_MS, device.pid),
  udp18: (device) => device.load('udp', 18, UDP_FLOWS, BATCH, WARM_UP_MS, MEASURE_MS, device.pid),
} satisfies Record<string, Load>;

const pingPong: Load = (device) =>
  device.load('latency', 1400, LATENCY_PAIRS.warmUp, LATENCY_PAIRS.measured, device.pid);

async function once<T>(kind: DeviceKind, use: (device: Device) => Promise<T>): Promise<T> {
  const device = await Device.start(kind);
  try {
    return await use(device);
  } finally {
    await device.stop();
  }
}

async function inTurns(
  rounds: number,
  kinds: readonly DeviceKind[],
  load: Load,
): Promise<Record<DeviceKind, Figures[]>> {
  const figures: Record<DeviceKind, Figures[]> = { ours: [], qemu: [], sink: [] };
  for (let i = 0; i < rounds; i++) {
    for (const kind of kinds) figures[kind].push(await once(kind, load));
  }
  return figures;
}

const of = (figures: readonly Figures[], key: string): number => median(figures.map((f) => f[key]!));
const ratio = (a: readonly Figures[], b: readonly Figures[], key: string): number =>
  median(a.map((f, i) => f[key]! / b[i]![key]!));
const round = (x: number, digits: number): number => Number(x.toFixed(digits));

export async function runChardevBench(log: (line: string) => void, rounds = ROUNDS): Promise<ChardevResult> {
  execFileSync(join(process.env.COLO_ROOT ?? process.cwd(), 'bench/chardev/setup.sh'), { stdio: 'inherit' });
  const result: Record<string, number | string> = {};
  for (const [name, load] of Object.entries(SATURATING)) {
    const { ours, qemu, sink } = await inTurns(rounds, ['qemu', 'ours', 'sink'], load);
    if (ours.some((f) => f.reordered! > 0)) throw new Error(`ours released frames of ${name} out of order`);
    result[`ratio_${name}`] = round(ratio(ours, qemu, 'pps'), 2);
    result[`ours_pps_${name}`] = of(ours, 'pps');
    result[`qemu_pps_${name}`] = of(qemu, 'pps');
    result[`generator_pps_${name}`] = of(sink, 'pps');
    if (name === '1400') {
      result.cpu_ratio_1400 = round(ratio(ours, qemu, 'cpu_us_per_pair'), 3);
      result.ours_cpu_us_1400 = round(of(ours, 'cpu_us_per_pair'), 2);
      result.qemu_cpu_us_1400 = round(of(qemu, 'cpu_us_per_pair'), 2);
      result.qemu_reordered_share_1400 = round(median(qemu.map((f) => f.reordered! / f.total_pairs!)), 4);
    }
    log(
      `chardev ${name}: ours ${result[`ours_pps_${name}`]}, QEMU ${result[`qemu_pps_${name}`]}, generator ${result[`generator_pps_${name}`]} pairs/s`,
    );
  }
  const latency = await inTurns(rounds, ['qemu', 'ours'], pingPong);
  result.latency_ratio = round(ratio(latency.ours, latency.qemu, 'p50_us'), 3);
  for (const kind of ['ours', 'qemu'] as const) {
    for (const q of ['p50', 'p99']) result[`${kind}_${q}_us`] = round(of(latency[kind], `${q}_us`), 1);
    const count = (device: Device): Promise<number> =>
      syscallsPerPacket(device, () => device.load('count', 1400, WINDOW, BATCH, COUNTED_PAIRS));
    result[kind === 'ours' ? 'syscalls_per_packet' : 'qemu_syscalls_per_packet'] = round(await once(kind, count), 3);
  }
  log(`chardev ping-pong p50: ours ${result.ours_p50_us} us, QEMU ${result.qemu_p50_us} us`);
  const { few, many, block, warmUp, settleMs } = CONNECTIONS;
  const { ours } = await inTurns(rounds, ['ours'], (device) =>
    device.load('connections', few, many, block, warmUp, settleMs),
  );
  result.conn_growth = round(of(ours, 'growth'), 2);
  result.ours_conn_per_s_100 = of(ours, 'per_s_few');
  result.ours_conn_per_s_100000 = of(ours, 'per_s_many');
  result.cpus = `device on CPU ${DEVICE_CPU}, generator on CPU ${GENERATOR_CPU}`;
  return result as unknown as ChardevResult;
}

if (require.main === module) {
  runChardevBench((line) => console.log(line), Number(process.argv[2] ?? ROUNDS))
    .then((result) => console.log(JSON.stringify(result, null, 2)))
    .catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
}
