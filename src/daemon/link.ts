// The link of a daemon, as its configuration has it: where it is listened for or dialled, and how it is carried.

import { randomUUID } from 'node:crypto';
import type { Log } from '../core/log';
import { type Endpoint, formatEndpoint } from '../io/stream/endpoint';
import type { OpenChannel } from '../link/channel';
import type { LinkEnd } from '../link/link-channel';
import { LinkDialer } from './link-dialer';
import { checkCarriage } from './link-key';
import { LinkServer } from './link-server';
import { plainTransports, tlsTransports } from './link-transports';

/**
 * Where the network loses one packet in a hundred it carries about twice what cubic does, elsewhere as much. A kernel
 * without it uses its own.
 */
const CONGESTION = 'bbr';

export interface LinkOptions {
  /** A server's is listened on, another dialled. */
  endpoint: Endpoint;
  /** See readLinkKey(); over TCP alone. */
  key?: Buffer;
  /** Goes without a key where the network is not this machine's own. */
  insecure?: boolean;
  /** Of a connection's send buffer. */
  bufferBytes: number;
  /** For a listener: who has not said by then who it is, is disconnected. Default 5,000. */
  handshakeMs?: number;
  log: Log;
}

export interface Link {
  /** Listening when it resolves. Rejects with OperatorError. */
  open(): Promise<void>;
  /** The port that is listened on. */
  readonly port: number;
  channel(end: LinkEnd): OpenChannel;
  close(): void;
  /** Of a listener: of connections that have not said who they are. By name. */
  counters(): Record<string, number>;
}

/** Throws OperatorError where anybody could be the other host. */
export function createLink({ endpoint, key, insecure, bufferBytes, handshakeMs, log }: LinkOptions): Link {
  if (checkCarriage(endpoint, key, insecure === true)) {
    const text =
      'THE LINK HAS NO KEY (insecure): whoever reaches it decides what leaves, and reads what the guests say';
    log.warn({ link: formatEndpoint(endpoint) }, text);
  }
  const transports =
    key === undefined
      ? plainTransports(endpoint, bufferBytes)
      : tlsTransports(endpoint, { key, sendBytes: bufferBytes, congestion: CONGESTION });
  if (endpoint.server) return new LinkServer(transports, randomUUID(), log, handshakeMs);
  const dialer = new LinkDialer(transports, randomUUID(), log);
  return {
    port: endpoint.port,
    open: async () => {},
    channel: (end) => dialer.channel(end),
    close: () => dialer.close(),
    counters: () => ({}),
  };
}
