// How the link's connections come to be: a listener or a dialer under one face, whatever carries the bytes.

import type { OperatorError } from '../core/errors';
import { Connection, streamBuffers } from '../io/stream/connection';
import { Dialer } from '../io/stream/dialer';
import type { Endpoint } from '../io/stream/endpoint';
import { Listener } from '../io/stream/listener';
import { TlsDialer, TlsListener, type TlsOptions } from '../io/stream/tls-psk';
import { LINK, type LinkCounters } from '../link/counters';
import type { Transport, TransportEvents } from '../link/transport';

/** A connection that is there, for whoever takes its events. */
export type MakeTransport = (events: TransportEvents) => Transport;

export interface TransportListener {
  open(): Promise<void>;
  close(): void;
  /** Of what is counted below the link. */
  countInto?(counters: LinkCounters): void;
  /** As it was bound: the endpoint's port may be 0. */
  readonly port: number;
}

export interface TransportDialer {
  /** Looks once for the peer: `onFound` or `onFailed` follows, not before it returns. */
  dial(): void;
  close(): void;
}

export interface DialEvents {
  onFound(make: MakeTransport): void;
  onFailed(why: OperatorError): void;
}

export interface Transports {
  /** `from`: the address of whoever dials, '' where there is none. */
  listen(onFound: (make: MakeTransport, from: string) => void): TransportListener;
  dial(events: DialEvents): TransportDialer;
}

/** Waiting in the kernel: as many as a burst of strangers may bring without turning the peer away. */
const BACKLOG = 1024;
/** Never reached: the owner bounds those who have not said who they are, and VMs bound the others. */
const MAX_PEERS = 4096;
/** Room for several of the largest records, so that one read brings many. */
const RECEIVE_BYTES = 1 << 20;

/** Without encryption: who can reach the socket is believed. */
export function plainTransports(endpoint: Endpoint, sendBytes: number): Transports {
  return {
    listen: (onFound) =>
      new Listener(
        endpoint,
        (socket, onGone) =>
          onFound(
            (events) => new Connection(socket, events, { buffers: streamBuffers(RECEIVE_BYTES, sendBytes), onGone }),
            '',
          ),
        { maxPeers: MAX_PEERS, backlog: BACKLOG },
      ),
    dial: ({ onFound, onFailed }) =>
      new Dialer(endpoint, {
        onPeer: (socket) =>
          onFound((events) => new Connection(socket, events, { buffers: streamBuffers(RECEIVE_BYTES, sendBytes) })),
        onUnreachable: onFailed,
      }),
  };
}

/** Over TCP, encrypted, between those who have the key. */
export function tlsTransports(endpoint: Endpoint, options: TlsOptions): Transports {
  return {
    listen: (onFound) => {
      const listener = new TlsListener(endpoint, options, onFound);
      return {
        open: () => listener.open(),
        close: () => listener.close(),
        get port() {
          return listener.port;
        },
        countInto({ values }) {
          values[LINK.link_other_key] = listener.counters.otherKey;
          values[LINK.link_no_key] = listener.counters.noKey;
          values[LINK.link_bad_tls] = listener.counters.badTls;
        },
      };
    },
    dial: ({ onFound, onFailed }) => new TlsDialer(endpoint, options, { onPeer: onFound, onUnreachable: onFailed }),
  };
}
