// Planted mistakes, each made by wrapping an engine that is right: the simulation must find every one of them, else it
// would not find such a mistake in an engine either.

import { PREFIX_PACKET_BYTES } from '../core/limits';
import type { PrimaryActions } from '../pmycolo/engine';
import {
  ACCEPT,
  ACCEPT_REWRITTEN,
  type EngineMakers,
  type PrimaryPlan,
  type PrimaryPort,
  type SecondaryFiles,
  type SecondaryPort,
  WAIT,
} from './engine-port';
import { CLIENT_HOST, GUEST_HOST, ipHeaderBytes, PROTO_TCP, writeChecksum, writeIp } from './wire';

const ACK_FIELD = 8;
const WINDOW_FIELD = 14;
const SEQ_FIELD = 4;
const OFFSET_FIELD = 12;
const FLAGS_FIELD = 13;
/** Behind NOP NOP and the option's head, as the simulated guests place it. */
const TIME_FIELD = 24;

/** Passes everything on; mistakes override one method. */
class Primary implements PrimaryPort {
  constructor(protected readonly inner: PrimaryPort) {}
  primary(id: number, buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): void {
    this.inner.primary(id, buf, off, len, partial, nowMs);
  }
  secondary(buf: Buffer, off: number, len: number, nowMs: number): void {
    this.inner.secondary(buf, off, len, nowMs);
  }
  checkpoint(nowMs: number): void {
    this.inner.checkpoint(nowMs);
  }
  releaseAll(nowMs: number): void {
    this.inner.releaseAll(nowMs);
  }
  dropAll(nowMs: number): void {
    this.inner.dropAll(nowMs);
  }
  setProtected(on: boolean): void {
    this.inner.setProtected(on);
  }
  forgetPair(): void {
    this.inner.forgetPair();
  }
  addressQuestion(primary: boolean, target: number, nowMs: number): void {
    this.inner.addressQuestion(primary, target, nowMs);
  }
  peerReset(key: Uint32Array, seq: number, nowMs: number): void {
    this.inner.peerReset(key, seq, nowMs);
  }
  endBatch(nowMs: number): void {
    this.inner.endBatch(nowMs);
  }
  tick(nowMs: number): void {
    this.inner.tick(nowMs);
  }
  get nextDeadlineMs(): number {
    return this.inner.nextDeadlineMs;
  }
  get heldPackets(): number {
    return this.inner.heldPackets;
  }
  get heldBytes(): number {
    return this.inner.heldBytes;
  }
  get flowCount(): number {
    return this.inner.flowCount;
  }
  report(): Record<string, number> {
    return this.inner.report();
  }
}

class Secondary implements SecondaryPort {
  constructor(protected readonly inner: SecondaryPort) {}
  fromPeer(buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): number {
    return this.inner.fromPeer(buf, off, len, partial, nowMs);
  }
  fromGuest(buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): number {
    return this.inner.fromGuest(buf, off, len, partial, nowMs);
  }
  checkpoint(nowMs: number): void {
    this.inner.checkpoint(nowMs);
  }
  failover(nowMs: number): void {
    this.inner.failover(nowMs);
  }
  get undecided(): boolean {
    return this.inner.undecided;
  }
  questions(): Buffer[] {
    return this.inner.questions();
  }
  decide(missed: boolean): void {
    this.inner.decide(missed);
  }
  reminders(): Buffer[] {
    return this.inner.reminders();
  }
  tick(nowMs: number): void {
    this.inner.tick(nowMs);
  }
  report(): Record<string, number> {
    return this.inner.report();
  }
}

/** Lets everything out at once. */
class ReleasesUnseen extends Primary {
  constructor(
    inner: PrimaryPort,
    private readonly actions: PrimaryActions,
  ) {
    super(inner);
  }
  override primary(id: number, buf: Buffer, off: number, len: number): void {
    this.actions.accept(id, buf, off, len);
  }
}

/** Copies that were cut from held packets leave with more of them. */
class CutsWrongly extends Primary {
  constructor(
    inner: PrimaryPort,
    private readonly given: Map<number, Buffer>,
  ) {
    super(inner);
  }
  override primary(id: number, buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): void {
    this.given.set(id, Buffer.from(buf.subarray(off, off + len)));
    if (this.given.size > 500) this.given.delete(this.given.keys().next().value!);
    super.primary(id, buf, off, len, partial, nowMs);
  }
}

/** A mistake in the cutting: `wrong` makes of a copy, and the packet that it was cut from, what leaves instead. */
function cutting(name: string, wrong: (copy: Buffer, held: Buffer) => Buffer): Mutation {
  return {
    name,
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => {
        const given = new Map<number, Buffer>();
        const emit: PrimaryActions['emit'] = (id, buf, off, len) => {
          const out = wrong(Buffer.from(buf.subarray(off, off + len)), given.get(id)!);
          const family = out[0]! >>> 4 === 4 ? 4 : 6;
          writeIp(out, family, PROTO_TCP, GUEST_HOST, CLIENT_HOST, family === 4 ? out.readUInt16BE(4) : 0);
          writeChecksum(out, family, PROTO_TCP, false);
          return actions.emit!(id, out, 0, out.length);
        };
        return new CutsWrongly(right.primary(plan, files, { ...bound(actions), emit }), given);
      },
    }),
  };
}

/** The held packet's own flags. */
function withItsFlags(copy: Buffer, held: Buffer): Buffer {
  const flags = ipHeaderBytes(copy[0]! >>> 4 === 4 ? 4 : 6) + FLAGS_FIELD;
  copy[flags] = held[flags]!;
  return copy;
}

/** A field of the held packet's header, which was lowered in the copy. */
function withItsField(at: number, bytes: number): (copy: Buffer, held: Buffer) => Buffer {
  return (copy, held) => {
    const from = ipHeaderBytes(copy[0]! >>> 4 === 4 ? 4 : 6) + at;
    held.copy(copy, from, from, from + bytes);
    return copy;
  };
}

/** A byte of what follows, where there is one. */
function oneByteMore(copy: Buffer, held: Buffer): Buffer {
  const l4 = ipHeaderBytes(copy[0]! >>> 4 === 4 ? 4 : 6);
  const payload = l4 + (copy[l4 + OFFSET_FIELD]! >>> 4) * 4;
  const skipped = (copy.readUInt32BE(l4 + SEQ_FIELD) - held.readUInt32BE(l4 + SEQ_FIELD)) >>> 0;
  const end = payload + skipped + (copy.length - payload);
  // A piece of the greatest size is none to lengthen: that would be another mistake.
  if (copy.length >= PREFIX_PACKET_BYTES) return copy;
  return Buffer.concat([copy, held.subarray(end, end + 1)]);
}

/** A DO_CHECKPOINT that is obeyed once more, after the guests have gone on. */
class LateCheckpoint extends Primary {
  private countdown = -1;
  override checkpoint(nowMs: number): void {
    super.checkpoint(nowMs);
    this.countdown = 5;
  }
  override primary(id: number, buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): void {
    super.primary(id, buf, off, len, partial, nowMs);
    if (--this.countdown === 0) this.inner.checkpoint(nowMs);
  }
}

/** Counts every other packet of the SVM as seen a checkpoint later, too. */
class RemembersOldEpoch extends Primary {
  private old: Buffer[] = [];
  override secondary(buf: Buffer, off: number, len: number, nowMs: number): void {
    super.secondary(buf, off, len, nowMs);
    if (this.old.length < 40) this.old.push(Buffer.from(buf.subarray(off, off + len)));
    else this.old[Math.floor(nowMs) % 40] = Buffer.from(buf.subarray(off, off + len));
  }
  override checkpoint(nowMs: number): void {
    super.checkpoint(nowMs);
    for (const packet of this.old) super.secondary(packet, 0, packet.length, nowMs + 1000);
    this.old = [];
  }
}

/** Any question of the SVM counts as a lost address: it is put once more, before the PVM can. */
class AsksAtOnce extends Primary {
  override addressQuestion(primary: boolean, target: number, nowMs: number): void {
    super.addressQuestion(primary, target, nowMs);
    if (!primary) super.addressQuestion(primary, target, nowMs);
  }
}

/** The PVM's questions are not heard. */
class DeafToQuestions extends Primary {
  override addressQuestion(primary: boolean, target: number, nowMs: number): void {
    if (!primary) super.addressQuestion(primary, target, nowMs);
  }
}

/** A request that has to wait for its time is never made. */
class LosesDelayed extends Primary {
  private ticking = false;
  constructor(make: (wrapped: PrimaryActions) => PrimaryPort, actions: PrimaryActions) {
    super(
      make({
        ...bound(actions),
        requestCheckpoint: (cause) => {
          if (!this.ticking || cause.startsWith('timeout')) actions.requestCheckpoint(cause);
        },
      }),
    );
  }
  override tick(nowMs: number): void {
    this.ticking = true;
    super.tick(nowMs);
    this.ticking = false;
  }
}

/** Lets the dead guest's packets out. */
class ReleasesTheDead extends Primary {
  override dropAll(nowMs: number): void {
    this.inner.releaseAll(nowMs);
  }
}

function field(at: number, buf: Buffer): number {
  return ipHeaderBytes(buf[0]! >> 4 === 6 ? 6 : 4) + at;
}

/** Gives rewritten packets some of their own fields back. */
function restoring(fields: readonly number[], bytesOf: (at: number) => number) {
  return (
    plan: PrimaryPlan,
    makers: EngineMakers,
    files: Parameters<EngineMakers['primary']>[1],
    actions: PrimaryActions,
  ) => {
    const originals = new Map<number, Buffer>();
    const wrapped: PrimaryActions = {
      accept: (id, buf, off, len) => actions.accept(id, buf, off, len),
      drop: (id) => actions.drop(id),
      requestCheckpoint: (cause) => actions.requestCheckpoint(cause),
      acceptRewritten: (id, buf, off, len, partial) => {
        const out = Buffer.from(buf.subarray(off, off + len));
        const original = originals.get(id)!;
        const family = out[0]! >> 4 === 6 ? 6 : 4;
        const l4 = ipHeaderBytes(family);
        for (const at of fields) original.copy(out, l4 + at, l4 + at, l4 + at + bytesOf(at));
        writeChecksum(out, family, PROTO_TCP, partial);
        actions.acceptRewritten(id, out, 0, len, partial);
      },
    };
    class Keeps extends Primary {
      override primary(id: number, buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): void {
        originals.set(id, Buffer.from(buf.subarray(off, off + len)));
        super.primary(id, buf, off, len, partial, nowMs);
      }
    }
    return new Keeps(makers.primary(plan, files, wrapped));
  };
}

/** Undoes part of the translation: `restore` puts bytes of the original back. */
class Untranslated extends Secondary {
  constructor(
    inner: SecondaryPort,
    private readonly restore: (out: Buffer, original: Buffer, fromPeer: boolean) => void,
  ) {
    super(inner);
  }
  override fromPeer(buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): number {
    return this.undo(buf, off, len, partial, true, () => super.fromPeer(buf, off, len, partial, nowMs));
  }
  override fromGuest(buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): number {
    return this.undo(buf, off, len, partial, false, () => super.fromGuest(buf, off, len, partial, nowMs));
  }
  private undo(buf: Buffer, off: number, len: number, partial: boolean, fromPeer: boolean, call: () => number): number {
    const packet = buf.subarray(off, off + len);
    const original = Buffer.from(packet);
    const verdict = call();
    if (verdict !== ACCEPT_REWRITTEN) return verdict;
    const family = packet[0]! >> 4 === 6 ? 6 : 4;
    if (packet[family === 6 ? 6 : 9] !== PROTO_TCP) return verdict;
    this.restore(packet, original, fromPeer);
    writeChecksum(packet, family, PROTO_TCP, partial);
    return packet.equals(original) ? ACCEPT : ACCEPT_REWRITTEN;
  }
}

/** Takes the controller's word for it: the old offsets are gone with DO_CHECKPOINT. */
class ForgetsAtOnce extends Secondary {
  override checkpoint(nowMs: number): void {
    super.checkpoint(nowMs);
    this.inner.decide(false);
  }
}

/** Waits for ever for the guest to show its numbers. */
class NeverDecides extends Secondary {
  private failedOver = false;
  private doubtful = false;
  override failover(nowMs: number): void {
    super.failover(nowMs);
    this.failedOver = true;
    this.doubtful = this.inner.undecided;
  }
  override get undecided(): boolean {
    return this.failedOver && this.doubtful;
  }
  override fromPeer(buf: Buffer, off: number, len: number, partial: boolean, nowMs: number): number {
    return this.undecided ? WAIT : super.fromPeer(buf, off, len, partial, nowMs);
  }
}

/** Tells the peers at a failover that one byte more has arrived than the guest has acknowledged. */
class TellsTooMuch extends Secondary {
  override reminders(): Buffer[] {
    const packets = super.reminders();
    for (const packet of packets) {
      const at = field(ACK_FIELD, packet);
      packet.writeUInt32BE((packet.readUInt32BE(at) + 1) >>> 0, at);
      writeChecksum(packet, packet[0]! >> 4 === 6 ? 6 : 4, PROTO_TCP, false);
    }
    return packets;
  }
}

/** Offset of the timestamp option's values, or -1. */
function timestampAt(buf: Buffer): number {
  const l4 = ipHeaderBytes(buf[0]! >> 4 === 6 ? 6 : 4);
  const end = l4 + (buf[l4 + 12]! >> 4) * 4;
  for (let i = l4 + 20; i < end; i += buf[i]! <= 1 ? 1 : Math.max(2, buf[i + 1]!)) {
    if (buf[i] === 8) return i + 2;
  }
  return -1;
}

function restoreTimestamps(out: Buffer, original: Buffer, fromPeer: boolean): void {
  const at = timestampAt(out);
  if (at < 0) return;
  const from = fromPeer ? at + 4 : at;
  original.copy(out, from, from, from + 4);
}

function restoreNumbers(out: Buffer, original: Buffer, fromPeer: boolean): void {
  const at = field(fromPeer ? ACK_FIELD : SEQ_FIELD, out);
  original.copy(out, at, at, at + 4);
}

function restoreSack(out: Buffer, original: Buffer, fromPeer: boolean): void {
  const l4 = ipHeaderBytes(out[0]! >> 4 === 6 ? 6 : 4);
  const ts = timestampAt(out);
  const end = l4 + (out[l4 + 12]! >> 4) * 4;
  if (!fromPeer) return;
  for (let i = l4 + 20; i < end; i++) if (ts < 0 || i < ts || i >= ts + 8) out[i] = original[i]!;
}

export interface Mutation {
  name: string;
  make(right: EngineMakers): EngineMakers;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'releases without comparing',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => new ReleasesUnseen(right.primary(plan, files, actions), actions),
    }),
  },
  {
    name: 'acknowledgements not lowered',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => restoring([ACK_FIELD], () => 4)(plan, right, files, actions),
    }),
  },
  {
    name: 'windows not lowered',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => restoring([WINDOW_FIELD], () => 2)(plan, right, files, actions),
    }),
  },
  {
    name: 'times of held packets not raised',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => restoring([TIME_FIELD], () => 4)(plan, right, files, actions),
    }),
  },
  {
    name: 'timestamps not translated',
    make: (right) => ({
      ...right,
      secondary: (files, nowMs) => new Untranslated(right.secondary(files, nowMs), restoreTimestamps),
    }),
  },
  {
    name: 'timestamps of the guest not translated',
    make: (right) => ({
      ...right,
      secondary: (files, nowMs) =>
        new Untranslated(right.secondary(files, nowMs), (out, original, fromPeer) => {
          if (!fromPeer) restoreTimestamps(out, original, false);
        }),
    }),
  },
  {
    name: 'sequence numbers not translated',
    make: (right) => ({
      ...right,
      secondary: (files, nowMs) => new Untranslated(right.secondary(files, nowMs), restoreNumbers),
    }),
  },
  {
    name: 'SACK blocks not translated',
    make: (right) => ({
      ...right,
      secondary: (files, nowMs) => new Untranslated(right.secondary(files, nowMs), restoreSack),
    }),
  },
  {
    name: 'a checkpoint releases the next epoch',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => new LateCheckpoint(right.primary(plan, files, actions)),
    }),
  },
  {
    name: 'what the SVM said before a checkpoint counts after it',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) =>
        new RemembersOldEpoch(right.primary({ ...plan, forwardSettleMs: 0 }, files, actions)),
    }),
  },
  {
    name: 'a dead guest is let speak',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => new ReleasesTheDead(right.primary(plan, files, actions)),
    }),
  },
  {
    name: 'offsets lost with the daemon',
    make: (right) => ({
      ...right,
      secondary: (_files: SecondaryFiles, nowMs) => right.secondary(right.secondaryFiles(), nowMs),
    }),
  },
  cutting("a copy keeps its packet's flags", withItsFlags),
  cutting('a copy is one byte too long', oneByteMore),
  cutting('a copy acknowledges what its packet does', withItsField(ACK_FIELD, 4)),
  cutting("a copy opens its packet's window", withItsField(WINDOW_FIELD, 2)),
  {
    name: 'checkpoints follow each other at once',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => right.primary({ ...plan, minCheckpointIntervalMs: 0 }, files, actions),
    }),
  },
  {
    name: 'a question for an address asks at once',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => new AsksAtOnce(right.primary(plan, files, actions)),
    }),
  },
  {
    name: 'the questions of the PVM are not heard',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) => new DeafToQuestions(right.primary(plan, files, actions)),
    }),
  },
  {
    name: 'a request that has to wait is lost',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) =>
        new LosesDelayed((wrapped) => right.primary(plan, files, wrapped), actions),
    }),
  },
  {
    name: 'old offsets forgotten at the checkpoint',
    make: (right) => ({ ...right, secondary: (files, nowMs) => new ForgetsAtOnce(right.secondary(files, nowMs)) }),
  },
  {
    name: 'the numbers of a survivor never decided',
    make: (right) => ({ ...right, secondary: (files, nowMs) => new NeverDecides(right.secondary(files, nowMs)) }),
  },
  {
    name: 'an acknowledgement told that the SVM has not given',
    make: (right) => ({ ...right, secondary: (files, nowMs) => new TellsTooMuch(right.secondary(files, nowMs)) }),
  },
  {
    name: 'a verdict forgotten',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) =>
        right.primary(plan, files, {
          ...bound(actions),
          accept: (id, buf, off, len) => void (id % 50 !== 0 && actions.accept(id, buf, off, len)),
        }),
    }),
  },
  {
    name: 'a verdict given twice',
    make: (right) => ({
      ...right,
      primary: (plan, files, actions) =>
        right.primary(plan, files, {
          ...bound(actions),
          accept: (id, buf, off, len) => {
            actions.accept(id, buf, off, len);
            if (id % 50 === 0) actions.accept(id, buf, off, len);
          },
        }),
    }),
  },
];

function bound(actions: PrimaryActions): PrimaryActions {
  return {
    accept: (id, buf, off, len) => actions.accept(id, buf, off, len),
    acceptRewritten: (id, buf, off, len, partial) => actions.acceptRewritten(id, buf, off, len, partial),
    drop: (id) => actions.drop(id),
    emit: (id, buf, off, len) => actions.emit!(id, buf, off, len),
    requestCheckpoint: (cause) => actions.requestCheckpoint(cause),
  };
}
