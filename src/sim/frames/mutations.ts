// Planted mistakes behind sockets, each made by changing a method of a correct comparison: the simulation must find
// every one.

import type { CompareDevice } from '../../qemu/compare/compare-device';
import type { Lockstep } from '../../qemu/compare/lockstep';
import type { MakeDevice } from './world';

export interface FramesMutation {
  name: string;
  make(right: MakeDevice): MakeDevice;
}

type Method = (...all: never[]) => unknown;

/** A private member of an object, by its path. */
function part<T extends object>(of: object, ...path: string[]): T {
  return path.reduce((at, name) => Reflect.get(at, name) as object, of) as T;
}

/** Replaces the method by `wrong`, which may call the correct one. */
function bend(at: object, name: string, wrong: (right: Method) => Method): void {
  const right = (Reflect.get(at, name) as Method).bind(at);
  Object.defineProperty(at, name, { value: wrong(right as Method) });
}

function bent(name: string, wrong: (device: CompareDevice) => void): FramesMutation {
  return {
    name,
    make:
      (right) =>
      (...all) => {
        const device = right(...all);
        wrong(device);
        return device;
      },
  };
}

const gateOf = (device: CompareDevice): object => part(device, 'gate');

export const FRAMES_MUTATIONS: readonly FramesMutation[] = [
  bent('contents of frames in step not compared', (device) => {
    const lockstep = part<Lockstep>(device, 'pairs', 'lockstep');
    const native = part<{ frameTails: (...all: unknown[]) => number }>(lockstep, 'native');
    const frameTails = (...all: unknown[]): number => {
      const n = native.frameTails(...all);
      (all[7] as Uint32Array).fill(0, 0, n);
      return n;
    };
    Object.defineProperty(lockstep, 'native', { value: { frameTails } });
  }),
  bent('lengths of frames in step not compared', (device) => {
    type Pair = CompareDevice['comparison']['pair'];
    bend(device.comparison, 'pair', (right) => {
      const pair = right as unknown as Pair;
      const wrong: Pair = (p, pOff, pLen, s, sOff, sLen, vnetBytes, differing, nowMs) =>
        pair(p, pOff, pLen, s, sOff, pLen, vnetBytes, pLen === sLen ? differing : 0, nowMs);
      return wrong as unknown as Method;
    });
  }),
  bent('a STOP read late taken for one read in time', (device) => {
    bend(gateOf(device), 'onCheckpoint', (right) => () => (right as (exact: boolean) => void)(true));
  }),
  bent('frames from before and after a checkpoint compared', (device) => {
    bend(part(gateOf(device), 'gated'), 'doubt', () => () => {});
  }),
  bent('frames sent after a checkpoint read before the release', (device) => {
    bend(gateOf(device), 'onCheckpoint', (right) => (...all) => {
      part<{ readEmpty(): void }>(gateOf(device), 'gated').readEmpty();
      return right(...all);
    });
  }),
  bent('the sockets are read while the primary is stopped', (device) => {
    bend(part(gateOf(device), 'gated'), 'hold', () => () => {});
  }),
  bent('one later frame of the primary counts as covered', (device) => {
    type Primary = CompareDevice['comparison']['primary'];
    let late = false;
    bend(device.comparison, 'checkpoint', (right) => (...all) => {
      late = true;
      return right(...all);
    });
    bend(device.comparison, 'primary', (right) => {
      const primary = right as unknown as Primary;
      const wrong: Primary = (...all) => {
        primary(...all);
        if (late) device.comparison.engine.releaseAll(all[4]);
        late = false;
      };
      return wrong as unknown as Method;
    });
  }),
  bent('a byte that the socket has taken sent again', (device) => {
    const output = part<{ waiting: number }>(device, 'outdev', 'stream', 'buffers', 'output');
    bend(output, 'consume', (right) => {
      const consume = right as (bytes: number) => void;
      return ((bytes: number) => consume(bytes > 1 && bytes < output.waiting ? bytes - 1 : bytes)) as Method;
    });
  }),
  bent("a dead guest's frames leave", (device) => {
    bend(device.comparison, 'forgetPrimary', (right) => (...all) => {
      device.comparison.engine.releaseAll(0);
      return right(...all);
    });
  }),
  bent('held frames leave when the secondary is gone', (device) => {
    bend(part(device, 'secondaryIn', 'user'), 'onClose', (right) => (...all) => {
      device.comparison.engine.releaseAll(0);
      return right(...all);
    });
  }),
];
