// One connection between the two hosts: who is there, then records both ways. No I/O: bytes come in from a transport
// and go out by it, time passes when the owner says so.
//
//     the dialer:    GREETING --HELLO of the peer, accept()------------------> UP
//                       | its own HELLO leaves first
//     the listener:  GREETING --HELLO--> ASKING --accept(): its own HELLO----> UP
//                                          |
//                                          '-- refuse(): a REFUSE, and the end
//     ENDED: from every state, when the transport ends, at a wrong byte, at a REFUSE, by silence, by close().

import { ArenaBytes } from '../core/arena-bytes';
import { invariant } from '../core/errors';
import type { ChannelEvents } from './channel';
import { LINK, type LinkCounters } from './counters';
import {
  encodeHello,
  encodeRefusal,
  type Hello,
  type LinkRole,
  MAX_HELLO_BYTES,
  parseHello,
  parseRefusal,
  type Refusal,
} from './hello';
import {
  MAX_RECORD_BYTES,
  payloadBytes,
  RECORD_HEADER_BYTES,
  RecordType,
  RF_OPTIONAL,
  recordEpoch,
  recordFlags,
  recordType,
  recordZero,
  writeHeader,
} from './record';
import type { Transport, TransportEvents } from './transport';

/** Whoever has dialled, or was dialled. */
export interface SessionOwner {
  /** The peer has said who it is: accept() or refuse(), now or later. */
  onHello(session: Session, hello: Hello): void;
  /** The peer refuses; onEnd follows. */
  onRefused(session: Session, said: ReturnType<typeof parseRefusal>): void;
  /** It has ended. `wasUp`: both sides had known each other. */
  onEnd(session: Session, why: string, wasUp: boolean): void;
}

/** Of what is handed to a node, and what it may be told in either role. */
const FOR_PRIMARY: ReadonlySet<number> = new Set([
  RecordType.GUEST_FRAME,
  RecordType.GUEST_DIGEST,
  RecordType.MARK,
  RecordType.LOST,
  RecordType.CHECKPOINT_REQUEST,
  RecordType.FETCHED,
  RecordType.GONE,
  RecordType.PAIR,
  RecordType.IS,
]);
const FOR_SECONDARY: ReadonlySet<number> = new Set([
  RecordType.CLIENT_FRAME,
  RecordType.LOST,
  RecordType.FETCH,
  RecordType.WHICH,
]);

const NOTHING = new Uint8Array(0);

const NOBODY: ChannelEvents = {
  onUp() {},
  onDown() {},
  onRecord: () => true,
  onBatch() {},
  onRoom() {},
};

export class Session implements TransportEvents {
  private state: 'greeting' | 'asking' | 'up' | 'ended' = 'greeting';
  private transport: Transport | undefined;
  /** UP: takes payloads into the send buffer. */
  private bytes: ArenaBytes | undefined;
  private node = NOBODY;
  private wanted: ReadonlySet<number> = FOR_PRIMARY;
  private wantsRoom = false;
  /** The node takes no records now. */
  private holding = false;
  /** Anything, since the last beat; and beats before that without anything. */
  private heard = false;
  private quietBeats = 0;

  /** `counters`: until it is accepted. */
  constructor(
    private readonly owner: SessionOwner,
    private counters: LinkCounters,
  ) {}

  get up(): boolean {
    return this.state === 'up';
  }

  get ended(): boolean {
    return this.state === 'ended';
  }

  /** The peer has been heard since the last beat, or nobody has listened. */
  get lively(): boolean {
    return this.heard || this.holding;
  }

  // The handshake

  /** The connection is there; a dialer speaks first. */
  open(transport: Transport, greeting?: Hello): void {
    this.transport = transport;
    if (greeting !== undefined) this.say(RecordType.HELLO, encodeHello(greeting));
  }

  /**
   * From here on the peer is the other side of `node`, whose role is `role`. A listener answers with its own HELLO. The
   * node is not told that it is up.
   */
  accept(role: LinkRole, node: ChannelEvents, counters: LinkCounters, answer?: Hello): void {
    invariant(this.state === 'asking', 'a peer is accepted that has said who it is');
    this.state = 'up';
    this.bytes = new ArenaBytes(this.transport!.out);
    this.node = node;
    this.counters = counters;
    this.wanted = role === 'primary' ? FOR_PRIMARY : FOR_SECONDARY;
    if (answer !== undefined) this.say(RecordType.HELLO, encodeHello(answer));
    this.transport!.pause(false);
  }

  /** Tells the peer why, and ends the connection. */
  refuse(refusal: Refusal): void {
    if (this.ended) return;
    this.say(RecordType.REFUSE, encodeRefusal(refusal));
    this.disconnect(`refused: ${refusal.text}`);
  }

  // Records; see Channel

  send(
    type: RecordType,
    epoch: number,
    head: Uint8Array,
    headBytes: number,
    buf: Uint8Array,
    off: number,
    bytes: number,
  ): boolean {
    if (this.state !== 'up') return false;
    const payload = headBytes + bytes;
    invariant(payload <= MAX_RECORD_BYTES, 'a record is not over-long');
    const transport = this.transport!;
    const at = transport.reserve(RECORD_HEADER_BYTES + payload);
    const { values } = this.counters;
    if (at < 0) {
      this.wantsRoom = true;
      values[LINK.link_no_room]!++;
      return false;
    }
    const { out } = transport;
    writeHeader(out, at, payload, type, 0, epoch);
    let to = at + RECORD_HEADER_BYTES;
    for (let i = 0; i < headBytes; i++) out[to++] = head[i]!;
    this.bytes!.take(buf as Buffer, off, to, bytes);
    transport.commit(RECORD_HEADER_BYTES + payload);
    values[LINK.link_records_out]!++;
    values[LINK.link_bytes_out]! += RECORD_HEADER_BYTES + payload;
    return true;
  }

  flush(): void {
    if (this.state === 'up') this.transport!.flush();
  }

  resume(): void {
    if (!this.holding) return;
    this.holding = false;
    this.transport!.pause(false);
  }

  /**
   * To be called once a period. Ends the connection when nothing was heard for `deadBeats` of them: periods are counted
   * and not time, so that a process that was stopped itself does not take its peer for dead.
   */
  beat(deadBeats: number): void {
    if (this.state !== 'up') return;
    this.quietBeats = this.lively ? 0 : this.quietBeats + 1;
    if (this.quietBeats >= deadBeats) {
      this.counters.add('link_silent');
      this.disconnect(`nothing was heard for ${deadBeats} beats`);
      return;
    }
    this.ask();
  }

  /** Asks for a sign of life; see `lively`. */
  ask(): void {
    this.heard = false;
    this.say(RecordType.BEAT, NOTHING);
  }

  disconnect(why: string): void {
    if (!this.ended) this.transport!.disconnect(why);
  }

  /** Without a word to anybody here. */
  close(): void {
    if (this.ended) return;
    this.state = 'ended';
    this.node = NOBODY;
    this.transport?.close();
  }

  // Of the transport

  onData(buf: Buffer, from: number, to: number): number {
    let at = from;
    let records = 0;
    this.heard = true;
    while (to - at >= RECORD_HEADER_BYTES && !this.holding && this.state !== 'asking' && !this.ended) {
      const bytes = payloadBytes(buf, at);
      const wrong = this.wrongHeader(buf, at, bytes);
      if (wrong !== '') {
        this.breakOff(wrong);
        break;
      }
      const next = at + RECORD_HEADER_BYTES + bytes;
      if (next > to) break;
      if (this.state === 'up') {
        if (!this.record(buf, at, bytes)) {
          this.holding = true;
          this.transport!.pause(true);
          break;
        }
        records++;
      } else this.greeted(buf, at, bytes);
      at = next;
    }
    if (records > 0) this.node.onBatch();
    return at - from;
  }

  onClose(why: string): void {
    const wasUp = this.up;
    this.state = 'ended';
    this.node = NOBODY;
    this.owner.onEnd(this, why, wasUp);
  }

  onDrain(): void {
    if (!this.wantsRoom) return;
    this.wantsRoom = false;
    this.node.onRoom();
  }

  /** '' when it may be read on: a header alone tells, so that nobody is waited for whose payload would be of no use. */
  private wrongHeader(buf: Buffer, at: number, bytes: number): string {
    const type = recordType(buf, at);
    if (this.state !== 'up') {
      if (type !== RecordType.HELLO && type !== RecordType.REFUSE) return `record ${type} before the HELLO`;
      return bytes > MAX_HELLO_BYTES ? `a HELLO of ${bytes} bytes` : '';
    }
    if (bytes > MAX_RECORD_BYTES) return `record ${type} of ${bytes} bytes, more than ${MAX_RECORD_BYTES}`;
    if (recordZero(buf, at) !== 0 || (recordFlags(buf, at) & ~RF_OPTIONAL) !== 0) {
      return `record ${type} with reserved bits`;
    }
    if (this.wanted.has(type) || type === RecordType.BEAT || type === RecordType.BEAT_ANSWER) return '';
    return (recordFlags(buf, at) & RF_OPTIONAL) !== 0 ? '' : `record ${type}, which has no meaning here`;
  }

  /** False: not now. */
  private record(buf: Buffer, at: number, bytes: number): boolean {
    const type = recordType(buf, at);
    const { values } = this.counters;
    if (type === RecordType.BEAT) {
      this.say(RecordType.BEAT_ANSWER, NOTHING);
      return true;
    }
    if (type === RecordType.BEAT_ANSWER) return true;
    if (this.wanted.has(type)) {
      const off = at + RECORD_HEADER_BYTES;
      if (!this.node.onRecord(type as RecordType, recordEpoch(buf, at), buf, off, bytes)) return false;
    } else values[LINK.link_unknown_records]!++;
    values[LINK.link_records_in]!++;
    values[LINK.link_bytes_in]! += RECORD_HEADER_BYTES + bytes;
    return true;
  }

  private greeted(buf: Buffer, at: number, bytes: number): void {
    const off = at + RECORD_HEADER_BYTES;
    if (recordType(buf, at) === RecordType.REFUSE) {
      const said = parseRefusal(buf, off, bytes);
      this.owner.onRefused(this, said);
      this.disconnect(`the other side refuses: ${said.text}`);
      return;
    }
    const hello = parseHello(buf, off, bytes);
    if (typeof hello === 'string') {
      this.counters.refused('malformed');
      this.refuse({ word: 'malformed', text: `the HELLO is not understood: ${hello}` });
      return;
    }
    this.state = 'asking';
    this.transport!.pause(true);
    this.owner.onHello(this, hello);
  }

  private say(type: RecordType, payload: Uint8Array): void {
    const transport = this.transport!;
    const at = transport.reserve(RECORD_HEADER_BYTES + payload.length);
    if (at < 0) return;
    writeHeader(transport.out, at, payload.length, type, 0, 0);
    transport.out.set(payload, at + RECORD_HEADER_BYTES);
    transport.commit(RECORD_HEADER_BYTES + payload.length);
    transport.flush();
  }

  private breakOff(what: string): void {
    this.counters.add('link_broken');
    this.disconnect(`the other side speaks another protocol: ${what}`);
  }
}
