// TLS 1.3 with a key that both sides have: no certificates, and fresh session keys for each connection (psk_dhe_ke), so
// that what was recorded before stays secret when the key becomes known.

import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { OperatorError } from '../../core/errors';
import { addon } from '../../native/addon';
import { type ConnectionEvents, streamBuffers } from './connection';
import { type Endpoint, formatEndpoint } from './endpoint';
import { TlsConnection } from './tls-connection';

/** The name under which both sides know the key. */
const IDENTITY = 'colo';
const DIAL_TIMEOUT_MS = 10_000;
const RECEIVE_BYTES = 1 << 20;
/** Waiting in the kernel: a burst of strangers shall not turn the peer away. */
const BACKLOG = 1024;

/** A connection for whoever takes its events, and where it comes from. */
export type MakeTls = (events: ConnectionEvents) => TlsConnection;

/** No authorities: nothing but the key proves anything. */
function context(): SecureContext {
  return createSecureContext({
    ciphers: 'TLS_AES_128_GCM_SHA256',
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ca: [],
  });
}

export interface TlsOptions {
  key: Buffer;
  /** Of a connection's send buffer. */
  sendBytes: number;
  /** How a connection shares the way with others (TCP_CONGESTION); a kernel that does not have it uses its own. */
  congestion: string;
}

function share(socket: Socket, congestion: string): void {
  // Node does not set it, and its handle tells the descriptor.
  const { fd = -1 } = (socket as unknown as { _handle: { fd?: number } | null })._handle ?? {};
  if (fd >= 0) addon().streamCongestion(fd, congestion);
}

export class TlsListener {
  /** Handshakes that failed: another key, none, no TLS 1.3 at all or not meant for this connection. */
  readonly counters = { otherKey: 0, noKey: 0, badTls: 0 };
  private readonly server: Server;
  private readonly context = context();
  private closed = false;

  /** `onPeer`: somebody has dialled, and the handshake begins; its failure is the connection's end. */
  constructor(
    readonly endpoint: Endpoint,
    private readonly options: TlsOptions,
    private readonly onPeer: (make: MakeTls, from: string) => void,
  ) {
    this.server = createServer({ noDelay: true, keepAlive: true }, (raw) => this.accepted(raw));
  }

  /** Rejects with OperatorError. */
  open(): Promise<void> {
    const { host, port } = this.endpoint;
    return new Promise((resolve, reject) => {
      this.server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, this.endpoint)));
      this.server.listen({ host: host === '' ? undefined : host, port, backlog: BACKLOG }, resolve);
    });
  }

  get port(): number {
    const address = this.server.address();
    return address !== null && typeof address === 'object' ? address.port : this.endpoint.port;
  }

  /** For good; the connections that are there stay. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.server.close();
  }

  private accepted(raw: Socket): void {
    const { key, sendBytes, congestion } = this.options;
    share(raw, congestion);
    const from = raw.remoteAddress ?? '';
    const socket = new TLSSocket(raw, {
      isServer: true,
      secureContext: this.context,
      pskCallback: (_socket: TLSSocket, identity: string) => (identity === IDENTITY ? key : null),
    } as ConstructorParameters<typeof TLSSocket>[1]);
    this.onPeer((events) => {
      const made = new TlsConnection(socket, events, {
        buffers: () => streamBuffers(RECEIVE_BYTES, sendBytes),
        explain: (error) => this.explain(error),
      });
      socket.once('secure', () => made.secured());
      return made;
    }, from);
  }

  /** OpenSSL tells in its own words what became of a handshake. */
  private explain(error: NodeJS.ErrnoException): string {
    const { code = '' } = error;
    if (code === 'ERR_SSL_BINDER_DOES_NOT_VERIFY') {
      this.counters.otherKey++;
      return `the peer has another key: ${SAME_KEY}`;
    }
    if (code === 'ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM') {
      this.counters.noKey++;
      return `the peer has no key of ours: ${SAME_KEY}`;
    }
    if (!code.startsWith('ERR_SSL_')) return `${error.message} (${code})`;
    this.counters.badTls++;
    return `what came is no TLS 1.3 handshake (${code}): is a key configured on the other host?`;
  }
}

export interface TlsDialEvents {
  /** The server has proved that it has the key. */
  onPeer(make: MakeTls): void;
  onUnreachable(why: OperatorError): void;
}

/** Looks for the server once at a time. */
export class TlsDialer {
  private socket: TLSSocket | undefined;
  private raw: Socket | undefined;
  private readonly context = context();

  constructor(
    readonly endpoint: Endpoint,
    private readonly options: TlsOptions,
    private readonly events: TlsDialEvents,
  ) {}

  dial(): void {
    const { host, port } = this.endpoint;
    const raw = dial({ host, port, noDelay: true, keepAlive: true });
    const timer = setTimeout(() => raw.destroy(timeout()), DIAL_TIMEOUT_MS);
    const failed = (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      if (this.raw !== raw) return;
      this.forget();
      this.events.onUnreachable(dialError(error, this.endpoint));
    };
    this.raw = raw;
    raw.once('error', failed);
    raw.once('connect', () => {
      raw.off('error', failed);
      this.secure(raw, timer, failed);
    });
  }

  /** For good; a connection that was handed over stays. Idempotent. */
  close(): void {
    const { socket, raw } = this;
    this.forget();
    socket?.destroy();
    raw?.destroy();
  }

  private secure(raw: Socket, timer: NodeJS.Timeout, failed: (error: Error) => void): void {
    const { key, sendBytes, congestion } = this.options;
    share(raw, congestion);
    const socket = connect({
      socket: raw,
      secureContext: this.context,
      pskCallback: () => ({ psk: key, identity: IDENTITY }),
      // There are no certificates: one that is shown is refused, whoever has signed it.
      checkServerIdentity: () => undefined,
      rejectUnauthorized: true,
    });
    this.socket = socket;
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      if (this.socket !== socket) return;
      if (socket.getPeerX509Certificate() !== undefined || !socket.isSessionReused()) {
        socket.destroy();
        failed(new Error('the server shows a certificate, and does not prove that it has the key'));
        return;
      }
      socket.off('error', failed);
      this.forget();
      this.events.onPeer((events) => {
        const made = new TlsConnection(socket, events, { buffers: () => streamBuffers(RECEIVE_BYTES, sendBytes) });
        made.secured();
        return made;
      });
    });
  }

  private forget(): void {
    this.socket = undefined;
    this.raw = undefined;
  }
}

const SAME_KEY = 'see that both hosts have the same key file';

function timeout(): NodeJS.ErrnoException {
  return Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' });
}

function dialError(error: NodeJS.ErrnoException, endpoint: Endpoint): OperatorError {
  const { code = 'ELINK' } = error;
  const doing = `connecting to ${formatEndpoint({ ...endpoint, server: false })}`;
  if (code.startsWith('ERR_SSL_')) {
    return new OperatorError(code, `${doing}: the other side does not accept our key (${code})`, SAME_KEY);
  }
  const hints: Record<string, string> = {
    ECONNRESET: `the other side has ended the handshake: ${SAME_KEY}, and its log`,
    ECONNREFUSED: 'start the daemon of the other host; it is looked for again',
    EHOSTUNREACH: 'see the address, and that the other host is up',
    ENETUNREACH: 'see the address, and the routes to it',
    ETIMEDOUT: 'nothing answers there: see the address, and what filters the packets on the way',
    ENOTFOUND: 'write an address, or see that the name is in /etc/hosts or in the DNS',
  };
  // Of several addresses, where none answers, Node gives a code alone.
  const message = error.message === '' ? 'no address answers' : error.message;
  return new OperatorError(code, `${doing}: ${message} (${code})`, hints[code] ?? SAME_KEY);
}

function listenError(error: NodeJS.ErrnoException, endpoint: Endpoint): OperatorError {
  const { code = 'ELINK' } = error;
  const hints: Record<string, string> = {
    EADDRINUSE: 'another process serves it: end it or choose another one',
    EADDRNOTAVAIL: 'this machine does not have that address',
    EACCES: 'this user may not listen there',
  };
  return new OperatorError(code, `listening at ${formatEndpoint(endpoint)}: ${error.message} (${code})`, hints[code]);
}
