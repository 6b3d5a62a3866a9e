// One VM's records of one kind between its two hosts, over connections that come and go: what a node is given of the
// link, and what it is told.

import type { RecordType } from './record';

/** What the other side has said of itself, first thing in a connection. */
export interface Peer {
  /** Tells its processes apart. */
  readonly process: string;
  /** Tells apart what outlives its processes. */
  readonly memory?: string;
  /** Of a secondary: its epoch when the connection was made. */
  readonly epoch: number;
  /** What it understands beyond the version. */
  readonly features: readonly string[];
  /** Of a secondary that sends digests, in hex. */
  readonly digestKey?: string;
}

export interface ChannelEvents {
  /** A connection is there, both sides know each other. */
  onUp(peer: Peer): void;
  /** It has ended: what was sent and not received is lost. */
  onDown(why: string): void;
  /**
   * One record, its payload buf[off, off+bytes), valid during the call. False: not now; it comes again after resume(),
   * and nothing before it.
   */
  onRecord(type: RecordType, epoch: number, buf: Buffer, off: number, bytes: number): boolean;
  /** All that arrived together was handed in. */
  onBatch(): void;
  /** There is room again after send() has said no. */
  onRoom(): void;
}

export interface Channel {
  readonly up: boolean;
  /** For status and metrics. */
  readonly counters?: { snapshot(): Record<string, number> };
  /**
   * A record of `headBytes` and then [off, off+bytes) of buf; it leaves at flush(). False: there is no connection, or
   * no room; nothing of it is sent.
   */
  send(
    type: RecordType,
    epoch: number,
    head: Uint8Array,
    headBytes: number,
    buf: Uint8Array,
    off: number,
    bytes: number,
  ): boolean;
  flush(): void;
  /** See ChannelEvents.onRecord. */
  resume(): void;
  /** Ends the present connection; another is looked for. */
  disconnect(why: string): void;
  /** For good. */
  close(): void;
}

/** Of a channel's end on this host: for the events, give them here once. */
export type OpenChannel = (events: ChannelEvents) => Channel;
