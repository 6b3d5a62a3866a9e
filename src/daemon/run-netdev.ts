// `colo qemu netdev` and its shorthands as a process: the netdev, its control socket, the watch over the secondary,
// their end.

import type { Log } from '../core/log';
import { byteStream } from '../io/stream/byte-stream';
import type { Endpoint } from '../io/stream/endpoint';
import { systemClock } from '../io/system-clock';
import { WARM_UP_MS } from '../pmycolo/warm-up';
import { ControlServer } from '../qemu/netdev/control-server';
import { Netdev } from '../qemu/netdev/netdev';
import type { NetdevConfig } from '../qemu/netdev/netdev-config';
import { warmUpNetdev } from '../qemu/netdev/warm-up';
import { ColoWatch } from '../qmp/colo-watch';
import { nowMs } from './clock';
import { createLogger } from './log';
import { sayLastWords, untilSignal } from './process';

/** Until a signal ends it. Rejects with OperatorError. */
export async function runNetdev(config: NetdevConfig, logLevel: string): Promise<void> {
  const log = createLogger(logLevel);
  sayLastWords(log, 'frames on their way are lost');
  const netdev = new Netdev(config, log);
  const control = config.control === undefined ? undefined : new ControlServer(config.control, netdev);
  // What has failed over has a guest that waits already: it is served first.
  if (!netdev.failedOver) warmUpNetdev(nowMs, WARM_UP_MS);
  const watch = config.qmp === undefined ? undefined : watchSecondary(config.qmp, netdev, log);
  const close = (): void => {
    watch?.close();
    control?.close();
    netdev.close();
  };
  try {
    await control?.open();
    await netdev.open();
    await watch?.open();
  } catch (error) {
    close();
    throw error;
  }
  const ended = untilSignal(log);
  log.info({ netdev: config.id, filters: config.filters.map(({ id }) => id) }, 'ready');
  await ended;
  close();
  log.info({}, 'ended');
}

function watchSecondary(qmp: Endpoint, netdev: Netdev, log: Log): ColoWatch {
  return new ColoWatch(
    'secondary',
    byteStream(qmp),
    {
      onStopped: () => netdev.holdGuest(),
      onCheckpoint: (exact) => netdev.checkpoint(exact),
      onFailover: () => netdev.failover(),
      onRunning: () => netdev.resumeGuest(),
      onLost: () => {},
    },
    log,
    systemClock,
  );
}
