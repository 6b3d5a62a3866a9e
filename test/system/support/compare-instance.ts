// A comparison within the test's process, on Unix sockets with a test's peers at the other ends.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEndpoint } from '../../../src/io/stream/chardev';
import { CompareDevice } from '../../../src/qemu/compare/compare-device';
import type { CompareSettings } from '../../../src/qemu/compare/compare-settings';
import { buildFrame } from '../../lib/build-frame';
import { buildUdp } from '../../lib/build-packet';
import { ChardevPeer, until } from '../../lib/chardev-peer';

export const udp = (payload: string): Buffer => buildFrame(buildUdp({ payload }));

interface Lines {
  level: string;
  text: string;
  fields: Record<string, unknown>;
}

export class CompareInstance {
  readonly device: CompareDevice;
  readonly lines: Lines[] = [];
  p!: ChardevPeer;
  s!: ChardevPeer;
  o!: ChardevPeer;
  n!: ChardevPeer;

  constructor(
    private readonly dir: string,
    settings: Partial<CompareSettings>,
  ) {
    const at = (name: string) => parseEndpoint(`unix:${dir}/${name},server`);
    const log = (level: string) => (fields: Record<string, unknown>, text: string) =>
      this.lines.push({ level, text, fields });
    this.device = new CompareDevice(
      {
        id: 'comp0',
        primaryIn: at('p'),
        secondaryIn: at('s'),
        outdev: at('o'),
        notifyDev: at('n'),
        compareTimeoutMs: 600_000,
        expiredScanCycleMs: 1000,
        maxQueueSize: 1024,
        vnetHeaders: false,
        ...settings,
      },
      { info: log('info'), warn: log('warn'), error: log('error') },
    );
  }

  /** Listens, and all its peers are there. */
  async start(): Promise<this> {
    await this.device.open();
    for (const name of ['p', 's', 'o', 'n'] as const)
      this[name] = await ChardevPeer.dial({ path: `${this.dir}/${name}` });
    const devices = ['primary_in', 'secondary_in', 'outdev', 'notify_dev'];
    await until(() => devices.every((device) => this.is(`${device}_connected`)), 'all four peers');
    return this;
  }

  is(gauge: string): boolean {
    return this.device.gauges()[gauge] === 1;
  }
  count(name: string): number {
    return this.device.counts()[name]!;
  }
  get held(): number {
    return this.device.comparison.engine.heldPackets;
  }
  said(text: string): boolean {
    return this.lines.some((line) => line.text.includes(text));
  }
  async left(n: number): Promise<Buffer[]> {
    await until(() => this.o.frames().length >= n, `${n} frames at outdev`);
    return this.o.frames();
  }
}

/** For the tests of one file: each has a folder of its own, and its instances end with it. */
export class CompareInstances {
  dir = '';
  private readonly all: CompareInstance[] = [];

  constructor() {
    beforeEach(() => {
      this.dir = mkdtempSync(join(tmpdir(), 'colo-compare-'));
    });
    afterEach(() => {
      for (const { device } of this.all.splice(0)) device.close();
      rmSync(this.dir, { recursive: true });
    });
  }

  create(settings: Partial<CompareSettings> = {}): CompareInstance {
    const instance = new CompareInstance(this.dir, settings);
    this.all.push(instance);
    return instance;
  }

  start(settings: Partial<CompareSettings> = {}): Promise<CompareInstance> {
    return this.create(settings).start();
  }
}
