// A guest's port for frames, for as long as the node lives: one that goes, with the hypervisor or switched off, is
// looked for until it is back.

import { OperatorError } from '../core/errors';
import { FramePort, type FramePortOptions } from '../io/frame-port';
import type { Logger } from './log';

/** A port that was switched off, or is gone, is looked for again so often. */
const RETRY_MS = 200;

export class GuestFrames {
  private port: FramePort | undefined;
  private retry: NodeJS.Timeout | undefined;
  private deaf = false;
  private closed = false;
  private lostBefore = 0;
  private told = 0;

  constructor(
    private readonly options: FramePortOptions,
    private readonly onFrames: (port: FramePort, count: number) => void,
    private readonly log: Logger,
  ) {
    this.open();
  }

  /** False: the port is full, down or gone. */
  send(buf: Buffer, off: number, bytes: number): boolean {
    return this.port?.send(buf, off, bytes) === true;
  }

  /** Hands over all that is there now. */
  drain(): void {
    this.port?.drain();
  }

  /** Frames that the kernel had no room for, or could not describe. */
  get lost(): number {
    return this.lostBefore + (this.port?.lost ?? 0);
  }

  /** Those since the last call. */
  newlyLost(): number {
    const { lost } = this;
    const more = lost - this.told;
    this.told = lost;
    return more;
  }

  /** Idempotent. */
  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    this.forget();
  }

  private open(): void {
    if (this.closed) return;
    try {
      const port: FramePort = new FramePort(this.options, {
        onFrames: (count) => {
          this.deaf = false;
          this.onFrames(port, count);
        },
        onClose: (error) => this.wait(error),
      });
      this.port = port;
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.wait(error);
    }
  }

  private wait(error: OperatorError): void {
    const { interface: port } = this.options;
    if (!this.deaf) this.log.warn({ port, error: error.message }, 'no frames of this port until it is back');
    this.deaf = true;
    this.forget();
    this.retry = setTimeout(() => this.open(), RETRY_MS);
  }

  private forget(): void {
    this.lostBefore = this.lost;
    this.port?.close();
    this.port = undefined;
  }
}
