// A stream socket that peers dial: many at once, up to a bound. Who comes then waits in the kernel's backlog until one
// has gone.
//
//                                  so many peers as may be
//     NEW --open()--> LISTENING ----------------------------> FULL
//                      | ^   ^----------a peer goes------------'
//     no descriptor is | | RETRY_MS pass, or a peer goes       CLOSED: from every state, by close(). The peers stay.
//     left for a peer  v |
//                    RESTING

import { constants } from 'node:os';
import { invariant, type OperatorError } from '../../core/errors';
import { addon } from '../../native/addon';
import { systemError } from '../../native/errno';
import { Descriptor } from '../descriptor';
import { addressesOf } from './addresses';
import { type Endpoint, formatEndpoint } from './endpoint';

/**
 * A peer is there: `socket`, connected and watched for readable, is the owner's from now on (a Connection takes it).
 * The owner must call `gone`, once, when it is closed (ConnectionOptions.onGone). Called from the event loop; throwing
 * ends the process.
 */
export type OnPeer = (socket: Descriptor, gone: () => void) => void;

export interface ListenerOptions {
  /** Peers at once. */
  maxPeers: number;
  /** Peers that wait while no more are taken. */
  backlog?: number;
}

const DEFAULT_BACKLOG = 4;
const SOCKET_MODE = 0o600;
/** Accepted per turn of the event loop, so that those who dial cannot starve those who are there. */
const PEERS_PER_TURN = 16;
const RETRY_MS = 200;

const { EAGAIN } = constants.errno;

/** Until a Connection takes over; the event loop does not turn in between. */
const nothing = (): void => {};

export class Listener {
  /** Peers taken; times that the bound was reached, and that the process had no descriptor left for a peer. */
  readonly counters = { accepted: 0, full: 0, exhausted: 0 };
  private readonly native = addon();
  private state: 'new' | 'listening' | 'full' | 'resting' | 'closed' = 'new';
  private peers = 0;
  private descriptor: Descriptor | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** The socket's inode: another's file under the path stays. */
  private readonly file = new Float64Array(2);

  constructor(
    readonly endpoint: Endpoint,
    private readonly onPeer: OnPeer,
    private readonly options: ListenerOptions,
  ) {}

  /** Ready when it resolves, or closed meanwhile. Rejects with OperatorError. To be called once. */
  async open(): Promise<void> {
    const { kind, path, host, port } = this.endpoint;
    const backlog = this.options.backlog ?? DEFAULT_BACKLOG;
    const address = kind === 'tcp' && host !== '' ? (await addressesOf(this.endpoint))[0]! : '';
    if (this.state === 'closed') return;
    invariant(this.state === 'new', 'a listener is opened once');
    const fd =
      kind === 'unix'
        ? this.native.streamListenUnix(path, SOCKET_MODE, backlog, this.file)
        : this.native.streamListenTcp(address, port, backlog);
    if (fd < 0) throw listenError(fd, this.endpoint);
    this.descriptor = new Descriptor(fd, () => this.accept(), undefined, true);
    this.state = 'listening';
  }

  /** The TCP port, which differs from the endpoint's when that is 0. */
  get port(): number {
    return this.descriptor === undefined ? this.endpoint.port : this.native.streamPort(this.descriptor.fd);
  }

  /** Peers that are there. */
  get peerCount(): number {
    return this.peers;
  }

  /** For good; a Unix path is removed. The peers that are there stay. Idempotent. */
  close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    clearTimeout(this.timer);
    if (this.descriptor === undefined) return;
    if (this.endpoint.kind === 'unix') this.native.unixUnlink(this.endpoint.path, this.file);
    this.descriptor.close();
  }

  private accept(): void {
    for (let i = 0; i < PEERS_PER_TURN && this.state === 'listening'; i++) {
      const fd = this.native.streamAccept(this.descriptor!.fd);
      if (fd === -EAGAIN) return;
      if (fd < 0) {
        this.rest();
        return;
      }
      this.counters.accepted++;
      this.peers++;
      if (this.peers === this.options.maxPeers) {
        this.counters.full++;
        this.state = 'full';
        this.descriptor!.watchReadable(false);
      }
      this.onPeer(new Descriptor(fd, nothing, nothing, true), () => this.gone());
    }
  }

  /** EMFILE and its like: the peer still waits, and would call again at once. */
  private rest(): void {
    this.counters.exhausted++;
    this.state = 'resting';
    this.descriptor!.watchReadable(false);
    this.timer = setTimeout(() => this.listenAgain(), RETRY_MS);
  }

  private gone(): void {
    invariant(this.peers > 0, 'a peer goes once');
    this.peers--;
    if (this.state === 'full' || this.state === 'resting') this.listenAgain();
  }

  private listenAgain(): void {
    clearTimeout(this.timer);
    this.state = 'listening';
    this.descriptor!.watchReadable(true);
  }
}

function listenError(errno: number, endpoint: Endpoint): OperatorError {
  return systemError(errno, `listening at ${formatEndpoint(endpoint)}`, {
    EADDRINUSE: 'another process serves it: end it or choose another one',
    EADDRNOTAVAIL: 'this machine does not have that address',
    EEXIST: 'something that is no socket stands there: remove it or choose another path',
    ENOENT: 'the directory does not exist: create it or choose another path',
    EACCES: 'this user may not listen there',
  });
}
