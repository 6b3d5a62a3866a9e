// Feeds one device through its sockets, step by step, and writes down what it lets out and when it asks for a
// checkpoint. Nothing here waits by the clock: markers (see markers.ts) say when a step has been handled.

import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Device } from './device';
import { barrierFrame, markerFrame, readMarker } from './markers';
import { encodeFrames, FrameReader } from './wire';

export const INIT = 'COLO_USERSPACE_PROXY_INIT';
export const INIT_REPLY = 'COLO_COMPARE_GET_XEN_INIT';
export const DO_CHECKPOINT = 'DO_CHECKPOINT';
export const CHECKPOINT = 'COLO_CHECKPOINT';

/** Only ends a wait for what never comes. */
const GIVE_UP_MS = 30_000;
/** Of a virtio-net header: what says how the frame is to be finished. */
const OFFLOAD_BYTES = 10;
const DIAL_AGAIN_MS = 10;
const WATCH_MS = 200;

/** What came of one step. */
export interface Observed {
  /** Ethernet frames in the order they came out. */
  out: Buffer[];
  /** Checkpoint requests. Their count is exact at a checkpoint only: before it some may still be on the way. */
  asked: number;
}

export class Driver {
  private primarySocket!: Socket;
  private secondarySocket!: Socket;
  private outSocket!: Socket;
  private notifySocket!: Socket;
  private out: Buffer[] = [];
  private asked = 0;
  private askedInEpoch = 0;
  private greeted = false;
  /** Number of the last barrier and of the last marker seen. */
  private barrierSeen = 0;
  private markerSeen = 0;
  private barriers = 0;
  private markers = 0;
  private waiting: (() => void) | undefined;
  private waitingSince = 0;
  private watch: NodeJS.Timeout | undefined;
  private failure: Error | undefined;
  private endExpected = false;
  private readonly vnetBytes: number | undefined;
  /** What stands before the frames of either side: no flag is set, and the rest is nonsense of each side's own. */
  private readonly vnetHeaders: { p: Buffer; s: Buffer };

  constructor(readonly device: Device) {
    this.vnetBytes = device.options.vnetBytes;
    const header = (fill: number): Buffer => Buffer.alloc(this.vnetBytes ?? 0).fill(fill, 2);
    this.vnetHeaders = { p: header(0xa5), s: header(0x3c) };
  }

  async connect(): Promise<void> {
    // For what never comes, and for the end of the program.
    this.watch = setInterval(() => this.waiting?.(), WATCH_MS);
    const reader = new FrameReader(this.vnetBytes !== undefined, (bytes, vnetBytes) => this.onOut(bytes, vnetBytes));
    this.outSocket = await this.dial('out', (chunk) => reader.push(chunk));
    const notes = new FrameReader(false, (frame) => this.onNote(frame.toString('latin1')));
    this.notifySocket = await this.dial('ntf', (chunk) => notes.push(chunk));
    this.primarySocket = await this.dial('pri');
    this.secondarySocket = await this.dial('sec');
    this.notify(INIT);
    await this.until(() => this.greeted, 'the reply to the greeting');
    // What is sent before the device has taken the outgoing connection may be lost: ask until an answer comes.
    for (const begun = Date.now(); this.barrierSeen === 0; ) {
      if (Date.now() - begun > GIVE_UP_MS) throw new Error(`${this.device.name} lets out no barrier`);
      this.sendPrimary([barrierFrame(++this.barriers)]);
      await new Promise((resolve) => setTimeout(resolve, 5));
      this.check('the first barrier');
    }
    await this.barrier();
    this.take();
  }

  close(): void {
    clearInterval(this.watch);
    for (const socket of [this.primarySocket, this.secondarySocket, this.outSocket, this.notifySocket]) {
      socket?.destroy();
    }
  }

  /** Frames of the primary, in one write; returns when all are handled. */
  async primary(frames: readonly Buffer[]): Promise<Observed> {
    const fresh = this.markerSeen === this.markers;
    this.sendPrimary(fresh ? [...frames, markerFrame(++this.markers)] : frames);
    await this.barrier();
    return this.take();
  }

  /** Frames of the secondary, in one write; returns when all are handled. */
  async secondary(frames: readonly Buffer[]): Promise<Observed> {
    await this.placeMarker();
    const paused = (): boolean => this.device.pausesOnRequest && this.askedInEpoch > 0;
    this.sendSecondary([...frames, markerFrame(this.markers)]);
    await this.until(() => this.markerSeen === this.markers || paused(), 'the secondary to be read');
    if (this.markerSeen !== this.markers) await this.drainSecondary();
    return this.take();
  }

  /** COLO_CHECKPOINT; returns when everything that was held has come out. */
  async checkpoint(): Promise<Observed> {
    await this.placeMarker();
    // Requests may come later than what was let out before them; the answer to another greeting comes behind them.
    this.greeted = false;
    this.notify(INIT);
    this.notify(CHECKPOINT);
    const flushed = (): boolean => this.greeted && this.markerSeen === this.markers;
    await this.until(flushed, 'the checkpoint to let the held packets go');
    await this.barrier();
    this.askedInEpoch = 0;
    return this.take();
  }

  /** The device has lost the marker that it held: the next step places another. */
  forgetMarker(): void {
    this.markerSeen = this.markers;
  }

  /** Bytes as they are, whole frames or not; waits for nothing. */
  raw(which: 'pri' | 'sec', bytes: Buffer): void {
    (which === 'pri' ? this.primarySocket : this.secondarySocket).write(bytes);
  }

  /** Waits until the device has hung up. */
  async untilHungUp(which: 'pri' | 'sec'): Promise<void> {
    const socket = which === 'pri' ? this.primarySocket : this.secondarySocket;
    await this.until(() => socket.destroyed, `hanging up on ${which}`);
  }

  /** Nothing is read of outdev: the device gets rid of no more than the socket holds. */
  pauseOut(paused: boolean): void {
    if (paused) this.outSocket.pause();
    else this.outSocket.resume();
  }

  notify(text: string): void {
    // What goes to the device bears the second word, what comes from it does not.
    this.notifySocket.write(encodeFrames([Buffer.from(text, 'latin1')], this.vnetBytes === undefined ? undefined : 0));
  }

  /** Everything since the last call. */
  take(): Observed {
    const observed = { out: this.out, asked: this.asked };
    this.out = [];
    this.asked = 0;
    return observed;
  }

  /** Waits until the device has asked for a checkpoint so many times since the last take(). */
  async untilAsked(times: number): Promise<void> {
    await this.until(() => this.asked >= times, 'asking for a checkpoint');
  }

  /** Waits until so many frames have come out since the last take(). */
  async untilOut(frames: number): Promise<void> {
    await this.until(() => this.out.length >= frames, `letting out ${frames} frames`);
  }

  async untilStderr(text: string): Promise<void> {
    await this.until(() => this.device.stderr().includes(text), `complaining of ${text}`);
  }

  /** Waits for the end of the program; it need not be a good one. */
  async untilEnded(): Promise<string> {
    this.endExpected = true;
    await this.until(() => this.device.ended() !== undefined, 'its end');
    return this.device.ended()!;
  }

  /** Waits until all frames of the primary so far were handled. */
  async barrier(): Promise<void> {
    const n = ++this.barriers;
    this.sendPrimary([barrierFrame(n)]);
    await this.until(() => this.barrierSeen >= n, 'the primary to be read');
  }

  /** Connects a socket anew. */
  async redial(which: 'pri' | 'sec'): Promise<void> {
    const socket = which === 'pri' ? this.primarySocket : this.secondarySocket;
    socket.destroy();
    const next = await this.dial(which);
    if (which === 'pri') this.primarySocket = next;
    else this.secondarySocket = next;
  }

  /**
   * Returns when all of the secondary was read. Hangs up for it: the device sees the end behind all that it has still
   * to read, and hangs up in turn.
   */
  async drainSecondary(): Promise<void> {
    const socket = this.secondarySocket;
    const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.end();
    await gone;
    this.secondarySocket = await this.dial('sec');
    await this.barrier();
  }

  /** One marker of the primary is under way, held by the device. */
  private async placeMarker(): Promise<void> {
    if (this.markerSeen !== this.markers) return;
    this.markers++;
    this.sendPrimary([markerFrame(this.markers)]);
    await this.barrier();
  }

  private sendPrimary(frames: readonly Buffer[]): void {
    if (frames.length > 0) this.primarySocket.write(this.encode(frames, this.vnetHeaders.p));
  }

  private sendSecondary(frames: readonly Buffer[]): void {
    this.secondarySocket.write(this.encode(frames, this.vnetHeaders.s));
  }

  private encode(frames: readonly Buffer[], header: Buffer): Buffer {
    if (this.vnetBytes === undefined) return encodeFrames(frames);
    return encodeFrames(
      frames.map((frame) => Buffer.concat([header, frame])),
      this.vnetBytes,
    );
  }

  private onOut(bytes: Buffer, vnetBytes: number): void {
    const { p } = this.vnetHeaders;
    const cleared = Buffer.from(p).fill(0, 0, Math.min(p.length, OFFLOAD_BYTES));
    const head = bytes.subarray(0, p.length);
    // A packet that was altered has a whole checksum, and its header says that nothing is left to be done (virtio 1.2,
    // 5.1.6). Ours clears what its packet does not need, the number of buffers too.
    const settled = Buffer.alloc(p.length);
    const known = head.equals(p) || (this.device.name === 'colo' && (head.equals(cleared) || head.equals(settled)));
    if (vnetBytes !== p.length || !known) {
      this.failure = new Error(
        `a virtio-net header came out that never went in: ${bytes.toString('hex', 0, vnetBytes)}`,
      );
    }
    const frame = bytes.subarray(vnetBytes);
    const marker = readMarker(frame);
    if (marker === undefined) this.out.push(frame);
    else if (marker.kind === 'barrier') this.barrierSeen = marker.n;
    else this.markerSeen = marker.n;
    this.waiting?.();
  }

  private onNote(text: string): void {
    if (text === INIT_REPLY) this.greeted = true;
    else if (text === DO_CHECKPOINT) {
      this.asked++;
      this.askedInEpoch++;
    } else this.failure = new Error(`${this.device.name} says ${JSON.stringify(text)} on notify_dev`);
    this.waiting?.();
  }

  /** Connects as soon as the device listens. */
  private async dial(name: string, onData?: (chunk: Buffer) => void): Promise<Socket> {
    for (let left = GIVE_UP_MS / DIAL_AGAIN_MS; ; left--) {
      try {
        return await this.dialOnce(name, onData);
      } catch (error) {
        this.check(`listening on ${name}`);
        if (left <= 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, DIAL_AGAIN_MS));
      }
    }
  }

  private dialOnce(name: string, onData?: (chunk: Buffer) => void): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(join(this.device.dir, name));
      socket.once('connect', () => resolve(socket));
      socket.once('error', reject);
      socket.on('error', () => {});
      socket.on('close', () => this.waiting?.());
      if (onData) socket.on('data', onData);
      else socket.resume();
    });
  }

  private check(what: string): void {
    if (this.failure) throw this.failure;
    const ended = this.device.ended();
    if (ended !== undefined && !this.endExpected)
      throw new Error(`${this.device.name} ended (${ended}) before ${what}: ${this.device.stderr()}`);
  }

  private async until(done: () => boolean, what: string): Promise<void> {
    if (done()) return;
    this.waitingSince = Date.now();
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: Error): void => {
        this.waiting = undefined;
        if (error) reject(error);
        else resolve();
      };
      this.waiting = () => {
        try {
          this.check(what);
          if (done()) finish();
          else if (Date.now() - this.waitingSince > GIVE_UP_MS) {
            finish(new Error(`${this.device.name} never came to ${what}: ${this.device.stderr().slice(-2000)}`));
          }
        } catch (error) {
          finish(error as Error);
        }
      };
    });
  }
}
