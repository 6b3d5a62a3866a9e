// The interfaces of a connection to its machine and to the application on top.

import type { Prng } from '../prng';
import type { Connection } from './connection';
import type { OptionLayout, Segment } from './segment';

export const State = {
  CLOSED: 0,
  SYN_SENT: 1,
  SYN_RECEIVED: 2,
  ESTABLISHED: 3,
  FIN_WAIT_1: 4,
  FIN_WAIT_2: 5,
  CLOSE_WAIT: 6,
  CLOSING: 7,
  LAST_ACK: 8,
  TIME_WAIT: 9,
} as const;
export type State = (typeof State)[keyof typeof State];

export const NEVER = Number.POSITIVE_INFINITY;

/** Properties of an image: equal on both guests. */
export interface TcpImage {
  mss: number;
  windowScale: number;
  receiveBytes: number;
  sendBytes: number;
  timestamps: boolean;
  sack: boolean;
  mptcp: boolean;
  layout: OptionLayout;
  /** Largest payload of one packet handed to the network; above mss it is a GSO packet. */
  gsoBytes: number;
  /** Drop a first ACK whose TSecr was never sent (newer Linux kernels do). */
  strictSynReceived: boolean;
  timeWaitUs: number;
}

/** Differences between two machines of one image: pace and habits, never contents. */
export interface TcpHabits {
  delayedAckUs: number;
  ackEverySegments: number;
  /** Smallest and largest number of segments put in one packet. */
  burstSegments: number;
}

export interface TcpHost {
  readonly image: TcpImage;
  readonly habits: TcpHabits;
  readonly prng: Prng;
  /** The segment being sent; transmit() turns it into a packet. */
  readonly out: Segment;
  readonly counts: TcpCounts;
  /** The machine's own clock in microseconds; it stops with the machine. */
  clockUs(): number;
  /** Sends `out`; the connection is null when the segment answers one that belongs to no connection. */
  transmit(connection: Connection | null, place: number, dataBytes: number): void;
  /** The connection is over; it is not used again. */
  forget(connection: Connection): void;
}

export interface TcpCounts {
  retransmissions: number;
  fastRetransmits: number;
  timeouts: number;
  pawsDrops: number;
  /** PAWS drops of a segment of the SVM because of a timestamp of the PVM. */
  pawsAcrossFailover: number;
  zeroWindows: number;
  wraps: number;
  badEchoes: number;
  resetsSent: number;
  /** Acknowledgements and SACK blocks of bytes that were never sent. */
  unsentAcks: number;
  unsentSacks: number;
}

/** The application. Every call comes from inside the host's event. */
export interface TcpApp {
  opened(connection: Connection): void;
  readable(connection: Connection): void;
  writable(connection: Connection): void;
  peerClosed(connection: Connection): void;
  /** `reset`: by the peer or by a refused opening, else both directions were closed in order. */
  closed(connection: Connection, reset: boolean): void;
  timer(connection: Connection): void;
  clone(): TcpApp;
}
