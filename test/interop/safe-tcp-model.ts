// What a safe comparer lets out of one TCP flow and when: no byte that the secondary has not said at the same place, no
// acknowledgement that it has not given, no end of the stream that it has not put there. Written over plain positions
// and single bytes, with nothing in common with the engine but the rules.

import type { Packet, TcpAbout } from './flow';

export type Verdict = 'fine' | 'diverged';

export class SafeTcpModel {
  /** Packets that leave, in order, since the last look. */
  readonly out: number[] = [];
  /** Packets that never leave as they are: what is known is told instead, or nobody wants them any more. */
  readonly replaced = new Set<number>();
  /** Packets that may leave sooner or later: both is safe. */
  readonly uncertain = new Set<number>();
  private matched = false;
  private based = false;
  private midstream = false;
  private primaryLife: number | undefined;
  private secondaryLife: number | undefined;
  private primarySyn: TcpAbout | undefined;
  private secondarySyn: TcpAbout | undefined;
  private offer = '';
  private base = 0;
  /** Everything in [base, verified) has been said by both. */
  private verified = 0;
  private covered = Number.NEGATIVE_INFINITY;
  private primaryNext = 0;
  private readonly said = new Map<number, number>();
  private readonly secondarySaid = new Map<number, number>();
  private readonly done = new Set<number>();
  private primaryAck: number | undefined;
  private secondaryAck: number | undefined;
  private releasedAck: number | undefined;
  private primaryFin: number | undefined;
  private secondaryFin: number | undefined;
  private primaryRst: number | undefined;
  private secondaryRst: number | undefined;
  /** Behind the last byte of the primary that has left. */
  private leftEnd = Number.NEGATIVE_INFINITY;
  private readonly left = new Set<number>();
  private touched = false;
  private content: Packet[] = [];
  private acks: Packet[] = [];
  private disorder = false;
  /**
   * The primary went back behind its first segment: whether the secondary's word on that is still at hand is not said
   * here.
   */
  reachedBack = false;

  primary(packet: Packet, paused: boolean): Verdict {
    let a = packet.about as TcpAbout;
    this.adopt(a);
    if (this.reachedBack) this.uncertain.add(packet.n);
    if (a.syn) return this.takePrimarySyn(packet, a, paused);
    const noted = this.notePrimary(a);
    if (this.isKeepalive(a)) a = { ...a, data: Buffer.from([this.said.get(a.pos)!]) };
    if (paused) {
      if (!this.based && a.data.length > 0) this.start(a.pos, true);
      this.keep(packet, a);
      return 'fine';
    }
    if (noted === 'diverged') return this.keepDiverged(packet, a);
    if (isBareAck(a)) {
      // A reset has granted no window: whether one without any may leave depends on what the peer was told before.
      if (this.secondaryRst !== undefined) this.uncertain.add(packet.n);
      if (this.acks.length === 0 && this.ackMayLeave(a.ack)) this.leave(packet, a);
      else {
        // One that repeats a held one may tell the peer what is granted meanwhile.
        const last = this.acks[this.acks.length - 1];
        if (last !== undefined && (last.about as TcpAbout).ack === a.ack) this.uncertain.add(packet.n);
        this.acks.push(packet);
      }
      return 'fine';
    }
    let whole = true;
    let repeats = false;
    if (a.data.length > 0 && this.matched) {
      if (!this.based) this.start(a.pos, true);
      if (a.pos < this.base && this.covered < a.pos + a.data.length) {
        this.base = a.pos;
        this.verified = a.pos;
        this.disorder = true;
        this.reachedBack = true;
        for (const waiting of [packet, ...this.content, ...this.acks]) this.uncertain.add(waiting.n);
      }
      const before = Array.from(a.data, (_, i) => this.said.get(a.pos + i));
      if (!this.sayPrimary(a) || !this.advance()) return this.keepDiverged(packet, a);
      repeats = this.repeatsPending(a, before);
      whole = this.isSaid(a.pos, a.pos + a.data.length);
    }
    if (whole && this.mayLeave(a)) {
      this.leave(packet, a);
      this.releaseReady();
      return 'fine';
    }
    const behind = this.content.some((held) => a.pos < endOf(held.about as TcpAbout));
    if (!whole && behind && repeats && !a.fin && !a.rst && this.secondaryAck !== undefined) {
      const tails = [this.content.at(-1), this.content.filter((held) => !this.uncertain.has(held.n)).at(-1)];
      if (a.pos >= this.verified && tails.every((tail) => tail && a.pos < endOf(tail.about as TcpAbout))) {
        this.replaced.add(packet.n);
        return 'fine';
      }
      // Its beginning is known, so it may tell that and wait with the rest, or wait as a whole.
      this.uncertain.add(packet.n);
    }
    this.keep(packet, a);
    this.releaseReady();
    return 'fine';
  }

  secondary(packet: Packet): Verdict {
    const a = packet.about as TcpAbout;
    this.adopt(a);
    if (a.syn) return this.takeSecondarySyn(a);
    if (!this.matched) {
      if (a.rst && this.primarySyn !== undefined) return this.noteSecondary(a);
      return 'fine';
    }
    if (this.noteSecondary(a) === 'diverged') return 'diverged';
    for (let i = 0; i < a.data.length; i++) {
      const at = a.pos + i;
      const belowBase = this.midstream && at < this.base;
      if (this.based && at < this.verified && !belowBase) continue;
      const before = this.secondarySaid.get(at);
      if (before !== undefined && before !== a.data[i]) return 'diverged';
      this.secondarySaid.set(at, a.data[i]!);
    }
    if (!this.advance()) return 'diverged';
    this.releaseReady();
    return 'fine';
  }

  /** Everything held leaves; the caller orders it. The secondary is a copy of the primary from here on. */
  checkpoint(): Packet[] {
    const held = [...this.content, ...this.acks];
    for (const packet of this.content) this.noteLeft(packet.about as TcpAbout);
    this.content = [];
    this.acks = [];
    if (!this.touched) return held;
    if (this.primaryLife !== undefined && !this.based) this.start(0, false);
    this.secondaryLife = this.primaryLife;
    this.primarySyn = undefined;
    this.secondarySyn = undefined;
    this.matched = true;
    if (this.based) {
      this.verified = this.primaryNext;
      this.covered = this.primaryNext;
    }
    this.secondarySaid.clear();
    this.done.clear();
    if (this.primaryAck !== undefined) {
      this.secondaryAck = this.primaryAck;
      this.releasedAck = this.primaryAck;
    } else {
      this.secondaryAck = undefined;
      this.releasedAck = undefined;
    }
    this.secondaryFin = this.primaryFin;
    this.secondaryRst = this.primaryRst;
    this.disorder = false;
    this.reachedBack = false;
    return held;
  }

  /** A connection first seen without SYN is taken up where it stands. */
  private adopt(a: TcpAbout): void {
    if (!this.touched && !a.syn) this.matched = true;
    this.touched = true;
  }

  private takePrimarySyn(packet: Packet, a: TcpAbout, paused: boolean): Verdict {
    const begun = this.matched || this.based || this.primaryAck !== undefined || this.primaryRst !== undefined;
    if (this.primaryLife === undefined ? begun : this.primaryLife !== a.life) this.reopenPrimary();
    const first = this.primaryLife === undefined;
    if (first) {
      this.primaryLife = a.life;
      this.primarySyn = a;
      this.primaryNext = 0;
      this.matched = false;
    }
    if (a.ack >= 0) this.primaryAck = a.ack;
    const verdict = !first && a.offer !== this.offer ? 'diverged' : this.matchSyns(a);
    this.offer = a.offer;
    if (!paused && verdict === 'fine' && this.matched && (a.ack < 0 || this.secondaryAck !== undefined)) {
      this.leave(packet, a);
      this.releaseReady();
      return 'fine';
    }
    this.keep(packet, a);
    return paused ? 'fine' : verdict;
  }

  private takeSecondarySyn(a: TcpAbout): Verdict {
    if (this.secondaryLife === undefined ? this.matched : this.secondaryLife !== a.life) {
      this.matched = false;
      this.secondarySaid.clear();
      this.secondaryLife = undefined;
      this.secondaryAck = undefined;
      this.secondaryFin = undefined;
      this.secondaryRst = undefined;
      this.secondarySyn = undefined;
    }
    if (this.secondaryLife === undefined) {
      this.secondaryLife = a.life;
      this.secondarySyn = a;
    }
    if (this.secondarySyn !== undefined && a.ack >= 0) this.secondaryAck = a.ack;
    const wasMatched = this.matched;
    const verdict = this.matchSyns(this.primarySyn);
    if (verdict === 'fine' && this.matched && !wasMatched) this.releaseReady();
    return verdict;
  }

  private matchSyns(primary: TcpAbout | undefined): Verdict {
    if (this.matched) return 'fine';
    const p = this.primarySyn === undefined ? undefined : primary;
    const s = this.secondarySyn;
    if (p === undefined || s === undefined) return 'fine';
    if (p.ack >= 0 && s.ack >= 0 && p.ack !== s.ack) return 'fine';
    if (p.offer !== s.offer) return 'diverged';
    this.matched = true;
    this.primarySyn = undefined;
    this.secondarySyn = undefined;
    this.start(0, false);
    return 'fine';
  }

  private reopenPrimary(): void {
    for (const held of [...this.content, ...this.acks]) this.replaced.add(held.n);
    this.content = [];
    this.acks = [];
    this.said.clear();
    this.done.clear();
    this.disorder = false;
    this.matched = false;
    this.based = false;
    this.midstream = false;
    this.leftEnd = Number.NEGATIVE_INFINITY;
    this.left.clear();
    this.covered = Number.NEGATIVE_INFINITY;
    this.primaryLife = undefined;
    this.primaryAck = undefined;
    this.primaryFin = undefined;
    this.primaryRst = undefined;
    this.releasedAck = undefined;
    this.secondaryFin = undefined;
    this.secondaryRst = undefined;
    if (this.secondarySyn === undefined) {
      this.secondarySaid.clear();
      this.secondaryLife = undefined;
      this.secondaryAck = undefined;
    }
  }

  private start(pos: number, midstream: boolean): void {
    this.based = true;
    this.midstream = midstream;
    this.base = pos;
    this.verified = pos;
  }

  private notePrimary(a: TcpAbout): Verdict {
    if (a.ack >= 0) this.primaryAck = Math.max(this.primaryAck ?? a.ack, a.ack);
    if (a.rst) {
      this.primaryRst = a.pos;
      return this.compareRst();
    }
    const end = a.pos + a.data.length;
    if (a.data.length > 0 || a.fin) {
      this.primaryNext = !this.based && this.primaryLife === undefined ? end : Math.max(this.primaryNext, end);
    }
    if (a.fin) {
      if (!this.based && a.data.length === 0) this.start(a.pos, false);
      this.primaryFin = end;
    }
    return this.compareEnds();
  }

  private noteSecondary(a: TcpAbout): Verdict {
    if (a.ack >= 0) this.secondaryAck = Math.max(this.secondaryAck ?? a.ack, a.ack);
    if (a.rst) {
      this.secondaryRst = a.pos;
      for (const packet of this.acks) this.uncertain.add(packet.n);
      return this.compareRst();
    }
    const end = a.pos + a.data.length;
    if (a.fin) this.secondaryFin = end;
    if (this.primaryFin !== undefined && a.data.length > 0 && end > this.primaryFin) return 'diverged';
    return this.compareEnds();
  }

  private compareEnds(): Verdict {
    if (this.secondaryFin === undefined) return 'fine';
    if (this.primaryFin !== undefined && this.primaryFin !== this.secondaryFin) return 'diverged';
    return this.based && this.primaryNext > this.secondaryFin ? 'diverged' : 'fine';
  }

  private compareRst(): Verdict {
    if ((this.primarySyn !== undefined || this.secondarySyn !== undefined) && !this.matched) return 'diverged';
    const broke = this.secondaryRst !== undefined && this.based && this.secondaryRst <= this.verified;
    return broke && this.primaryNext > this.verified ? 'diverged' : 'fine';
  }

  /** False: the primary contradicts what it said before. */
  private sayPrimary(a: TcpAbout): boolean {
    for (let i = 0; i < a.data.length; i++) {
      const at = a.pos + i;
      const before = this.said.get(at);
      if (before !== undefined && before !== a.data[i]) return false;
      if (before === undefined) this.said.set(at, a.data[i]!);
    }
    return true;
  }

  /** All of this that is still not verified had been said before, and is held. */
  private repeatsPending(a: TcpAbout, before: readonly (number | undefined)[]): boolean {
    for (let i = 0; i < a.data.length; i++) {
      const at = a.pos + i;
      if (at < this.verified || this.done.has(at)) continue;
      if (before[i] !== a.data[i]) return false;
    }
    return true;
  }

  /** Compares as far as both have come. False: they differ. */
  private advance(): boolean {
    if (!this.based) return true;
    for (; ; this.verified++) {
      const at = this.verified;
      if (this.done.has(at)) continue;
      const p = this.said.get(at);
      const s = this.secondarySaid.get(at);
      if (p === undefined || s === undefined) return true;
      if (p !== s) return false;
      this.done.add(at);
    }
  }

  private isSaid(from: number, to: number): boolean {
    if (from < this.base) return this.covered >= to;
    if (to <= this.verified) return true;
    for (let at = from; at < to; at++) if (!this.done.has(at)) return false;
    return to > from;
  }

  private mayLeave(a: TcpAbout): boolean {
    if (!this.matched) return false;
    if (a.ack >= 0 && this.secondaryAck === undefined) return false;
    const end = a.pos + a.data.length;
    if (a.rst) return this.secondaryRst === a.pos;
    if (a.syn) return true;
    if (!this.isSaid(a.pos, end)) return false;
    return !a.fin || this.secondaryFin === end;
  }

  private ackMayLeave(ack: number): boolean {
    if (this.secondaryAck === undefined) return false;
    return ack <= Math.max(this.secondaryAck, this.releasedAck ?? this.secondaryAck);
  }

  /**
   * One byte in the place of the last that has left (RFC 1122 section 4.2.3.6): it may be garbage, and the one that
   * left leaves again.
   */
  private isKeepalive(a: TcpAbout): boolean {
    return (
      a.data.length === 1 && !a.fin && !a.rst && a.pos + 1 === this.leftEnd && this.said.has(a.pos) && this.mayLeave(a)
    );
  }

  /**
   * A held repetition whose bytes have all left, and its acknowledgement too, has nothing to tell any more: it may be
   * dropped.
   */
  private hasLeft(a: TcpAbout): boolean {
    if (a.syn || a.fin || a.rst || a.ack > (this.releasedAck ?? -1)) return false;
    for (let i = 0; i < a.data.length; i++) if (!this.left.has(a.pos + i)) return false;
    return a.data.length > 0;
  }

  private noteLeft(a: TcpAbout): void {
    for (let i = 0; i < a.data.length; i++) this.left.add(a.pos + i);
    if (a.data.length > 0) this.leftEnd = Math.max(this.leftEnd, a.pos + a.data.length);
  }

  private leave(packet: Packet, a: TcpAbout): void {
    this.out.push(packet.n);
    this.noteLeft(a);
    if (a.ack < 0) return;
    const granted = Math.max(this.secondaryAck ?? a.ack, this.releasedAck ?? this.secondaryAck ?? a.ack);
    const left = Math.min(a.ack, granted);
    this.releasedAck = Math.max(this.releasedAck ?? left, left);
  }

  private keep(packet: Packet, a: TcpAbout): void {
    if (isBareAck(a)) {
      this.acks.push(packet);
      return;
    }
    const tail = this.content[this.content.length - 1];
    if (tail !== undefined && a.pos < endOf(tail.about as TcpAbout)) this.disorder = true;
    this.content.push(packet);
  }

  private keepDiverged(packet: Packet, a: TcpAbout): Verdict {
    this.keep(packet, a);
    return 'diverged';
  }

  private releaseReady(): void {
    while (this.acks.length > 0 && this.ackMayLeave((this.acks[0]!.about as TcpAbout).ack)) {
      const packet = this.acks.shift()!;
      this.leave(packet, packet.about as TcpAbout);
    }
    for (let i = 0; i < this.content.length; ) {
      const packet = this.content[i]!;
      const a = packet.about as TcpAbout;
      if (this.mayLeave(a)) {
        this.content.splice(i, 1);
        if (this.hasLeft(a)) this.uncertain.add(packet.n);
        this.leave(packet, a);
      } else if (!this.disorder) break;
      else i++;
    }
    if (this.content.length === 0) this.disorder = false;
  }
}

export function isBareAck(a: TcpAbout): boolean {
  return a.data.length === 0 && !a.syn && !a.fin && !a.rst;
}

function endOf(a: TcpAbout): number {
  return a.pos + a.data.length + (a.syn ? 1 : 0);
}
