// The link of a daemon, as its configuration has it: where it is listened for or dialled, and how it is carried.

import { randomUUID } from 'node:crypto';
import type { Log } from '../core/log';
import type { Endpoint } from '../io/stream/endpoint';
import type { OpenChannel } from '../link/channel';
import type { LinkEnd } from '../link/link-channel';
import { LinkDialer } from './link-dialer';
import { LinkServer } from './link-server';
import { plainTransports } from './link-transports';

export interface LinkOptions {
  /** A server's is listened on, another dialled. */
  endpoint: Endpoint;
  /** Of a connection's send buffer. */
  bufferBytes: number;
  log: Log;
}

export interface Link {
  /** Listening when it resolves. Rejects with OperatorError. */
  open(): Promise<void>;
  /** The port that is listened on. */
  readonly port: number;
  channel(end: LinkEnd): OpenChannel;
  close(): void;
}

export function createLink({ endpoint, bufferBytes, log }: LinkOptions): Link {
  const transports = plainTransports(endpoint, bufferBytes);
  if (endpoint.server) return new LinkServer(transports, randomUUID(), log);
  const dialer = new LinkDialer(transports, randomUUID(), log);
  return {
    port: endpoint.port,
    open: async () => {},
    channel: (end) => dialer.channel(end),
    close: () => dialer.close(),
  };
}
