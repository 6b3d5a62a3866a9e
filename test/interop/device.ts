// A comparer under test: a program with four sockets, primary_in, secondary_in, outdev and notify_dev.

import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface DeviceOptions {
  /** Size of the virtio-net header before each frame; undefined: vnet_hdr_support is off. */
  vnetBytes?: number;
  /** compare_timeout, in ms. Tests without a clock set it so high that it never comes. */
  compareTimeoutMs?: number;
  /** expired_scan_cycle, in ms. */
  scanCycleMs?: number;
  /** max_queue_size, in packets. */
  maxQueueSize?: number;
}

/** No test runs this long. */
export const NEVER_MS = 2_000_000_000;

export interface Device {
  readonly name: 'qemu' | 'colo';
  readonly options: DeviceOptions;
  /** Where its sockets lie: pri, sec, out, ntf. */
  readonly dir: string;
  /**
   * True when nothing is compared between a request and the checkpoint: then what the secondary says meanwhile has no
   * effect that could be waited for.
   */
  readonly pausesOnRequest: boolean;
  /** What it has written to its standard error. */
  stderr(): string;
  /** Set once it has ended: exit code or signal. */
  ended(): string | undefined;
  /** Ends it and removes the sockets. */
  stop(): Promise<void>;
}

export function socketDir(name: string): string {
  return mkdtempSync(join(tmpdir(), `colo-interop-${name}-`));
}

/** What both programs have in common as child processes. */
export class Child {
  private text = '';
  private end: string | undefined;

  constructor(
    readonly process: ChildProcess,
    readonly dir: string,
  ) {
    process.stderr?.on('data', (data: Buffer) => {
      // A device that complains about every frame must not fill the memory.
      if (this.text.length < 1 << 20) this.text += data.toString();
    });
    process.on('exit', (code, signal) => {
      this.end = signal ?? `exit ${code}`;
    });
    process.on('error', (error) => {
      this.end = error.message;
    });
  }

  stderr(): string {
    return this.text;
  }

  ended(): string | undefined {
    return this.end;
  }

  async stop(): Promise<void> {
    if (this.end === undefined) {
      const gone = new Promise<void>((resolve) => this.process.once('exit', () => resolve()));
      this.process.kill('SIGKILL');
      await gone;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
