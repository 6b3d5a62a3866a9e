// Two real guests, kept equal by QEMU's COLO with `colo qemu compare` between them, left alone for a minute: how many
// checkpoints the comparison asks for. Nothing differs that a client could see, so each would be a stop of both guests
// for nothing.

import { ColoPair } from '../test/interop/support/colo-pair';
import { sleep } from '../test/netns/support/wait';

export interface GuestsResult {
  idle_checkpoints: number;
  idle_seconds: number;
}

const IDLE_SECONDS = process.env.COLO_BENCH_QUICK === '1' ? 10 : 60;

export async function runGuestsBench(log: (line: string) => void): Promise<GuestsResult> {
  const pair = await ColoPair.create({ chatty: true });
  try {
    const before = await pair.requests();
    await sleep(IDLE_SECONDS * 1000);
    pair.provenSteady();
    const result = { idle_checkpoints: (await pair.requests()) - before, idle_seconds: IDLE_SECONDS };
    if (result.idle_checkpoints > 0) log(pair.comparer.output.slice(-2000));
    log(`guests: ${JSON.stringify(result)}`);
    return result;
  } finally {
    await pair.destroy();
  }
}

if (require.main === module) {
  runGuestsBench((line) => console.log(line)).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}
