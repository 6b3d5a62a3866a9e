// What the two daemons of a protected pair cost while it carries a load, user and kernel time apart. It says whose
// processes they are, for perf or strace beside it.
// node build/bench/bench/cost.js ethernet|stream download|upload|requests [SECONDS]

import { readFileSync } from 'node:fs';
import { LoadPair } from './lib/load-pair';
import { quantile } from './lib/median';

const WARM_UPS = 3;
/** Of one second of requests, roughly. */
const REQUESTS = 3000;
const MS_PER_TICK = 10;

interface Cpu {
  user: number;
  system: number;
}

/** Milliseconds, of all threads (proc(5)). */
function cpuOf(pid: number): Cpu {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return { user: Number(fields[11]) * MS_PER_TICK, system: Number(fields[12]) * MS_PER_TICK };
}

async function main(): Promise<void> {
  const [link, load, seconds = '5'] = process.argv.slice(2);
  if ((link !== 'ethernet' && link !== 'stream') || !['download', 'upload', 'requests'].includes(load ?? '')) {
    console.error('usage: cost.js ethernet|stream download|upload|requests [SECONDS]');
    process.exit(2);
  }
  const pair = await LoadPair.create(link);
  try {
    /** Units of the load, and what the client saw. */
    const run = async (duration: number): Promise<[units: number, seen: string]> => {
      if (load === 'requests') {
        const trips = await pair.roundTrips(REQUESTS * duration);
        return [trips.length, `p50 ${quantile(trips, 0.5).toFixed(0)} us`];
      }
      const { bytes, gbps } = load === 'upload' ? await pair.upload(duration) : await pair.download(duration);
      return [bytes, `${gbps.toFixed(2)} Gbit/s`];
    };
    for (let i = 0; i < WARM_UPS; i++) await run(2);
    const { daemons } = pair;
    console.log(`primary ${daemons.primary}, secondary ${daemons.secondary}`);
    const before = [cpuOf(daemons.primary), cpuOf(daemons.secondary)];
    const [units, seen] = await run(Number(seconds));
    console.log(`${link}, ${load}: ${seen}; checkpoints asked for: ${pair.checkpoints}`);
    const [scale, unit] = load === 'requests' ? [1e3, 'us/request'] : [1e6, 'ns/byte'];
    for (const [i, side] of (['primary', 'secondary'] as const).entries()) {
      const now = cpuOf(daemons[side]);
      const per = (ms: number): string => ((ms * scale) / units).toFixed(load === 'requests' ? 0 : 2);
      const user = per(now.user - before[i]!.user);
      console.log(`${side}: ${user} ${unit} user, ${per(now.system - before[i]!.system)} ${unit} kernel`);
    }
  } finally {
    await pair.destroy();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
