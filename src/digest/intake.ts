// The primary's side of digests, between the link and the comparison: what the SVM has sent goes on as the frames that
// they were. Where only digests of a payload came, the PVM's bytes of the same place stand in, when their digests are
// the same; so the comparison is that of bytes, and a digest can only say that the SVM's are these.
//
//   GUEST_DIGEST --> waits for the PVM's bytes --- known, digests equal ---> the frame, or as much as is known of it
//                     |    |    |
//                     |    |    '-- digests differ, or the log has the bytes no more,
//                     |    |        or the PVM has stopped within a chunk,
//                     |    |        or is silent for long ----------> FETCH ----> FETCHED: the SVM's own bytes
//                     |    |                                               '----> GONE, or no answer: not known
//                     |    '------- an epoch or a connection of the hosts ends: forgotten
//                     '------------ no room: not known
//   GUEST_FRAME  --> behind what waits of its connection, else at once
//
// Not known: a checkpoint is asked for. What is behind it goes on, a stream has a gap there.

import { read32 } from '../core/big-endian';
import { copyBytes, equalBytes } from '../core/bytes';
import { Counters } from '../core/counters';
import { DIGEST_AHEAD_MS, DIGEST_AT_ONCE_BYTES, DIGEST_PATIENCE_MS, FETCH_ANSWER_MS } from '../core/limits';
import { seqAdd } from '../core/seq32';
import { VNET_HEADER_BYTES } from '../link/record';
import { FRAME_OK, FrameView, parseFrame } from '../packet/ethernet';
import { PacketView } from '../packet/view';
import type { PrimaryWords } from '../pmycolo/primary-words';
import {
  DIGEST_BYTES,
  DIGEST_HEAD_AT,
  type Digester,
  DigestRecord,
  digestsOf,
  FETCHED_HEAD_BYTES,
  FROM_AT,
  GONE_BYTES,
  MAX_HEAD_BYTES,
  MAX_PAYLOAD_BYTES,
  MIN_CHUNK_BYTES,
  portsOf,
  SERIAL_AT,
  viewPacket,
} from './record';
import { writePart } from './segment-part';
import { type Waiting, WaitingLists } from './waiting';

export const DIGEST_INTAKE_COUNTERS = [
  'digest_records',
  /** Payload of which digests came. */
  'digest_bytes',
  'digests_equal',
  'digests_different',
  'digest_fetches',
  'digests_fetched',
  'digest_bytes_fetched',
  /** The secondary had the bytes no more, or did not answer: a checkpoint mends it. */
  'digests_gone',
  'digests_unanswered',
  /** More waited than there is room for: a checkpoint, too. */
  'digests_overflowed',
  /** They came while nothing was compared. */
  'digests_unheard',
] as const;

/** What an intake asks of its surroundings. */
export interface DigestOutput {
  /** The SVM's next frame for the comparison, its virtio-net header at off; valid during the call. */
  frame(buf: Buffer, off: number, bytes: number): void;
  /** Sends FETCH. False: not now; it is tried again when a batch ends. */
  fetch(serial: number, from: number, bytes: number): boolean;
  /** Something that the SVM has sent is not known: a checkpoint is needed. */
  unknown(): void;
}

const NEVER = Number.POSITIVE_INFINITY;

export class DigestIntake {
  readonly counters = new Counters(DIGEST_INTAKE_COUNTERS);
  /** When endBatch() wants to be called at the latest, by the clock of nowMs. */
  deadlineMs = NEVER;
  private readonly lists: WaitingLists;
  private readonly record = new DigestRecord();
  private readonly view = new PacketView();
  private readonly frames = new FrameView();
  /** A frame that is put together. */
  private readonly scratch = Buffer.alloc(MAX_HEAD_BYTES + MAX_PAYLOAD_BYTES);
  private readonly table = Buffer.alloc(digestsOf(MAX_PAYLOAD_BYTES, MIN_CHUNK_BYTES) * DIGEST_BYTES);
  /** By serial: what is to be fetched, or was asked for. */
  private readonly wanted = new Map<number, Waiting>();
  private unasked = 0;
  /** Of the present connection; without one no digests come. */
  private digester: Digester | undefined;

  constructor(
    private readonly said: PrimaryWords,
    private readonly output: DigestOutput,
    seed: readonly [number, number],
  ) {
    this.lists = new WaitingLists(seed);
    said.listen((flow) => {
      const list = this.lists.listOf(flow);
      if (list >= 0) this.lists.noteDue(list);
    });
  }

  /**
   * A connection between the hosts begins: the secondary's key, if it sends digests. Of what came by another nothing is
   * left.
   */
  begin(digester: Digester | undefined): void {
    this.digester = digester;
    this.clear();
  }

  /** A checkpoint, a new pair, the end of a connection: what waits is of the past. */
  clear(): void {
    this.lists.clear();
    this.wanted.clear();
    this.unasked = 0;
    this.deadlineMs = NEVER;
  }

  get waiting(): number {
    return this.lists.count;
  }

  /** GUEST_FRAME. */
  frame(buf: Buffer, off: number, bytes: number, nowMs: number): void {
    if (this.lists.count === 0 || !this.viewTcp(buf, off, bytes) || this.lists.find(this.view) < 0) {
      this.output.frame(buf, off, bytes);
      return;
    }
    const one = this.lists.append(this.view, buf, off, bytes, nowMs);
    if (one === undefined) this.overflow();
    else this.noteContent(one.list, nowMs);
  }

  /** GUEST_DIGEST of this epoch. False: it is none. */
  digest(epoch: number, buf: Buffer, off: number, bytes: number, nowMs: number): boolean {
    const { record, view: v, lists } = this;
    if (this.digester === undefined || !record.parse(v, buf, off, bytes)) return false;
    const c = this.counters.values;
    c[RECORDS]!++;
    c[BYTES]! += record.payloadBytes;
    if (this.wanted.has(record.serial)) return false;
    if (lists.find(v) < 0 && this.passes(epoch, buf, nowMs)) return true;
    const one = lists.append(v, buf, record.head, bytes - DIGEST_HEAD_AT, nowMs);
    if (one === undefined) {
      this.overflow();
      return true;
    }
    one.digest = true;
    one.epoch = epoch;
    one.serial = record.serial;
    one.chunk = record.chunk;
    one.headBytes = record.headBytes;
    one.payloadBytes = record.payloadBytes;
    this.noteContent(one.list, nowMs);
    if (lists.head(one.list) === one) this.advance(one.list, nowMs);
    return true;
  }

  /** FETCHED. False: it is none, or not what was asked for. */
  fetched(buf: Buffer, off: number, bytes: number, nowMs: number): boolean {
    if (bytes <= FETCHED_HEAD_BYTES) return false;
    const one = this.wanted.get(read32(buf, off + SERIAL_AT));
    // An epoch may have ended meanwhile.
    if (one === undefined) return true;
    if (one.askedMs === NEVER) return false;
    const n = bytes - FETCHED_HEAD_BYTES;
    if (read32(buf, off + FROM_AT) !== one.wantedFrom || n !== one.wantedTo - one.wantedFrom) return false;
    const c = this.counters.values;
    c[FETCHED]!++;
    c[BYTES_FETCHED]! += n;
    this.wanted.delete(one.serial);
    if (!this.lists.keepFetched(one, buf, off + FETCHED_HEAD_BYTES, n)) {
      one.lost = true;
      this.overflow();
    }
    this.advance(one.list, nowMs);
    return true;
  }

  /** GONE. False: it is none. */
  gone(buf: Buffer, off: number, bytes: number, nowMs: number): boolean {
    if (bytes !== GONE_BYTES) return false;
    const one = this.wanted.get(read32(buf, off + SERIAL_AT));
    if (one === undefined) return true;
    if (one.askedMs === NEVER) return false;
    this.wanted.delete(one.serial);
    this.lose(one, GONE);
    this.advance(one.list, nowMs);
    return true;
  }

  /** All that arrived together, of either guest, was handed in. To be called before the engine's. */
  endBatch(nowMs: number): void {
    const { lists } = this;
    this.deadlineMs = NEVER;
    if (lists.count === 0) return;
    lists.beginDue();
    for (let list = lists.takeDue(); list >= 0; list = lists.takeDue()) {
      this.advance(list, nowMs);
      const one = lists.head(list);
      if (one === undefined || one.list !== list || one.part === 0 || one.wanted) continue;
      // Both guests may wait for what stands in this chunk.
      const small = one.payloadBytes - one.done <= DIGEST_AT_ONCE_BYTES;
      if (small || nowMs - one.partMs >= DIGEST_PATIENCE_MS) {
        this.want(one, one.done, Math.min(one.done + one.chunk, one.payloadBytes), nowMs);
      } else {
        lists.noteDue(list);
        this.deadlineMs = Math.min(this.deadlineMs, one.partMs + DIGEST_PATIENCE_MS);
      }
    }
    if (this.unasked > 0) for (const one of this.wanted.values()) this.ask(one, nowMs);
  }

  /** To be called every 100 ms or so: what has waited for long. */
  tick(nowMs: number): void {
    const { lists } = this;
    for (let list = lists.next(-1); list >= 0; list = lists.next(list)) {
      this.advance(list, nowMs);
      for (let one = lists.head(list); one !== undefined && one.list === list; one = lists.after(one)) {
        if (nowMs - one.sinceMs >= DIGEST_AHEAD_MS) this.wantRest(one, nowMs);
        if (nowMs - one.askedMs >= FETCH_ANSWER_MS && this.wanted.delete(one.serial)) this.lose(one, UNANSWERED);
      }
    }
  }

  private viewTcp(buf: Buffer, off: number, bytes: number): boolean {
    const { frames } = this;
    if (
      bytes <= VNET_HEADER_BYTES ||
      parseFrame(frames, buf, off + VNET_HEADER_BYTES, bytes - VNET_HEADER_BYTES) !== FRAME_OK
    )
      return false;
    return viewPacket(this.view, frames, buf, off + bytes) && !this.view.fragment;
  }

  /**
   * Content of the view's packet has come into the list. What is sent a second time, or out of order, must not wait
   * behind what the PVM perhaps says after it: then bytes are wanted of all that waits.
   */
  private noteContent(list: number, nowMs: number): void {
    const { lists, view: v } = this;
    if (v.payloadBytes === 0 || lists.goesOn(list, v.seq, v.payloadBytes)) return;
    for (let one = lists.head(list); one !== undefined; one = lists.after(one)) this.wantRest(one, nowMs);
  }

  private wantRest(one: Waiting, nowMs: number): void {
    if (one.digest && !one.lost && !one.wanted) this.want(one, one.done, one.payloadBytes, nowMs);
  }

  /** Hands on what can be of the list's beginning. */
  private advance(list: number, nowMs: number): void {
    const { lists } = this;
    for (let one = lists.head(list); one !== undefined; one = lists.head(list)) {
      if (!one.digest) this.output.frame(lists.data, one.place, one.bytes);
      else if (!one.lost && !this.settle(one, nowMs)) return;
      if (!lists.shift(list)) return;
    }
  }

  /** The short way: the PVM has said all of the parsed record already, and nothing of its connection waits. */
  private passes(epoch: number, buf: Buffer, nowMs: number): boolean {
    const { record, view: v, said, scratch } = this;
    const { payloadBytes, headBytes, head } = record;
    if (!said.wouldCompare(v, nowMs)) return false;
    const flow = said.flowOf(v);
    if (flow < 0) return false;
    const position = said.positionOf(flow, v.seq);
    if (!said.hasPassed(flow, seqAdd(position, payloadBytes - 1))) return false;
    if (said.isOdd(flow, position, seqAdd(position, payloadBytes))) return false;
    if (said.copy(flow, position, payloadBytes, scratch, headBytes) < payloadBytes) return false;
    if (!this.agree(epoch, v, v.seq, headBytes, payloadBytes, record.chunk, buf, record.digests)) return false;
    copyBytes(buf, head, scratch, 0, headBytes);
    this.output.frame(scratch, 0, headBytes + payloadBytes);
    return true;
  }

  /** Hands on what can be of one record. True: all of it is done with. */
  private settle(one: Waiting, nowMs: number): boolean {
    const { view: v, frames, scratch, said, lists } = this;
    const { headBytes } = one;
    copyBytes(lists.data, one.place, scratch, 0, headBytes);
    const whole = headBytes + one.payloadBytes;
    parseFrame(frames, scratch, VNET_HEADER_BYTES, whole - VNET_HEADER_BYTES);
    viewPacket(v, frames, scratch, whole);
    if (!said.wouldCompare(v, nowMs)) {
      // So that it is counted as what it is. Nobody looks at its bytes.
      this.counters.values[UNHEARD]!++;
      this.handPart(one, 0);
      if (this.wanted.delete(one.serial) && one.askedMs === NEVER) this.unasked--;
      return true;
    }
    if (one.fetched >= 0) {
      const n = one.wantedTo - one.wantedFrom;
      copyBytes(lists.data, one.fetched, scratch, headBytes, n);
      lists.forgetFetched(one);
      one.wantedFrom = 0;
      one.wantedTo = 0;
      one.part = 0;
      this.handPart(one, n);
      if (one.done === one.payloadBytes) return true;
      return this.settle(one, nowMs);
    }
    if (one.wanted) return false;
    const flow = said.flowOf(v);
    lists.setFlow(one.list, flow);
    const left = one.payloadBytes - one.done;
    const position = flow < 0 ? 0 : said.positionOf(flow, seqAdd(v.seq, one.done));
    if (flow < 0 || said.isOdd(flow, position, seqAdd(position, left))) {
      this.want(one, one.done, one.payloadBytes, nowMs);
      return false;
    }
    const known = said.copy(flow, position, left, scratch, headBytes);
    const told = known === left ? known : known - (known % one.chunk);
    if (told > 0 && !this.agreeNext(one, v, told)) {
      // All of it at once, as the SVM has sent it.
      this.counters.values[DIFFERENT]!++;
      this.want(one, one.done, one.payloadBytes, nowMs);
      return false;
    }
    if (told > 0) this.handPart(one, told);
    if (one.done === one.payloadBytes) return true;
    const rest = known - told;
    if (said.hasPassed(flow, seqAdd(position, known))) {
      this.want(one, one.done, one.payloadBytes, nowMs);
    } else if (rest !== one.part || told > 0) {
      one.part = rest;
      one.partMs = nowMs;
      if (rest > 0) lists.noteDue(one.list);
    }
    return false;
  }

  private agreeNext(one: Waiting, v: PacketView, bytes: number): boolean {
    const { headBytes, chunk, done } = one;
    const theirs = one.place + headBytes + (done / chunk) * DIGEST_BYTES;
    return this.agree(one.epoch, v, seqAdd(v.seq, done), headBytes, bytes, chunk, this.lists.data, theirs);
  }

  /**
   * Have the bytes in the scratch behind its head, which the SVM has at `seq`, the digests at `theirs` of buf? They are
   * whole chunks, or reach to the payload's end.
   */
  private agree(
    epoch: number,
    v: PacketView,
    seq: number,
    headBytes: number,
    bytes: number,
    chunk: number,
    buf: Buffer,
    theirs: number,
  ): boolean {
    const { table } = this;
    this.digester!.write(epoch, portsOf(v), seq, this.scratch, headBytes, bytes, chunk, table, 0);
    const count = digestsOf(bytes, chunk);
    if (!equalBytes(table, 0, buf, theirs, count * DIGEST_BYTES)) return false;
    this.counters.values[EQUAL]! += count;
    return true;
  }

  /**
   * The next n bytes of the record's payload stand in the scratch behind its head, and go on as a frame of their own.
   */
  private handPart(one: Waiting, n: number): void {
    writePart(this.view, this.scratch, one.done, n, one.done + n === one.payloadBytes);
    one.done += n;
    this.output.frame(this.scratch, 0, one.headBytes + n);
  }

  private want(one: Waiting, from: number, to: number, nowMs: number): void {
    one.wantedFrom = from;
    one.wantedTo = to;
    one.askedMs = NEVER;
    one.part = 0;
    this.wanted.set(one.serial, one);
    this.unasked++;
    this.counters.values[FETCHES]!++;
    this.ask(one, nowMs);
  }

  private ask(one: Waiting, nowMs: number): void {
    if (one.askedMs !== NEVER || !this.output.fetch(one.serial, one.wantedFrom, one.wantedTo - one.wantedFrom)) return;
    one.askedMs = nowMs;
    this.unasked--;
  }

  private lose(one: Waiting, counter: number): void {
    this.counters.values[counter]!++;
    one.lost = true;
    this.output.unknown();
  }

  private overflow(): void {
    this.counters.values[OVERFLOWED]!++;
    this.output.unknown();
  }
}

const [RECORDS, BYTES, EQUAL, DIFFERENT, FETCHES, FETCHED, BYTES_FETCHED, GONE, UNANSWERED, OVERFLOWED, UNHEARD] =
  DIGEST_INTAKE_COUNTERS.map((_, i) => i) as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
