// Planted mistakes, each made by wrapping a correct engine (of the nodes: node-mutations.ts). The simulation must find
// every one, else it would miss the same mistake in the product.

import { PREFIX_PACKET_BYTES } from '../core/limits';
import { ETH_HLEN } from '../packet/ethernet';
import type { PrimaryActions } from '../pmycolo/engine';
import { type SecondaryEngine, SecondaryVerdict } from '../seccolo/engine';
import { LINK_MUTATIONS } from './link-mutations';
import { instead, type Makers, type Mutation, type SimPrimaryEngine, type SimSecondaryEngine } from './makers';
import { NODE_MUTATIONS } from './node-mutations';
import { CLIENT_HOST, GUEST_HOST, ipHeaderBytes, PROTO_TCP, writeChecksum, writeIp } from './wire';

const ACK_FIELD = 8;
const WINDOW_FIELD = 14;
const SEQ_FIELD = 4;
const OFFSET_FIELD = 12;
const FLAGS_FIELD = 13;
/** Behind NOP NOP and the option's head, as the simulated guests place it. */
const TIME_FIELD = 24;

type Primary = Makers['primary'];

/** A mistake of the primary's engine. */
function ofPrimary(name: string, make: (right: Primary) => Primary): Mutation {
  return { name, make: (right) => ({ ...right, primary: make(right.primary) }) };
}

/** Methods that replace those of the primary's engine. */
function wrongPrimary(
  name: string,
  wrong: (engine: SimPrimaryEngine, actions: PrimaryActions) => Partial<SimPrimaryEngine>,
): Mutation {
  return ofPrimary(name, (right) => (plan, files, actions) => {
    const engine = right(plan, files, actions);
    return instead(engine, wrong(engine, actions));
  });
}

/** A mistake of the secondary's engine. */
function wrongSecondary(name: string, wrong: (engine: SimSecondaryEngine) => Partial<SimSecondaryEngine>): Mutation {
  return {
    name,
    make: (right) => ({
      ...right,
      secondary: (files, nowMs) => {
        const engine = right.secondary(files, nowMs);
        return instead(engine, wrong(engine));
      },
    }),
  };
}

/** A mistake in cut copies: `wrong` gets the copy and its packet, and gives what leaves instead. */
function cutting(name: string, wrong: (copy: Buffer, held: Buffer) => Buffer): Mutation {
  return ofPrimary(name, (right) => (plan, files, actions) => {
    const given = new Map<number, Buffer>();
    const emit: PrimaryActions['emit'] = (id, buf, off, len) => {
      const out = wrong(Buffer.from(buf.subarray(off, off + len)), given.get(id)!);
      const family = out[0]! >>> 4 === 4 ? 4 : 6;
      writeIp(out, family, PROTO_TCP, GUEST_HOST, CLIENT_HOST, family === 4 ? out.readUInt16BE(4) : 0);
      writeChecksum(out, family, PROTO_TCP, false);
      return actions.emit!(id, out, 0, out.length);
    };
    return keeping(right(plan, files, { ...bound(actions), emit }), given);
  });
}

/** Copies of an engine's packets, by id. */
function keeping(engine: SimPrimaryEngine, given: Map<number, Buffer>): SimPrimaryEngine {
  return instead(engine, {
    primary: (...all: Parameters<SimPrimaryEngine['primary']>) => {
      const [id, buf, off, len] = all;
      given.set(id, Buffer.from(buf.subarray(off, off + len)));
      if (given.size > 500) given.delete(given.keys().next().value!);
      engine.primary(...all);
    },
  });
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

/** The next byte of the packet, where there is one. */
function oneByteMore(copy: Buffer, held: Buffer): Buffer {
  const l4 = ipHeaderBytes(copy[0]! >>> 4 === 4 ? 4 : 6);
  const payload = l4 + (copy[l4 + OFFSET_FIELD]! >>> 4) * 4;
  const skipped = (copy.readUInt32BE(l4 + SEQ_FIELD) - held.readUInt32BE(l4 + SEQ_FIELD)) >>> 0;
  const end = payload + skipped + (copy.length - payload);
  // A copy of the greatest size is not lengthened: that would be another mistake.
  if (copy.length >= PREFIX_PACKET_BYTES) return copy;
  return Buffer.concat([copy, held.subarray(end, end + 1)]);
}

function field(at: number, buf: Buffer): number {
  return ipHeaderBytes(buf[0]! >> 4 === 6 ? 6 : 4) + at;
}

/** Gives rewritten packets some of their own fields back. */
function restoring(name: string, fields: readonly number[], bytes: number): Mutation {
  return ofPrimary(name, (right) => (plan, files, actions) => {
    const originals = new Map<number, Buffer>();
    const acceptRewritten: PrimaryActions['acceptRewritten'] = (id, buf, off, len, partial) => {
      const out = Buffer.from(buf.subarray(off, off + len));
      const l4 = ipHeaderBytes(out[0]! >> 4 === 6 ? 6 : 4);
      for (const at of fields) originals.get(id)!.copy(out, l4 + at, l4 + at, l4 + at + bytes);
      writeChecksum(out, out[0]! >> 4 === 6 ? 6 : 4, PROTO_TCP, partial);
      actions.acceptRewritten(id, out, 0, len, partial);
    };
    const { emit: _, ...others } = bound(actions);
    return keeping(right(plan, files, { ...others, acceptRewritten }), originals);
  });
}

/** Undoes part of the translation: `restore` puts bytes of the original back. */
function untranslated(name: string, restore: (out: Buffer, original: Buffer, fromPeer: boolean) => void): Mutation {
  return wrongSecondary(name, (engine) => {
    const undo =
      (fromPeer: boolean): SecondaryEngine['fromPeer'] =>
      (buf, off, len, partial, nowMs) => {
        const packet = buf.subarray(off, off + len) as Buffer;
        const original = Buffer.from(packet);
        const verdict = fromPeer
          ? engine.fromPeer(buf, off, len, partial, nowMs)
          : engine.fromGuest(buf, off, len, partial, nowMs);
        if (verdict !== SecondaryVerdict.AcceptRewritten) return verdict;
        const family = packet[0]! >> 4 === 6 ? 6 : 4;
        if (packet[family === 6 ? 6 : 9] !== PROTO_TCP) return verdict;
        restore(packet, original, fromPeer);
        writeChecksum(packet, family, PROTO_TCP, partial);
        return packet.equals(original) ? SecondaryVerdict.Accept : verdict;
      };
    return { fromPeer: undo(true), fromGuest: undo(false) };
  });
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

export const MUTATIONS: readonly Mutation[] = [
  wrongPrimary('releases without comparing', (_engine, actions) => ({
    primary: (id, buf, off, len) => actions.accept(id, buf, off, len),
  })),
  restoring('acknowledgements not lowered', [ACK_FIELD], 4),
  restoring('windows not lowered', [WINDOW_FIELD], 2),
  restoring('times of held packets not raised', [TIME_FIELD], 4),
  untranslated('timestamps not translated', restoreTimestamps),
  untranslated('timestamps of the guest not translated', (out, original, fromPeer) => {
    if (!fromPeer) restoreTimestamps(out, original, false);
  }),
  untranslated('sequence numbers not translated', restoreNumbers),
  untranslated('SACK blocks not translated', restoreSack),
  // Obeys a DO_CHECKPOINT once more after the guests have gone on.
  wrongPrimary('a checkpoint releases the next epoch', (engine) => {
    let countdown = -1;
    return {
      checkpoint: (nowMs) => {
        engine.checkpoint(nowMs);
        countdown = 5;
      },
      primary: (...all) => {
        engine.primary(...all);
        if (--countdown === 0) engine.checkpoint(all[5]);
      },
    };
  }),
  // Hands in every packet of the SVM once more after the next checkpoint.
  ofPrimary('what the SVM sent before a checkpoint counts after it', (right) => (plan, files, actions) => {
    const engine = right({ ...plan, forwardSettleMs: 0 }, files, actions);
    let old: Buffer[] = [];
    return instead(engine, {
      secondary: (buf: Buffer, off: number, len: number, nowMs: number) => {
        engine.secondary(buf, off, len, nowMs);
        const packet = Buffer.from(buf.subarray(off, off + len));
        if (old.length < 40) old.push(packet);
        else old[Math.floor(nowMs) % 40] = packet;
      },
      checkpoint: (nowMs: number) => {
        engine.checkpoint(nowMs);
        for (const packet of old) engine.secondary(packet, 0, packet.length, nowMs + 1000);
        old = [];
      },
    });
  }),
  wrongPrimary("a dead guest's packets leave", (engine) => {
    let nowMs = 0;
    return {
      tick: (now) => {
        nowMs = now;
        engine.tick(now);
      },
      dropAll: () => engine.releaseAll(nowMs),
    };
  }),
  {
    name: 'offsets lost with the daemon',
    make: (right) => ({ ...right, secondary: (_files, nowMs) => right.secondary(right.secondaryFiles(), nowMs) }),
  },
  cutting("a copy keeps its packet's flags", withItsFlags),
  cutting('a copy is one byte too long', oneByteMore),
  cutting("a copy has its packet's acknowledgement", withItsField(ACK_FIELD, 4)),
  cutting("a copy has its packet's window", withItsField(WINDOW_FIELD, 2)),
  ofPrimary(
    'checkpoints follow each other at once',
    (right) => (plan, files, actions) => right({ ...plan, minCheckpointIntervalMs: 0 }, files, actions),
  ),
  // Takes any question of the SVM for a lost address: repeats it before the PVM can ask.
  wrongPrimary('a question for an address asks for a checkpoint at once', (engine) => ({
    addressQuestion: (...all) => {
      engine.addressQuestion(...all);
      if (!all[0]) engine.addressQuestion(...all);
    },
  })),
  wrongPrimary("the PVM's questions are ignored", (engine) => ({
    addressQuestion: (...all) => void (!all[0] && engine.addressQuestion(...all)),
  })),
  ofPrimary('a delayed request is lost', (right) => (plan, files, actions) => {
    let ticking = false;
    const engine = right(plan, files, {
      ...bound(actions),
      requestCheckpoint: (cause) =>
        void ((!ticking || cause.startsWith('timeout')) && actions.requestCheckpoint(cause)),
    });
    return instead(engine, {
      tick: (nowMs: number) => {
        ticking = true;
        engine.tick(nowMs);
        ticking = false;
      },
    });
  }),
  // Believes the controller: the old offsets are gone with DO_CHECKPOINT.
  wrongSecondary('old offsets forgotten at the checkpoint', (engine) => ({
    checkpoint: (nowMs) => {
      const done = engine.checkpoint(nowMs);
      engine.decide(false);
      return done;
    },
  })),
  wrongSecondary('a completed checkpoint taken for missed', (engine) => ({
    checkpoint: (nowMs) => {
      const done = engine.checkpoint(nowMs);
      engine.decide(true);
      return done;
    },
  })),
  // Waits for ever for a packet that shows the guest's numbers.
  wrongSecondary("a survivor's numbers never decided", (engine) => ({
    decide: () => {},
    fromGuest: (...all) => (engine.undecided ? SecondaryVerdict.Drop : engine.fromGuest(...all)),
  })),
  // Tells the peers at a failover that one byte more has arrived than the guest has acknowledged.
  wrongSecondary('a reminder acknowledges more than the SVM', (engine) => ({
    writeReminder: (base, which, frame, off) => {
      const bytes = engine.writeReminder(base, which, frame, off);
      if (bytes === 0) return 0;
      const packet = Buffer.from(frame.buffer, frame.byteOffset + off + ETH_HLEN, bytes - ETH_HLEN);
      const at = field(ACK_FIELD, packet);
      packet.writeUInt32BE((packet.readUInt32BE(at) + 1) >>> 0, at);
      writeChecksum(packet, packet[0]! >> 4 === 6 ? 6 : 4, PROTO_TCP, false);
      return bytes;
    },
  })),
  // Of two batches in step, packets of one length are the same.
  wrongPrimary('in step, contents are not compared', ({ pairs }) => ({
    pairs: instead(pairs, {
      pair: (...all: Parameters<typeof pairs.pair>) => {
        if (all[2] === all[5]) all[6] = 0;
        return pairs.pair(...all);
      },
    }),
  })),
  wrongPrimary('in step, what was lowered leaves as it came', ({ pairs }) => ({
    pairs: instead(pairs, { changed: false }),
  })),
  ofPrimary(
    'a verdict forgotten',
    (right) => (plan, files, actions) =>
      right(plan, files, {
        ...bound(actions),
        accept: (id, buf, off, len) => void (id % 50 !== 0 && actions.accept(id, buf, off, len)),
      }),
  ),
  ofPrimary(
    'a verdict given twice',
    (right) => (plan, files, actions) =>
      right(plan, files, {
        ...bound(actions),
        accept: (id, buf, off, len) => {
          actions.accept(id, buf, off, len);
          if (id % 50 === 0) actions.accept(id, buf, off, len);
        },
      }),
  ),
  ...NODE_MUTATIONS,
  ...LINK_MUTATIONS,
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
