// One of a device's sockets under attack: what is written is cut as it comes, ends at any byte, and is understood here
// as well, so that the test knows which whole frames the device was given.

import { connect, type Socket } from 'node:net';
import { until } from '../../../lib/chardev-peer';
import type { Random } from './random';

export const MAX_FRAME_BYTES = 69_632;
const MAX_VNET_BYTES = 24;

export type OnFrame = (frame: Buffer, vnetBytes: number) => void;

/** Whole frames of a stream that comes in pieces. */
export class Framer {
  /** The stream makes no sense from here on. */
  bad = false;
  private rest: Buffer = Buffer.alloc(0);

  constructor(
    private readonly vnetWord: boolean,
    private readonly onFrame: OnFrame,
    /** A text without the second word is taken, too: what it begins with is no length. */
    private readonly wordOptional = false,
  ) {}

  get clean(): boolean {
    return !this.bad && this.rest.length === 0;
  }

  take(piece: Buffer): void {
    this.rest = this.rest.length === 0 ? piece : Buffer.concat([this.rest, piece]);
    let at = 0;
    while (!this.bad && this.rest.length - at >= 4) {
      const len = this.rest.readUInt32BE(at);
      if (len === 0 || len > MAX_FRAME_BYTES) this.bad = true;
      let head = this.vnetWord ? 8 : 4;
      if (this.bad || this.rest.length - at < head) break;
      let vnetBytes = this.vnetWord ? this.rest.readUInt32BE(at + 4) : 0;
      if (this.wordOptional && vnetBytes > MAX_VNET_BYTES) {
        vnetBytes = 0;
        head = 4;
      }
      if (vnetBytes > Math.min(MAX_VNET_BYTES, len)) this.bad = true;
      if (this.bad || this.rest.length - at < head + len) break;
      this.onFrame(Buffer.from(this.rest.subarray(at + head, at + head + len)), vnetBytes);
      at += head + len;
    }
    if (at > 0) this.rest = Buffer.from(this.rest.subarray(at));
  }
}

export function onWire(frame: Buffer, vnetWord: boolean, vnetBytes: number, len = frame.length): Buffer {
  const words = Buffer.alloc(vnetWord ? 8 : 4);
  words.writeUInt32BE(len, 0);
  if (vnetWord) words.writeUInt32BE(vnetBytes, 4);
  return Buffer.concat([words, frame]);
}

export class AttackedSocket {
  written = 0;
  private socket: Socket | undefined;
  private sends!: Framer;
  private gets!: Framer;

  constructor(
    private readonly path: string,
    private readonly vnetWord: boolean,
    private readonly vnetWordBack: boolean,
    private readonly onSent: OnFrame,
    private readonly onFrame: OnFrame,
    /** How many connections of this device the process has taken. */
    private readonly taken: () => number,
    private readonly onFault: (error: unknown) => void,
  ) {}

  /** There, and at the border of two frames. */
  get clean(): boolean {
    return this.socket !== undefined && !this.socket.destroyed && this.sends.clean;
  }

  get backlogBytes(): number {
    return this.socket?.writableLength ?? 0;
  }

  /** A stream that makes no sense is ended by the process. */
  async refused(): Promise<void> {
    const { socket } = this;
    if (socket === undefined || !this.sends.bad) return;
    await until(() => socket.destroyed, `the end of a connection to ${this.path} that makes no sense`);
  }

  /** Resolves when the process has it. */
  async connect(): Promise<void> {
    this.drop();
    const before = this.taken();
    // Only where what comes back has no second word may it be left out on the way there.
    this.sends = new Framer(this.vnetWord, this.onSent, this.vnetWord && !this.vnetWordBack);
    const gets = new Framer(this.vnetWordBack, this.onFrame);
    this.gets = gets;
    const socket = connect(this.path);
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      if (this.gets !== gets) return;
      try {
        gets.take(piece);
        if (gets.bad) throw new Error(`what comes out of ${this.path} is no frame`);
      } catch (error) {
        this.onFault(error);
      }
    });
    await until(() => this.taken() > before, `connection to ${this.path}`);
  }

  write(bytes: Buffer, r?: Random): void {
    if (this.socket === undefined || this.socket.destroyed) return;
    this.written += bytes.length;
    this.sends.take(bytes);
    for (let at = 0; at < bytes.length; ) {
      const end = r === undefined ? bytes.length : Math.min(bytes.length, at + r.between(1, r.chance(0.5) ? 9 : 3000));
      this.socket.write(bytes.subarray(at, end));
      at = end;
    }
  }

  slow(paused: boolean): void {
    if (paused) this.socket?.pause();
    else this.socket?.resume();
  }

  drop(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }
}
