// What a session needs of the connection that carries it: the shape of io/stream's Connection, whatever is under it.

export interface Transport {
  /** Bytes go both ways. */
  readonly connected: boolean;
  /** The send buffer; see reserve(). */
  readonly out: Buffer;
  /** Offset in `out` where so many contiguous bytes may be written, or -1. Followed by commit(), or given up. */
  reserve(bytes: number): number;
  commit(bytes: number): void;
  /** What was committed leaves; what is not taken at once waits. */
  flush(): void;
  /** While paused nothing is read, so that in the end the peer's sends wait. What is unread comes again afterwards. */
  pause(paused: boolean): void;
  /** Ends it, with onClose(why). What was flushed is still sent where that costs no waiting. */
  disconnect(why: string): void;
  /** Ends it without a word. */
  close(): void;
}

/** Called from the event loop, but for disconnect(). */
export interface TransportEvents {
  /** buf[from, to) are unread. Returns how many were consumed; the rest comes again with more, or after a pause. */
  onData(buf: Buffer, from: number, to: number): number;
  onClose(why: string): void;
  /** Much of what waited has left, or all, after reserve() gave -1 or a flush was partial. */
  onDrain(): void;
}
