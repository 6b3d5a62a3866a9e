// Looks for a server: tries each address of its host in turn and, where it is to dial again, all of them again later,
// after a delay that doubles up to a bound.
//
//              dial()                            connected: onPeer
//     IDLE ------------> RESOLVING --> CONNECTING ----------------> IDLE
//      | redial()            ^           |   | ^
//      |                     |           |   '-' it fails, and there is another address
//      '-----> WAITING ------'           |
//                 ^      the delay ends  | no address is left: onUnreachable
//                 '----------------------+----> IDLE, where it is not to dial again
//
//     A Unix server whose backlog is full (EAGAIN) is waited for, too. CLOSED: from every state, by close().

import { constants } from 'node:os';
import { invariant, type OperatorError } from '../../core/errors';
import { addon } from '../../native/addon';
import { systemError } from '../../native/errno';
import { Descriptor } from '../descriptor';
import { addressesOf } from './addresses';
import { type Endpoint, formatEndpoint } from './endpoint';

/** Called from the event loop. One that throws ends the process. */
export interface DialerEvents {
  /**
   * The server is there: `socket`, connected and watched for readable, is the owner's from now on (a Connection takes
   * it).
   */
  onPeer(socket: Descriptor): void;
  /** No address has answered. Where it dials again it goes on by itself. */
  onUnreachable(why: OperatorError): void;
}

/**
 * Before the first retry, and at most. The delay doubles with each, and begins anew when the server has answered.
 */
export interface RedialDelays {
  firstMs: number;
  mostMs: number;
}

/** A server that drops the SYN is given up, and perhaps dialled again. */
const DIAL_TIMEOUT_MS = 10_000;
/** When the server's backlog is full. */
const BUSY_RETRY_MS = 200;

const { EAGAIN, EINPROGRESS, ETIMEDOUT } = constants.errno;

export class Dialer {
  private readonly native = addon();
  private state: 'idle' | 'resolving' | 'connecting' | 'waiting' | 'closed' = 'idle';
  private timer: NodeJS.Timeout | undefined;
  private delayMs: number;
  /** Of the present attempt: the addresses that are still to be tried, and why the last did not answer. */
  private addresses: string[] = [];
  private reason: OperatorError | undefined;
  /** CONNECTING */
  private socket: Descriptor | undefined;

  /** Without `delays` it does not dial again. */
  constructor(
    readonly endpoint: Endpoint,
    private readonly events: DialerEvents,
    private readonly delays?: RedialDelays,
  ) {
    this.delayMs = delays?.firstMs ?? 0;
  }

  /** Now. When it is idle. */
  dial(): void {
    invariant(this.state === 'idle', 'who dials is not dialling already');
    this.attempt();
  }

  /** After the first delay, when the connection has ended. False: it does not dial again. */
  redial(): boolean {
    invariant(this.state === 'idle', 'who dials again is not dialling already');
    if (this.delays === undefined) return false;
    this.wait(this.delays.firstMs);
    return true;
  }

  /** For good; a connection that was handed over stays. Idempotent. */
  close(): void {
    this.state = 'closed';
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = undefined;
  }

  private attempt(): void {
    this.reason = undefined;
    this.state = 'resolving';
    if (this.endpoint.kind === 'unix') {
      this.addresses = [''];
      this.next();
      return;
    }
    addressesOf(this.endpoint).then(
      (addresses) => {
        this.addresses = addresses;
        this.next();
      },
      (error: OperatorError) => {
        this.reason = error;
        this.next();
      },
    );
  }

  /** Tries addresses until one may answer. */
  private next(): void {
    if (this.state === 'closed') return;
    const { kind, path, port } = this.endpoint;
    for (let address = this.addresses.shift(); address !== undefined; address = this.addresses.shift()) {
      const fd = kind === 'unix' ? this.native.streamConnectUnix(path) : this.native.streamConnectTcp(address, port);
      if (fd >= 0) {
        this.connecting(fd);
        return;
      }
      if (fd === -EAGAIN && kind === 'unix') {
        this.wait(BUSY_RETRY_MS);
        return;
      }
      this.reason = dialError(fd, this.endpoint);
    }
    this.unreachable();
  }

  private connecting(fd: number): void {
    this.state = 'connecting';
    const look = () => this.look();
    this.socket = new Descriptor(fd, look, look, true);
    // Even when the server is there at once, onPeer comes from the event loop.
    this.socket.watchWritable(true);
    this.timer = setTimeout(() => this.failed(-ETIMEDOUT), DIAL_TIMEOUT_MS);
  }

  private look(): void {
    const socket = this.socket!;
    const result = this.native.streamConnected(socket.fd);
    if (result === -EINPROGRESS) return;
    clearTimeout(this.timer);
    if (result < 0) {
      this.failed(result);
      return;
    }
    socket.watchWritable(false);
    this.socket = undefined;
    this.state = 'idle';
    this.delayMs = this.delays?.firstMs ?? 0;
    this.events.onPeer(socket);
  }

  private failed(errno: number): void {
    this.reason = dialError(errno, this.endpoint);
    this.socket!.close();
    this.socket = undefined;
    this.next();
  }

  private unreachable(): void {
    if (this.delays === undefined) {
      this.state = 'idle';
    } else {
      this.wait(this.delayMs);
      this.delayMs = Math.min(2 * this.delayMs, this.delays.mostMs);
    }
    this.events.onUnreachable(this.reason!);
  }

  private wait(ms: number): void {
    this.state = 'waiting';
    this.timer = setTimeout(() => this.attempt(), ms);
  }
}

function dialError(errno: number, endpoint: Endpoint): OperatorError {
  return systemError(errno, `connecting to ${formatEndpoint(endpoint)}`, {
    ENOENT: 'start the server first, or add ,reconnect=SECONDS to wait for it',
    ECONNREFUSED: 'start the server first, or add ,reconnect=SECONDS to wait for it',
    EACCES: 'this user may not connect there: see the mode of the socket and of its directory',
    ETIMEDOUT: 'nothing answers there: see the address, and what filters the packets on the way',
  });
}
