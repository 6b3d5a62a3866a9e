// A comparison's interfaces to the world: time, sockets, a random seed. A simulated world has its own.

import { randomBytes } from 'node:crypto';
import { openChardev, type StreamFactory } from '../../chardev/frame-socket';
import type { ConnectStream } from '../../core/byte-stream';
import type { Clock } from '../../core/clock';
import { DeadlineTimer, RegularTimer } from '../../io/deadline-timer';
import { byteStream } from '../../io/stream/byte-stream';
import type { Endpoint } from '../../io/stream/chardev';
import { systemClock } from '../../io/system-clock';

export interface Surroundings {
  /** Whole ms. */
  readonly clock: Clock;
  /** Of the same clock, in ms with fractions. */
  preciseMs(): number;
  /** Calls the task after everything that is ready now. */
  soon(task: () => void): void;
  /** See RegularTimer. */
  every(ms: number, task: () => void): Pick<RegularTimer, 'close'>;
  /** See DeadlineTimer. */
  deadline(onDue: () => void): Pick<DeadlineTimer, 'arm' | 'close'>;
  readonly openSocket: StreamFactory;
  /** Opens a QMP connection. */
  connect(endpoint: Endpoint): ConnectStream;
  /** 64 random bits. */
  seed(): [number, number];
}

export const thisHost: Surroundings = {
  clock: systemClock,
  preciseMs: () => performance.now(),
  // The first setImmediate may run in a turn that has read its sockets already.
  soon: (task) => void setImmediate(() => setImmediate(task)),
  every: (ms, task) => new RegularTimer(ms, task),
  deadline: (onDue) => new DeadlineTimer(systemClock.nowMs, onDue),
  openSocket: openChardev,
  connect: byteStream,
  seed: () => {
    const bytes = randomBytes(8);
    return [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
  },
};
