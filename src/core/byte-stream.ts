// A connection that carries bytes both ways, as protocols need it that do no I/O. It may come and go: what was not
// received when it ended is lost, and the next connection begins anew.

export interface ByteStreamEvents {
  onOpen(): void;
  /**
   * buf[from, to) are unread bytes, valid during the call. Returns how many were consumed; the rest comes again with
   * more.
   */
  onData(buf: Buffer, from: number, to: number): number;
  /** Not after close(). */
  onClose(why: string): void;
}

export interface ByteStream {
  /** For messages: whose connection it is. */
  readonly name: string;
  /** Resolves when there is a connection, or when it is being looked for. Rejects with OperatorError. */
  open(): Promise<void>;
  /** False: not connected, or more waits to be sent than there is room for; then nothing of it is sent. */
  send(text: string): boolean;
  /** Ends this connection; onClose is called. Another may follow. */
  disconnect(why: string): void;
  /** For good. */
  close(): void;
}

export type ConnectStream = (events: ByteStreamEvents) => ByteStream;
