// `colo qemu compare` as a process: comparisons behind sockets, their metrics, their end.

import type { Server } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { WARM_UP_MS } from '../pmycolo/warm-up';
import { CompareDevice } from '../qemu/compare/compare-device';
import type { CompareSettings } from '../qemu/compare/compare-settings';
import { warmUpFrames } from '../qemu/compare/warm-up';
import { nowMs } from './clock';
import { createLogger } from './log';
import type { NodeMetrics } from './metrics';
import { sayLastWords, untilSignal } from './process';

/**
 * V8 builds so many bytes of small functions into a hot one, 920 if left alone; behind sockets the hot one is
 * Lockstep.run(), and a pair of frames takes some forty calls: a fifth of the time that it takes in step. The compiler
 * takes longer for it, so the daemons, which must be back at once after a crash and wait for the kernel most of the
 * time, leave it alone. Only after everything is loaded: code that was kept under other flags is compiled anew.
 */
const INLINED_BYTES = 2500;

/** Until a signal ends it. Resolves with the counters of each comparison. Rejects with OperatorError. */
export async function runCompare(
  settings: readonly CompareSettings[],
  logLevel: string,
  metricsPort: number | undefined,
): Promise<Record<string, Record<string, number>>> {
  const log = createLogger(logLevel);
  sayLastWords(log, 'what was held is lost');
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTES}`);
  // Nothing is connected yet.
  warmUpFrames(nowMs, WARM_UP_MS);
  const devices = settings.map((one) => new CompareDevice(one, log.child({ compare: one.id })));
  let metrics: Server | undefined;
  try {
    for (const device of devices) await device.open();
    if (metricsPort !== undefined) {
      const { createRegistry, serveMetrics } = require('./metrics') as typeof import('./metrics');
      metrics = await serveMetrics(
        metricsPort,
        createRegistry(() => devices.map(metricsOf)),
      );
    }
    const ended = untilSignal(log);
    log.info({ instances: devices.length, pid: process.pid }, 'ready');
    await ended;
  } finally {
    for (const device of devices) device.close();
    metrics?.close();
  }
  log.info({}, 'ended');
  return Object.fromEntries(devices.map((device) => [device.settings.id, { ...device.gauges(), ...device.counts() }]));
}

function metricsOf(device: CompareDevice): NodeMetrics {
  const { counters } = device.comparison.engine;
  return {
    labels: { node: device.settings.id, role: 'compare' },
    counters: device.counts(),
    requests: counters.requestsByCause(),
    gauges: device.gauges(),
    holdBuckets: counters.holdBuckets,
    holdMsSum: counters.holdMsSum,
  };
}
