// The simulated application's protocol. A request determines its whole answer, so that two guests answer alike; the
// divergent flags make them use their own randomness instead, and the answer's header tells so.

import { digest } from '../content';

export const Op = {
  /** Answer with `size` bytes of message `seed`. */
  GET: 1,
  /** Take `size` bytes of message `seed`, answer with their digest. */
  PUT: 2,
  /** For every byte of message `seed` sent, answer with the byte of message `seed + 1` at that place. */
  ECHO: 3,
  /** Open a connection to the client's port `port`, send HELLO with `seed`, then serve it like any other. */
  CALL: 4,
  /** Close in order, after the answers so far. */
  QUIT: 5,
  /** Reset the connection. */
  ABORT: 6,
  /** First message on a connection that the guest opened. */
  HELLO: 7,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** The guest draws the answer's content. */
export const DIVERGENT_CONTENT = 1;
/** The guest draws the answer's length. */
export const DIVERGENT_LENGTH = 2;
/** The guest reads slowly: its window closes. */
export const SLOW_READER = 4;
/** The guest draws the port of the connection that it opens. */
export const DIVERGENT_PORT = 8;

export const REQUEST_BYTES = 16;
export const ANSWER_BYTES = 12;

export interface Request {
  op: Op;
  flags: number;
  port: number;
  size: number;
  seed: number;
}

export function encodeRequest(r: Request): Buffer {
  const buf = Buffer.alloc(REQUEST_BYTES);
  buf[0] = r.op;
  buf[1] = r.flags;
  buf.writeUInt16BE(r.port, 2);
  buf.writeUInt32BE(r.size, 4);
  buf.writeUInt32BE(r.seed, 8);
  buf.writeUInt32BE(digest(0x811c9dc5, buf, 0, 12), 12);
  return buf;
}

/** Throws when the check does not hold: nothing in a run may damage a request. */
export function decodeRequest(buf: Buffer): Request {
  if (digest(0x811c9dc5, buf, 0, 12) !== buf.readUInt32BE(12)) throw new Error('a request arrived damaged');
  return {
    op: buf[0] as Op,
    flags: buf[1]!,
    port: buf.readUInt16BE(2),
    size: buf.readUInt32BE(4),
    seed: buf.readUInt32BE(8),
  };
}

export function encodeAnswer(seed: number, bytes: number, content: number): Buffer {
  const buf = Buffer.alloc(ANSWER_BYTES);
  buf.writeUInt32BE(seed >>> 0, 0);
  buf.writeUInt32BE(bytes, 4);
  buf.writeUInt32BE(content >>> 0, 8);
  return buf;
}
