// Runs flows on both devices at once.

import { Prng } from '../../src/sim/prng';
import { startColo } from './colo-device';
import type { Device, DeviceOptions } from './device';
import { Driver } from './driver';
import type { Flow } from './flow';
import { observe, observeTogether, type Result } from './observe';
import { startQemu } from './qemu-device';

export interface Both {
  stock: Result;
  ours: Result;
}

export class Pair {
  private constructor(
    private readonly stock: Driver,
    private readonly ours: Driver,
  ) {}

  static async start(options: DeviceOptions = {}): Promise<Pair> {
    const devices: Device[] = [];
    try {
      devices.push(await startQemu(options), await startColo(options));
      const drivers = devices.map((device) => new Driver(device));
      await Promise.all(drivers.map((driver) => driver.connect()));
      return new Pair(drivers[0]!, drivers[1]!);
    } catch (error) {
      for (const device of devices) await device.stop();
      throw error;
    }
  }

  /** Each device takes the flows in turn; neither waits for the other. */
  async run(flows: readonly Flow[]): Promise<Both[]> {
    const [stock, ours] = await Promise.all([this.stock, this.ours].map((driver) => runAll(flows, driver)));
    return flows.map((_, i) => ({ stock: stock![i]!, ours: ours![i]! }));
  }

  /** As run(), but all flows in among each other; both devices get them in the same order. */
  async runTogether(flows: readonly Flow[], seed: number): Promise<Both[]> {
    const drivers = [this.stock, this.ours];
    const [stock, ours] = await Promise.all(drivers.map((driver) => observeTogether(flows, new Prng(seed), driver)));
    return flows.map((_, i) => ({ stock: stock![i]!, ours: ours![i]! }));
  }

  async stop(): Promise<void> {
    for (const driver of [this.stock, this.ours]) {
      driver.close();
      await driver.device.stop();
    }
  }
}

async function runAll(flows: readonly Flow[], driver: Driver): Promise<Result[]> {
  const results: Result[] = [];
  for (const flow of flows) results.push(await observe(flow, driver));
  return results;
}
