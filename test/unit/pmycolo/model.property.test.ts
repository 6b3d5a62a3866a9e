// The whole engine under random commands, against a plain model that knows of every byte, acknowledgement, window, FIN
// and RST whether the SVM gave it in the present epoch, a checkpoint covers it, or the operator let it out.

import fc from 'fast-check';
import { X_EPOCH, X_PRIMARY_HEAD, X_SECONDARY_HEAD } from '../../../src/compare/flow-words';
import {
  LOG_HELD,
  LOG_PENDING,
  R_COPY_BYTES,
  R_EPOCH,
  R_FLAGS,
  R_FLOW,
  R_HOLD,
  R_ID,
  R_NEXT,
} from '../../../src/compare/packet-log';
import { PREFIX_PATIENCE_MS } from '../../../src/core/limits';
import { FLOW_META } from '../../../src/packet/tuple';
import { H_RECORD } from '../../../src/pmycolo/holds';
import { SettledEpochs } from '../../../src/pmycolo/secondary-epochs';
import { buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const SCALE = 7;
const SYN_OPTIONS = [2, 4, 5, 0xb4, 1, 3, 3, SCALE];
const CLIENT_STEP = 100_000;
const RECORD_WORDS = 12;
const SPAN = 300;
const text = (at: number): number => 33 + ((at * 7) % 90);

interface Command {
  kind:
    | 'p'
    | 's'
    | 'pAck'
    | 'sAck'
    | 'pOpen'
    | 'sOpen'
    | 'checkpoint'
    | 'releaseAll'
    | 'dropAll'
    | 'anew'
    | 'tick'
    | 'udpP'
    | 'udpS'
    | 'long'
    | 'odd'
    | 'follow';
  flow: number;
  at: number;
  bytes: number;
  flip: number;
  flags: string;
  ack: number;
  window: number;
}

const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom<Command['kind']>('p', 's') },
    { weight: 10, arbitrary: fc.constant<Command['kind']>('follow') },
    { weight: 4, arbitrary: fc.constantFrom<Command['kind']>('pAck', 'sAck', 'udpP', 'udpS') },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Command['kind']>('pOpen', 'sOpen', 'checkpoint', 'releaseAll', 'dropAll', 'tick'),
    },
    { weight: 1, arbitrary: fc.constantFrom<Command['kind']>('checkpoint', 'anew', 'long', 'odd') },
  ),
  flow: fc.constantFrom(0, 0, 0, 1, 1, 2),
  at: fc.integer({ min: 0, max: SPAN - 60 }),
  bytes: fc.integer({ min: 1, max: 50 }),
  flip: fc.oneof({ weight: 30, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat(49) }),
  flags: fc.oneof(
    { weight: 20, arbitrary: fc.constant('A') },
    { weight: 1, arbitrary: fc.constantFrom('FA', 'R', 'RA', 'PA', 'U', '') },
  ),
  ack: fc.integer({ min: 0, max: 4000 }),
  window: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.constant(0)),
});

/** What a flow's guests have said, in one incarnation of the tuple. */
class Flow {
  incarnation = 0;
  secondaryIncarnation = 0;
  isn = 0;
  secondaryIsn = 0;
  said = new Set<string>();
  primarySaid = new Set<string>();
  covered = new Set<string>();
  released = new Set<string>();
  ack = -1;
  edge = -1;
  primaryAck = -1;
  primaryEdge = -1;
  leftAck = -1;
  ends = new Set<string>();
  primaryEnds = new Set<string>();
  /** The id of the PVM's last SYN/ACK. */
  syn = 0;
  unheard = false;

  reopenPrimary(isn: number): void {
    this.incarnation++;
    this.isn = isn;
    this.primaryAck = this.primaryEdge = this.leftAck = -1;
    this.primarySaid.clear();
    this.covered.clear();
    this.released.clear();
    this.primaryEnds.clear();
    if (this.secondaryIncarnation !== this.incarnation) this.forgetSecondary();
  }
  reopenSecondary(isn: number): void {
    this.secondaryIncarnation++;
    this.secondaryIsn = isn;
    this.forgetSecondary();
  }
  forgetSecondary(): void {
    this.said.clear();
    this.ends.clear();
    this.ack = this.edge = -1;
  }
  checkpoint(): void {
    this.secondaryIncarnation = this.incarnation;
    this.secondaryIsn = this.isn;
    this.forgetSecondary();
    for (const byte of this.primarySaid) this.covered.add(byte);
    this.ack = this.primaryAck;
    this.edge = this.primaryEdge;
    for (const end of this.primaryEnds) this.ends.add(end);
  }
  forget(): void {
    this.primaryAck = this.primaryEdge = this.leftAck = -1;
    this.primarySaid.clear();
    this.covered.clear();
    this.released.clear();
    this.primaryEnds.clear();
    this.secondaryIncarnation = this.incarnation;
    this.secondaryIsn = this.isn;
    this.forgetSecondary();
  }
}

interface Sent {
  flow: Flow;
  incarnation: number;
  at: number;
  payload: Buffer;
  flags: string;
  ack: number;
  window: number;
}

class Model {
  readonly h: PrimaryHarness;
  readonly flows = [new Flow(), new Flow(), new Flow()];
  readonly sent = new Map<number, Sent>();
  readonly udp = new Map<number, string>();
  udpSaid: string[] = [];
  private seen = 0;
  private readonly unfollowed: Command[][] = [[], [], []];

  constructor(limits: object, settle: number, head: number, padding: number) {
    this.h = new PrimaryHarness({ limits, epochs: new SettledEpochs(settle) });
    this.h.head = head;
    this.h.padding = padding;
    this.flows.forEach((f, i) => {
      f.isn = f.secondaryIsn = [0xffff_ff80, 5000, 0x7fff_ff00][i]!;
    });
    // Flow 2 is first seen in its middle.
    for (const i of [0, 1]) {
      this.open(i, true);
      this.open(i, false);
    }
    this.check(false, false);
  }

  run(c: Command): void {
    const { h } = this;
    const f = this.flows[c.flow]!;
    const paused = h.engine.isPaused;
    let exempt = false;
    const clientBase = CLIENT_STEP * (f.incarnation + 1);
    switch (c.kind) {
      case 'p':
      case 'pAck':
        this.primary(c, f, c.kind === 'p' ? c.bytes : 0, clientBase);
        if (c.kind === 'p') this.unfollowed[c.flow]!.push(c);
        break;
      case 's':
      case 'sAck':
        if (c.kind === 's') this.unfollowed[c.flow]!.push(c);
        this.secondary(c, f, c.kind === 's' ? c.bytes : 0);
        break;
      case 'follow': {
        // The guest that is behind says what the other said, in its own pieces.
        const last = this.unfollowed[c.flow]!.shift();
        if (last === undefined) break;
        const other = last.kind === 'p' ? 's' : 'p';
        const cut = c.bytes < last.bytes ? [c.bytes, last.bytes - c.bytes] : [last.bytes];
        let at = last.at;
        for (const bytes of cut) {
          const end = at + bytes === last.at + last.bytes;
          const part = { ...last, at, bytes, flip: -1, flags: end ? last.flags : 'A' };
          if (other === 'p') this.primary(part, f, bytes, clientBase);
          else this.secondary(part, f, bytes);
          at += bytes;
        }
        break;
      }
      case 'pOpen':
        this.open(c.flow, true);
        break;
      case 'sOpen':
        this.open(c.flow, false);
        break;
      case 'udpP':
        this.udp.set(h.p(buildUdp({ payload: `${c.bytes >> 3}` })), `${c.bytes >> 3}`);
        break;
      case 'udpS':
        if (!paused) this.udpSaid.push(`${c.bytes >> 3}`);
        h.s(buildUdp({ payload: `${c.bytes >> 3}` }));
        break;
      case 'checkpoint':
        exempt = true;
        h.engine.checkpoint(h.now);
        break;
      case 'releaseAll':
        exempt = true;
        h.engine.releaseAll(h.now);
        break;
      case 'dropAll':
        h.engine.dropAll();
        break;
      case 'anew':
        exempt = true;
        h.engine.setProtected(false);
        h.p(buildTcp({ seq: 1, ack: 1, payload: 'unprotected' }));
        h.engine.setProtected(true);
        h.engine.forgetPair(h.now);
        break;
      case 'tick':
        h.now += c.ack;
        h.engine.tick(h.now);
        break;
      case 'long':
        h.now += 40 * c.ack;
        h.engine.tick(h.now);
        // What was let out of a connection that has been idle for too long is forgotten with it.
        this.flows.forEach((flow, n) => {
          const ports = (((100 + n) << 16) | 40000) >>> 0;
          const key = Uint32Array.of(0x0a000001, 0, 0, 0, 0x0a000002, 0, 0, 0, ports, (4 << 8) | 6);
          if (h.engine.context.flows.findKey(key) >= 0) return;
          flow.leftAck = -1;
          // A guest whose SYN/ACK has never left has no peer, and says nothing in such a connection.
          flow.unheard = flow.syn > 0 && h.state(flow.syn) === 'drop';
        });
        break;
      case 'odd': {
        const fragment = buildUdp({ payload: 'fragment' });
        fragment[6] = 0x20;
        h.p(
          c.at & 1
            ? fragment
            : c.at & 2
              ? fragment.subarray(0, 20 + (c.at & 7))
              : buildTcp({ sport: 100, flags: 'SR', seq: c.at }),
        );
        break;
      }
    }
    h.engine.endBatch(h.now + (c.at & 1 ? 0 : PREFIX_PATIENCE_MS));
    this.check(exempt, paused && c.kind !== 'checkpoint' && c.kind !== 'releaseAll' && c.kind !== 'anew');
    if (c.kind === 'checkpoint') {
      for (const flow of this.flows) flow.checkpoint();
      this.udpSaid = [];
    } else if (c.kind === 'anew') {
      for (const flow of this.flows) flow.forget();
      this.udpSaid = [];
    }
  }

  private open(index: number, primary: boolean): void {
    const f = this.flows[index]!;
    if (primary) f.reopenPrimary((f.isn + 1_000_003) >>> 0);
    else if (f.secondaryIncarnation < f.incarnation) f.reopenSecondary((f.isn + 777_777_777) >>> 0);
    else return;
    const ack = CLIENT_STEP * ((primary ? f.incarnation : f.secondaryIncarnation) + 1);
    const packet = {
      sport: 100 + index,
      flags: 'SA',
      seq: primary ? f.isn : f.secondaryIsn,
      ack,
      options: SYN_OPTIONS,
      window: 20,
    };
    if (primary) {
      this.primaryGave(f, ack, 20, 0);
      const id = this.h.p(buildTcp(packet));
      f.syn = id;
      f.unheard = false;
      this.sent.set(id, {
        flow: f,
        incarnation: f.incarnation,
        at: -1,
        payload: Buffer.alloc(0),
        flags: 'SA',
        ack,
        window: 20,
      });
    } else {
      f.ends.add('SYN');
      f.ack = ack;
      f.edge = ack + 20;
      this.h.s(buildTcp(packet));
    }
  }

  private primaryGave(f: Flow, ack: number, window: number, scale: number): void {
    f.primaryAck = Math.max(f.primaryAck, ack);
    f.primaryEdge = Math.max(f.primaryEdge, ack + window * 2 ** scale);
  }

  private payload(c: Command, bytes: number): Buffer {
    const payload = Buffer.from(Array.from({ length: bytes }, (_, i) => text(c.at + i)));
    if (c.flip >= 0 && bytes > 0) payload[c.flip % bytes]! ^= 1;
    return payload;
  }

  private primary(c: Command, f: Flow, bytes: number, clientBase: number): void {
    if (f.unheard) return;
    const payload = this.payload(c, bytes);
    const ack = clientBase + c.ack;
    if (c.flags.includes('A')) this.primaryGave(f, ack, c.window, SCALE);
    if (!c.flags.includes('R')) for (let i = 0; i < bytes; i++) f.primarySaid.add(`${c.at + i}=${payload[i]}`);
    if (c.flags.includes('F')) f.primaryEnds.add(`F${c.at + bytes}`);
    if (c.flags.includes('R')) f.primaryEnds.add(`R${c.at}`);
    const packet = buildTcp({
      sport: this.port(f),
      seq: (f.isn + 1 + c.at) >>> 0,
      ack,
      window: c.window,
      flags: c.flags,
      payload,
    });
    const id = this.h.p(packet);
    this.sent.set(id, {
      flow: f,
      incarnation: f.incarnation,
      at: c.at,
      payload,
      flags: c.flags,
      ack,
      window: c.window,
    });
  }

  private secondary(c: Command, f: Flow, bytes: number): void {
    const payload = this.payload(c, bytes);
    const ack = CLIENT_STEP * (f.secondaryIncarnation + 1) + c.ack;
    if (f.secondaryIncarnation === f.incarnation) {
      for (let i = 0; i < bytes; i++) f.said.add(`${c.at + i}=${payload[i]}`);
      if (c.flags.includes('A')) {
        f.ack = Math.max(f.ack, ack);
        f.edge = Math.max(f.edge, ack + c.window * 2 ** SCALE);
      }
      if (c.flags.includes('F')) f.ends.add(`F${c.at + bytes}`);
      if (c.flags.includes('R')) f.ends.add(`R${c.at}`);
    }
    this.h.s(
      buildTcp({
        sport: this.port(f),
        seq: (f.secondaryIsn + 1 + c.at) >>> 0,
        ack,
        window: c.window,
        flags: c.flags,
        payload,
      }),
    );
  }

  private port(f: Flow): number {
    return 100 + this.flows.indexOf(f);
  }

  /** Judges what has left since the last time. */
  private check(exempt: boolean, silent: boolean): void {
    const { h } = this;
    let index = 0;
    for (const [id, verdict] of h.verdicts) {
      if (index++ < this.seen) continue;
      this.judgeCopies(index - 1, silent);
      if (verdict.kind === 'drop') continue;
      if (silent) throw new Error(`packet ${id} left while a checkpoint was awaited`);
      const datagram = this.udp.get(id);
      if (datagram !== undefined && !exempt) {
        const at = this.udpSaid.indexOf(datagram);
        if (at < 0) throw new Error(`datagram ${id} left unsaid`);
        this.udpSaid.splice(at, 1);
      }
      const sent = this.sent.get(id);
      if (sent !== undefined) this.judge(id, sent, h.left(id)!, exempt);
    }
    this.seen = h.verdicts.size;
    this.judgeCopies(h.verdicts.size, silent);
    checkAccounts(h);
  }

  /** Of the beginnings of held packets those that left before so many verdicts were given. */
  private judgeCopies(verdicts: number, silent: boolean): void {
    const { copies } = this.h;
    while (copies.length > 0 && copies[0]!.verdictsBefore <= verdicts) {
      const { id, bytes } = copies.shift()!;
      if (silent) throw new Error(`a copy of packet ${id} left while a checkpoint was awaited`);
      const sent = this.sent.get(id)!;
      if (/[SRU]/.test(sent.flags)) throw new Error(`a copy of a packet with flags ${sent.flags} left`);
      const skipped = (bytes.readUInt32BE(24) - (sent.flow.isn + 1 + sent.at)) >>> 0;
      const payload = bytes.subarray(40);
      expect(sent.payload.subarray(skipped, skipped + payload.length)).toEqual(payload);
      this.judge(id, { ...sent, at: sent.at + skipped, payload, flags: 'A' }, bytes, false);
    }
  }

  private judge(id: number, sent: Sent, left: Buffer, exempt: boolean): void {
    const f = sent.flow;
    const ack = left.readUInt32BE(28);
    const window = left.readUInt16BE(34);
    if (exempt) {
      if (sent.incarnation === f.incarnation)
        for (let i = 0; i < sent.payload.length; i++) f.released.add(`${sent.at + i}=${sent.payload[i]}`);
      return;
    }
    if (sent.incarnation !== f.incarnation) throw new Error(`packet ${id} of an old connection left`);
    // The byte of a keepalive may be any, and leaves as the one that was said there.
    const payload = sent.payload.length === 1 && left.length === 41 ? left.subarray(40) : sent.payload;
    for (let i = 0; i < payload.length; i++) {
      const at = sent.at + i;
      const key = `${at}=${payload[i]}`;
      if (!f.said.has(key) && !f.released.has(key) && !f.covered.has(key))
        throw new Error(`packet ${id}: byte ${key} left unsaid`);
    }
    if (sent.flags === 'SA' && !f.ends.has('SYN') && f.ack !== f.primaryAck)
      throw new Error(`packet ${id}: SYN left unsaid`);
    if (sent.flags.includes('F') && !f.ends.has(`F${sent.at + sent.payload.length}`))
      throw new Error(`packet ${id}: FIN left unsaid`);
    if (sent.flags.includes('R') && !f.ends.has(`R${sent.at}`)) throw new Error(`packet ${id}: RST left unsaid`);
    if (!sent.flags.includes('A')) return;
    if (ack > f.ack || ack > sent.ack)
      throw new Error(`packet ${id}: acknowledgement ${ack} left, granted was ${f.ack}`);
    if (ack < Math.min(f.leftAck, sent.ack))
      throw new Error(`packet ${id}: acknowledgement ${ack} is behind ${f.leftAck}`);
    const edge = ack + window * 2 ** (sent.flags === 'SA' ? 0 : SCALE);
    if (edge > f.edge || window > sent.window)
      throw new Error(`packet ${id}: window up to ${edge} left, granted was ${f.edge}`);
    if (sent.payload.length === 0 && !/[FRS]/.test(sent.flags)) {
      if (ack !== sent.ack && ack <= f.leftAck)
        throw new Error(`packet ${id}: a pure acknowledgement was lowered to what the peer knew`);
      if (window === 0 && sent.window > 0) throw new Error(`packet ${id}: a window was clamped to nothing`);
    }
    f.leftAck = Math.max(f.leftAck, ack);
  }
}

/** What the log counts as needed is what the lists and the held packets need, no more and no less. */
function checkAccounts(h: PrimaryHarness): void {
  const { log, flows, holds } = h.engine.context;
  const w = log.words;
  let bytes = 0;
  let records = 0;
  let held = 0;
  const pending = new Set<number>();
  for (let r = 0; r < w.length; r += RECORD_WORDS) {
    const flags = w[r + R_FLAGS]!;
    const id = w[r + R_ID]!;
    if (id === 0) continue;
    const isHeld = (flags & LOG_HELD) !== 0;
    const isPending = (flags & LOG_PENDING) !== 0 && w[r + R_EPOCH] === log.epoch;
    if (isPending) pending.add(id);
    if (isHeld) {
      held++;
      if (holds.words[holds.index(w[r + R_HOLD]!) + H_RECORD] !== id)
        throw new Error('a held record does not know its packet');
    }
    if (isHeld || isPending) {
      bytes += w[r + R_COPY_BYTES]!;
      records++;
    }
  }
  expect([log.neededBytes, log.usedNeeded, holds.count]).toEqual([bytes, records, held]);
  for (let flow = flows.next(-1); flow >= 0; flow = flows.next(flow)) {
    if (flows.words[flow + X_EPOCH] !== h.engine.context.epoch || flows.words[flow + FLOW_META] === 0) continue;
    for (const at of [X_PRIMARY_HEAD, X_SECONDARY_HEAD]) {
      for (let id = flows.words[flow + at]!; id !== 0; id = w[log.recordIndex(id) + R_NEXT]!) {
        if (w[log.recordIndex(id) + R_FLOW] !== flow || !pending.delete(id))
          throw new Error('a list leads to a record that is not its own');
      }
    }
  }
  if (pending.size > 0) throw new Error('a pending record is in no list');
}

const TINY = { logBytes: 8192, logRecords: 128, maxHeldBytes: 4096, maxHeldPackets: 24 };

test.each([
  ['a roomy log', {}, 0, 0, 0],
  ['a tiny log', TINY, 0, 0, 0],
  ['packets in frames', {}, 0, 26, 6],
  ['frames in a tiny log', TINY, 0, 14, 0],
])(
  'nothing leaves that was not given, every packet has one verdict, and the accounts are right: %s',
  (_name, limits, settle, head, padding) => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 20, maxLength: 120 }), (commands) => {
        const m = new Model(limits, settle, head, padding);
        for (const c of commands) m.run(c);
        const { h } = m;
        h.engine.checkpoint(h.now);
        expect([h.engine.heldPackets, h.engine.heldBytes]).toEqual([0, 0]);
        for (const id of h.sent.keys()) expect(h.state(id)).not.toBe('held');
      }),
      { numRuns: Number(process.env.COLO_RUNS ?? 500) },
    );
  },
);
