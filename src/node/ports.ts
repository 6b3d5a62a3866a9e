// What a node needs of the world. The daemons give it kernel queues, ports and timers; the simulator its own; a node
// itself does no I/O and reads no clock.

/**
 * One packet as a queue shows it. One object is filled again and again: nothing of it holds after the call that handed
 * it in.
 */
export interface QueuedPacket {
  /** Under which its verdict is given. */
  id: number;
  /** Its IP header stands at `off`, and `len` bytes of it are there. */
  buf: Buffer;
  off: number;
  len: number;
  /** Bytes of the packet; more than `len` when it was cut. */
  originalLen: number;
  /** Its transport checksum field holds the pseudo-header's sum alone. */
  partialChecksum: boolean;
  /** Several segments in one (GSO). */
  segmented: boolean;
  /** Link-layer source address: the first four bytes and the last two, big end first; 0 where there is none. */
  macHigh: number;
  macLow: number;
  /** VLAN tags of its frame, outer first, 0 where there is none: a kernel's queue shows none. */
  outerTag: number;
  innerTag: number;
  /** Packets of different zones are of different connections. */
  zone: number;
}

export function queuedPacket(): QueuedPacket {
  return {
    id: 0,
    buf: Buffer.alloc(0),
    off: 0,
    len: 0,
    originalLen: 0,
    partialChecksum: false,
    segmented: false,
    macHigh: 0,
    macLow: 0,
    outerTag: 0,
    innerTag: 0,
    zone: 0,
  };
}

/** What a queue shows at once. */
export interface PacketBatch {
  /** Packets of the batch that is shown now. */
  readonly count: number;
  /** Fills `p` with the packet of this number, from 0 on. */
  read(number: number, p: QueuedPacket): void;
  /** Bytes that are there of it. */
  bytesOf(number: number): number;
  /**
   * Reads what has come by now without waiting for it, at most a batch. How many packets that are, which are then
   * shown, until give().
   */
  take(): number;
  /** The packets of take() have been looked at, and their verdicts may go on their way. */
  give(): void;
}

/** Of a side that has no queue. */
export const NO_BATCH: PacketBatch = { count: 0, read: () => {}, bytesOf: () => 0, take: () => 0, give: () => {} };

/** Takes what comes through a queue. */
export interface PacketSink {
  packet(p: QueuedPacket): void;
  /** All that arrived together was handed in. */
  endBatch(): void;
}

/** Each packet gets one verdict, at any time after it was handed in and in any order. */
export interface Verdicts {
  accept(id: number): void;
  /** The packet leaves with the bytes [off, off+len) of buf, from the IP header on; they are copied at once. */
  acceptRewritten(id: number, buf: Buffer, off: number, len: number, partialChecksum: boolean): void;
  drop(id: number): void;
}

/** One side's packets, in the order in which they were sent: the kernel's NFQUEUE, or what stands for it. */
export interface PacketQueue extends Verdicts {
  /** Hands in all that was sent until now. Not from within a sink's call. */
  drain(): void;
  /** Verdicts that were given are on their way. */
  flush(): void;
}

/** A queue that can be told to show only the beginning of each packet. */
export interface CuttingQueue extends Verdicts, Drainable {
  /** Of the packets to come. What waits already keeps its length. */
  showWhole(on: boolean): void;
}

/** What can be read empty of the words of a guest, or of both. */
export type Drainable = Pick<PacketQueue, 'drain'>;

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic, whole ms. */
  nowMs(): number;
  /** Calls the task once, behind what has arrived by then. */
  after(ms: number, task: () => void): Timer;
}

/** Of a network port. A tap without its hypervisor has no carrier, or is gone. */
export type PortState = 'up' | 'down' | 'gone';

export interface GuestWatch {
  /** Tells how the guest's port is now; later, perhaps. One that cannot be read counts as gone. */
  portState(told: (state: PortState) => void): void;
}
