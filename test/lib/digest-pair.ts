// A primary's engine that hears its SVM by digests: sender, link and intake before a PrimaryHarness. What crosses the
// link waits in two queues until it is delivered.

import { randomBytes } from 'node:crypto';
import { DigestIntake } from '../../src/digest/intake';
import type { Digester } from '../../src/digest/record';
import { DigestSender } from '../../src/digest/sender';
import { NativeDigester } from '../../src/io/digester';
import type { PrimaryConfig } from '../../src/pmycolo/engine';
import { PrimaryHarness } from './primary-harness';

export interface Crossing {
  type: 'digest' | 'frame' | 'fetched' | 'gone' | 'fetch';
  epoch: number;
  bytes: Buffer;
}

const ETHERNET = Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00]);
const KEY = randomBytes(16);

export class DigestPair {
  readonly h: PrimaryHarness;
  readonly sender: DigestSender;
  readonly intake: DigestIntake;
  readonly toPrimary: Crossing[] = [];
  readonly toSecondary: Crossing[] = [];
  epoch = 0;
  unknown = 0;
  /** Whether a FETCH finds room on the link. */
  room = true;
  /** Frames that went to the comparison. */
  readonly handed: Buffer[] = [];

  constructor(config: PrimaryConfig = {}, ringBytes = 1 << 20, digester: Digester = new NativeDigester(KEY)) {
    this.h = new PrimaryHarness(config);
    this.sender = new DigestSender(digester, ringBytes);
    this.intake = new DigestIntake(
      this.h.engine.said,
      {
        frame: (buf, off, bytes) => {
          const frame = Buffer.from(buf.subarray(off, off + bytes));
          this.handed.push(frame);
          this.h.s(frame.subarray(24));
        },
        fetch: (serial, from, bytes) => {
          if (!this.room) return false;
          const record = Buffer.alloc(12);
          record.writeUInt32BE(serial, 0);
          record.writeUInt32BE(from, 4);
          record.writeUInt32BE(bytes, 8);
          this.toSecondary.push({ type: 'fetch', epoch: this.epoch, bytes: record });
          return true;
        },
        unknown: () => {
          this.unknown++;
        },
      },
      [1, 2],
    );
    this.intake.begin(digester);
  }

  p(packet: Buffer): number {
    return this.h.p(packet);
  }

  /** The SVM sends; gsoBytes 0: the frame is no larger than the wire's. */
  s(packet: Buffer, gsoBytes = 0): void {
    const { sender, epoch } = this;
    const vnet = Buffer.alloc(10);
    if (gsoBytes > 0) {
      vnet[1] = 1;
      vnet.writeUInt16LE(gsoBytes, 4);
    }
    const ethernet = Buffer.from(ETHERNET);
    if (packet[0]! >> 4 === 6) ethernet.writeUInt16BE(0x86dd, 12);
    const frame = Buffer.concat([vnet, ethernet, packet]);
    const taken = sender.take(epoch, frame, 0, frame.length);
    const bytes = taken ? Buffer.from(sender.record.subarray(0, sender.recordBytes)) : frame;
    this.toPrimary.push({ type: taken ? 'digest' : 'frame', epoch, bytes });
  }

  /** The secondary reads its next question. */
  answer(): void {
    const { sender } = this;
    const { bytes } = this.toSecondary.shift()!;
    const type = sender.fetch(bytes, 0, bytes.length);
    if (type === 'malformed') throw new Error('a question that is none');
    const head = sender.answerHead.subarray(0, sender.answerHeadBytes);
    const body = sender.ring.subarray(sender.answerAt, sender.answerAt + sender.answerBytes);
    this.toPrimary.push({ type, epoch: this.epoch, bytes: Buffer.concat([head, body]) });
  }

  /** The primary reads its next record. */
  deliver(): void {
    const { type, epoch, bytes } = this.toPrimary.shift()!;
    if (epoch !== this.epoch) return;
    const { intake, h } = this;
    const arena = Buffer.alloc(bytes.length + 24, 0xa5);
    bytes.copy(arena, 8);
    let fine = true;
    if (type === 'digest') fine = intake.digest(epoch, arena, 8, bytes.length, h.now);
    else if (type === 'frame') intake.frame(arena, 8, bytes.length, h.now);
    else if (type === 'fetched') fine = intake.fetched(arena, 8, bytes.length, h.now);
    else fine = intake.gone(arena, 8, bytes.length, h.now);
    arena.fill(0x5a);
    if (!fine) throw new Error(`a ${type} that is none`);
  }

  endBatch(): void {
    this.intake.endBatch(this.h.now);
    this.h.engine.endBatch(this.h.now);
  }

  /** Until nothing moves any more. */
  settle(): void {
    for (let n = 0; n < 10_000; n++) {
      while (this.toPrimary.length > 0) this.deliver();
      this.endBatch();
      while (this.toSecondary.length > 0) this.answer();
      if (this.toPrimary.length > 0) continue;
      if (this.intake.deadlineMs > this.h.now + 10) return;
      this.h.now = Math.max(this.h.now, this.intake.deadlineMs);
    }
    throw new Error('it does not come to rest');
  }

  checkpoint(): void {
    this.intake.clear();
    this.h.engine.checkpoint(this.h.now);
    this.epoch++;
  }
}
