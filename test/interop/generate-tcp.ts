// TCP connections of every kind: both sides send the same stream, cut and repeated each in its own way, or a stream
// with a deliberate difference. The secondary is behind a rewriter: its data bears the primary's numbers, only its SYN
// its own.

import type { Prng } from '../../src/sim/prng';
import type { TcpFields } from '../lib/build-packet';
import { tcpFrame } from './carrier';
import type { Flow, Packet, Side, TcpAbout } from './flow';
import { FlowBuilder } from './flow-builder';

export interface Piece {
  pos: number;
  bytes: number;
  ack: number;
  fin?: boolean;
  rst?: boolean;
  /** One of its bytes is not what the stream has there. */
  changed?: boolean;
  /** In place of what the stream has there. */
  data?: Buffer;
}

const MSS = 1448;

export class Connection {
  readonly streams: Record<Side, Buffer>;
  readonly isn: number;
  readonly secondaryIsn: number;
  readonly peerIsn: number;
  readonly timestamps: boolean;
  readonly padding: Record<Side, 'none' | 'zero' | 'garbage'>;
  readonly window: Record<Side, number>;
  readonly sack: boolean;
  private clock: Record<Side, number>;

  constructor(
    private readonly b: FlowBuilder,
    readonly life: number,
    bytes: number,
    isn?: number,
  ) {
    const { prng } = b;
    const wrap = b.feature('wrap-around', 0.1);
    this.isn = isn ?? (wrap ? (0xffffffff - prng.below(bytes + 2)) >>> 0 : prng.u32());
    this.secondaryIsn = prng.chance(0.3) ? this.isn : prng.u32();
    this.peerIsn = b.feature('peer wrap-around', 0.05) ? (0xffffffff - prng.below(40)) >>> 0 : prng.below(0x7fffffff);
    const stream = Buffer.alloc(bytes);
    for (let i = 0; i < bytes; i++) stream[i] = prng.u32() & 0xff;
    this.streams = { p: stream, s: Buffer.from(stream) };
    this.timestamps = b.feature('timestamps', 0.3);
    const padded = !this.timestamps && b.feature('padding', 0.1);
    const kinds = ['none', 'zero', 'garbage'] as const;
    this.padding = { p: padded ? prng.pick(kinds) : 'none', s: padded ? prng.pick(kinds) : 'none' };
    const smaller = b.feature('smaller window', 0.1);
    this.window = { p: 20000, s: smaller ? prng.range(1, 19999) : 20000 };
    this.sack = b.feature('SACK', 0.1);
    this.clock = { p: prng.u32(), s: prng.u32() };
  }

  segment(side: Side, piece: Piece, syn?: { ack: boolean; offer: string; options: number[] }): Packet {
    const { b } = this;
    let data: Buffer = piece.data ?? Buffer.from(this.streams[side].subarray(piece.pos, piece.pos + piece.bytes));
    if (piece.changed) {
      const at = b.prng.below(data.length);
      data[at] = data[at]! ^ (1 + b.prng.below(255));
    }
    if (syn) data = Buffer.alloc(0);
    const withAck = syn ? syn.ack : true;
    const about: TcpAbout = {
      kind: 'tcp',
      life: this.life,
      pos: syn ? -1 : piece.pos,
      ack: withAck ? piece.ack : -1,
      syn: syn !== undefined,
      fin: piece.fin === true,
      rst: piece.rst === true,
      data,
      window: this.window[side],
      offer: syn ? `${syn.offer}${withAck ? ' ack' : ''}` : '',
    };
    const options = syn ? [...syn.options] : [];
    this.clock[side] += b.prng.below(100);
    if (this.timestamps) options.push(1, 1, 8, 10, ...word(this.clock[side]), 0, 0, 0, 1);
    if (this.sack && !syn && data.length === 0 && b.prng.chance(0.5)) {
      const left = (this.peerIsn + 1 + piece.ack + 500) >>> 0;
      options.push(1, 1, 5, 10, ...word(left), ...word((left + 500) >>> 0));
    }
    const flags = `${syn ? 'S' : ''}${piece.fin ? 'F' : ''}${piece.rst ? 'R' : ''}${withAck ? 'A' : ''}`;
    const fields: TcpFields = {
      seq: syn && side === 's' ? this.secondaryIsn : (this.isn + 1 + about.pos) >>> 0,
      ack: withAck ? (this.peerIsn + 1 + piece.ack) >>> 0 : 0,
      flags,
      window: about.window,
      options,
      payload: data,
    };
    return b.packet(side, tcpFrame(b.outside(side, this.padding[side]), fields), about);
  }

  syn(side: Side, withAck: boolean, offer: string, options: number[]): Packet {
    return this.segment(side, { pos: -1, bytes: 0, ack: withAck ? 0 : -1 }, { ack: withAck, offer, options });
  }
}

const word = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

/** Pieces of [from, to), each at most `most` bytes. */
function cut(prng: Prng, from: number, to: number, most: number, ack: number): Piece[] {
  const pieces: Piece[] = [];
  for (let pos = from; pos < to; ) {
    const bytes = Math.min(to - pos, prng.chance(0.4) ? most : prng.range(1, most));
    pieces.push({ pos, bytes, ack });
    pos += bytes;
  }
  return pieces;
}

function pieceBytes(prng: Prng, bytes: number): number {
  return Math.min(MSS, Math.max(1, Math.ceil(bytes / prng.pick([1, 2, 3, 5, 8]))));
}

/** What one side does to its own pieces on the way: repeats, overlaps, overtaking. */
function disturb(b: FlowBuilder, side: Side, pieces: Piece[], stream: number): Piece[] {
  const { prng } = b;
  const who = side === 'p' ? 'primary' : 'secondary';
  const out = pieces.map((piece) => ({ ...piece }));
  if (out.length > 0 && b.feature(`${who} repeats`, 0.08)) {
    const i = prng.below(out.length);
    const again = { ...out[i]! };
    if (again.bytes > 1 && prng.chance(0.4)) again.bytes = prng.range(1, again.bytes);
    if (prng.chance(0.3)) again.bytes = Math.min(stream - again.pos, again.bytes + prng.range(1, 50));
    out.splice(Math.min(out.length, i + prng.range(1, 3)), 0, again);
  }
  if (out.length > 1 && b.feature(`${who} overlaps`, 0.05)) {
    const i = prng.range(1, out.length - 1);
    const back = prng.range(1, out[i]!.pos - out[0]!.pos || 1);
    if (out[i]!.pos - back >= out[0]!.pos && out[i]!.bytes + back <= MSS) {
      out[i]!.pos -= back;
      out[i]!.bytes += back;
    }
  }
  if (out.length > 1 && b.feature(`${who} out of order`, 0.05)) {
    const i = prng.below(out.length - 1);
    [out[i], out[i + 1]] = [out[i + 1]!, out[i]!];
  }
  return out;
}

/** Each side acknowledges `to` in its own steps from `from`. */
function spreadAcks(prng: Prng, pieces: Piece[], from: number, to: number): void {
  let ack = from;
  for (const piece of pieces) {
    if (prng.chance(0.5)) ack = prng.range(ack, to);
    piece.ack = ack;
  }
}

function open(b: FlowBuilder, c: Connection): void {
  const { prng } = b;
  const active = b.feature('opened by the guest', 0.15);
  const options = prng.pick([[], [2, 4, 5, 180], [2, 4, 5, 180, 1, 3, 3, 7], [2, 4, 5, 180, 4, 2, 1, 1]]);
  const offer = options.join(',');
  const other = b.feature('SYN options differ', 0.02);
  const otherOptions = other ? [2, 4, 4, 180] : options;
  const p = [c.syn('p', !active, offer, options)];
  if (b.feature('SYN repeated', 0.04)) p.push(c.syn('p', !active, offer, options));
  b.merge(p, [c.syn('s', !active, otherOptions.join(','), otherOptions)]);
  if (active) b.merge([c.segment('p', { pos: 0, bytes: 0, ack: 0 })], [c.segment('s', { pos: 0, bytes: 0, ack: 0 })]);
}

function exchange(
  b: FlowBuilder,
  c: Connection,
  from: number,
  to: number,
  before: number,
  ack: number,
  last: boolean,
): void {
  const { prng } = b;
  // Up to a dozen pieces or so: a long flow takes time and says no more.
  const most = pieceBytes(prng, to - from);
  let pieces: Record<Side, Piece[]> = {
    p: cut(prng, from, to, most, ack),
    s: prng.chance(0.4) ? cut(prng, from, to, most, ack) : cut(prng, from, to, pieceBytes(prng, to - from), ack),
  };
  if (prng.chance(0.3)) pieces.s = pieces.p.map((piece) => ({ ...piece }));
  if (b.feature('acknowledgements differ', 0.06)) {
    spreadAcks(prng, pieces.p, before, ack);
    spreadAcks(prng, pieces.s, before, ack);
  } else if (b.feature('secondary acknowledges less', 0.03))
    for (const piece of pieces.s) piece.ack = prng.range(before, ack);
  if (last && b.feature('secondary falls silent', 0.04)) pieces.s.splice(prng.below(pieces.s.length + 1));
  if (b.feature('secondary lacks a piece', 0.02) && pieces.s.length > 0)
    pieces.s.splice(prng.below(pieces.s.length), 1);
  if (b.feature('primary lacks a piece', 0.02) && pieces.p.length > 0) pieces.p.splice(prng.below(pieces.p.length), 1);
  pieces = { p: disturb(b, 'p', pieces.p, to), s: disturb(b, 's', pieces.s, to) };
  if (pieces.p.length > 0 && b.feature('primary contradicts itself', 0.03)) {
    const i = prng.below(pieces.p.length);
    pieces.p.splice(Math.min(pieces.p.length, i + prng.range(1, 2)), 0, { ...pieces.p[i]!, changed: true });
  }
  const packets: Record<Side, Packet[]> = { p: [], s: [] };
  const bare = ack > before && prng.chance(0.4);
  for (const side of ['p', 's'] as const) {
    const list = packets[side];
    if (bare && !(side === 's' && b.feature('secondary acknowledges with data', 0.1))) {
      list.push(c.segment(side, { pos: from, bytes: 0, ack }));
    }
    for (const piece of pieces[side]) list.push(c.segment(side, piece));
  }
  b.merge(packets.p, packets.s);
}

function close(b: FlowBuilder, c: Connection, end: number, ack: number): void {
  const { prng } = b;
  const reset = b.feature('reset', 0.2);
  const ends: Record<Side, Packet[]> = { p: [], s: [] };
  const other = b.feature('ends differ', 0.04);
  for (const side of ['p', 's'] as const) {
    if (side === 's' && other && prng.chance(0.5)) continue;
    const pos = side === 's' && other ? end + prng.range(1, 9) : end;
    ends[side].push(c.segment(side, { pos, bytes: 0, ack, fin: !reset, rst: reset }));
    if (!reset && prng.chance(0.5)) ends[side].push(c.segment(side, { pos: end + 1, bytes: 0, ack: ack + 1 }));
  }
  b.merge(ends.p, ends.s);
}

export function tcpFlow(prng: Prng, seed: number, flowNumber: number): Flow {
  const b = new FlowBuilder(prng, seed, flowNumber, 'tcp');
  const lives = b.feature('ports used again', 0.06) ? 2 : 1;
  let isn: number | undefined;
  for (let life = 0; life < lives; life++) {
    const bytes = prng.chance(0.1) ? 0 : prng.logRange(1, 4000);
    const c = new Connection(b, life, bytes, isn);
    if (bytes > 0 && b.feature('bytes differ', 0.05)) {
      const at = prng.below(bytes);
      c.streams.s[at] = c.streams.s[at]! ^ (1 + prng.below(255));
    }
    if (life > 0 || b.feature('from its SYN', 0.7)) open(b, c);
    const exchanges = prng.range(1, 3);
    let pos = 0;
    let ack = 0;
    for (let i = 0; i < exchanges; i++) {
      const before = ack;
      ack += prng.chance(0.7) ? prng.range(1, 700) : 0;
      const to = i === exchanges - 1 ? bytes : prng.range(pos, bytes);
      exchange(b, c, pos, to, before, ack, i === exchanges - 1);
      pos = to;
      if (b.feature('checkpoint on the way', 0.06)) {
        b.checkpoint();
        c.streams.s.set(c.streams.p);
      }
    }
    if (b.feature('closed', 0.5)) close(b, c, bytes, ack);
    isn = prng.chance(0.5) ? (c.isn + bytes + prng.range(2, 100_000)) >>> 0 : prng.u32();
  }
  return b.finish();
}
