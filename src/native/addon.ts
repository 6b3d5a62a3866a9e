// Loads the C addon and gives its functions their types; the only place that does. Functions return -errno on failure.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../core/errors';
import * as layout from './layout';

/** An open handle of the addon. */
export type Handle = { readonly __handle: unique symbol };

export interface Addon {
  nfqOpen(
    config: Uint32Array,
    netns: string | undefined,
    settings: Uint32Array,
    arena: Uint8Array,
    table: Uint32Array,
    commands: Uint32Array,
    sendArena: Uint8Array,
    onBatch: (count: number) => void,
  ): Handle | number;
  nfqFlush(queue: Handle): number;
  nfqDrain(queue: Handle, most: number): number;
  /** Packets that have come, at most a batch, which are in the queue's memory then. */
  nfqTake(queue: Handle): number;
  /**
   * Compares packets of two batches in turn, from the numbers `from` and `otherFrom` on, and copies the first's to
   * to[at...] (native/core/nfq.h). How many are alike but for their headers, or -errno.
   */
  nfqPairs(
    arena: Uint8Array,
    table: Uint32Array,
    from: number,
    otherArena: Uint8Array,
    otherTable: Uint32Array,
    otherFrom: number,
    packets: number,
    to: Uint8Array,
    at: number,
    differing: Uint32Array,
  ): number;
  nfqPause(queue: Handle, paused: number): number;
  nfqCopyRange(queue: Handle, bytes: number): number;
  nfqClose(queue: Handle): void;
  nfqCounters(queue: Handle, out: Float64Array): void;
  nfqKernelStats(queue: Handle, out: Uint32Array): number;
  nfqSlotBytes(copyRange: number): number;
  nfqLayout: Record<string, number>;

  netlinkOpen(
    protocol: number,
    portId: number,
    groups: Uint32Array,
    receiveBuffer: number,
    netns: string | undefined,
    out: Uint32Array,
  ): number;
  netlinkReceive(fd: number, buffer: Uint8Array, sender: Uint32Array): number;
  netlinkSend(fd: number, buffer: Uint8Array, off: number, bytes: number, portId: number, group: number): number;
  netlinkListOpen(netns: string | undefined): number;
  netlinkPortBound(listFd: number, protocol: number, portId: number): number;

  seqpacketListen(path: string, mode: number, backlog: number, file: Float64Array): number;
  /** Blocks for up to `waitMs` when the server's backlog is full; -EAGAIN after that. */
  seqpacketConnect(path: string, waitMs: number): number;
  seqpacketAccept(fd: number, sender: Uint32Array): number;
  seqpacketReceive(fd: number, buffer: Uint8Array, sender: Uint32Array): number;
  messageSend(fd: number, buffer: Uint8Array, off: number, bytes: number): number;

  /**
   * `filter`: struct sock_filter (linux/filter.h) one after the other; none when empty. `outgoing`: 1 = what leaves by
   * it, too.
   */
  packetOpen(
    name: string,
    ethertype: number,
    netns: string | undefined,
    out: Uint32Array,
    filter: Uint8Array,
    outgoing: number,
  ): number;
  packetReceive(fd: number, buffer: Uint8Array, sender: Uint32Array): number;

  streamListenUnix(path: string, mode: number, backlog: number, file: Float64Array): number;
  streamListenTcp(address: string, port: number, backlog: number): number;
  streamConnectUnix(path: string): number;
  streamConnectTcp(address: string, port: number): number;
  /** 0 connected, -EINPROGRESS not yet, or why not. */
  streamConnected(fd: number): number;
  streamAccept(fd: number): number;
  streamPort(fd: number): number;
  /** TCP_CONGESTION; -ENOENT where the kernel does not have it. */
  streamCongestion(fd: number, name: string): number;
  /** Bytes, 0 at the end. */
  streamReceive(fd: number, buffer: Uint8Array, off: number, room: number): number;
  /** Sends [off, off + bytes) and then [0, more) in one call. */
  streamSend(fd: number, buffer: Uint8Array, off: number, bytes: number, more: number): number;
  /** Waits without sleeping until one of two sockets can be read, for so long at most. 1: it can. */
  streamSpin(first: number, second: number, microseconds: number): number;
  /**
   * Compares length-prefixed frames of a[aFrom, aTo) and b[bFrom, bTo) in turn: differing[i] is how many bytes of frame
   * i, from its start, reach behind the last that differs (native/core/tails.h). Returns how many frames it has
   * compared.
   */
  frameTails(
    a: Uint8Array,
    aFrom: number,
    aTo: number,
    b: Uint8Array,
    bFrom: number,
    bTo: number,
    wordBytes: number,
    differing: Uint32Array,
  ): number;

  tapOpen(name: string, netns: string | undefined, vnetHeaderBytes: number, outName: Uint8Array): number;
  /** Frames, whose [offset, bytes] are in the table. */
  tapRead(fd: number, arena: Uint8Array, table: Uint32Array): number;
  tapWrite(fd: number, buffer: Uint8Array, off: number, bytes: number): number;

  framePortOpen(name: string, netns: string | undefined, outgoing: number, receiveBuffer: number): number;
  /** Frames, whose [offset, bytes] are in the table; `unread[0]` grows by those that could not be read. */
  framePortRead(fd: number, arena: Uint8Array, table: Uint32Array, unread: Uint32Array): number;
  framePortSend(fd: number, buffer: Uint8Array, off: number, bytes: number): number;
  /** Since the last call. */
  framePortLost(fd: number): number;
  framePortEmpty(name: string, netns: string | undefined): number;

  /** Lives as long as it is held; -errno where libcrypto lacks what is needed. */
  digestsOpen(key: Uint8Array): Handle | number;
  /**
   * One digest of DIGEST_BYTES for each `chunk` bytes of buffer[off, off+bytes), to out at outOff
   * (native/core/digest.h). How many, or -errno.
   */
  digestsWrite(
    handle: Handle,
    epoch: number,
    ports: number,
    seq: number,
    buffer: Uint8Array,
    off: number,
    bytes: number,
    chunk: number,
    out: Uint8Array,
    outOff: number,
  ): number;

  /** Removes a server's path, if it still is the file that xxxListen() made. */
  unixUnlink(path: string, file: Float64Array): void;
  closeDescriptor(fd: number): number;
  /**
   * Events: bit 1 readable, 2 writable. Owns the descriptor from now on. `deadly` 1: an exception ends the process
   * (exit code 70).
   */
  pollStart(fd: number, onReady: (events: number) => void, deadly: number): Handle | number;
  pollEvents(handle: Handle, events: number): number;
  pollClose(handle: Handle): void;
  pollReference(handle: Handle, keep: number): void;

  mapFile(path: string, bytes: number): Buffer | number;
  capabilitiesRead(out: BigUint64Array): number;
  capabilitiesPrepare(keep: bigint): number;
  processExec(path: string, argv: string[]): number;
  checksumTransport(buffer: Uint8Array, off: number, bytes: number): number;
  checksumVerify(buffer: Uint8Array, off: number, bytes: number): number;
  checksumComplete(buffer: Uint8Array, off: number, bytes: number): number;
}

/** src/native and dist/native lie equally deep below the package's root. */
const ADDON_PATH = join(__dirname, '..', '..', 'build', 'colo.node');

function load(): Addon {
  if (!existsSync(ADDON_PATH)) {
    throw new OperatorError('ENOADDON', `the native addon ${ADDON_PATH} is not built`, 'run `make build`');
  }
  const addon = require(ADDON_PATH) as Addon;
  for (const [name, value] of Object.entries(addon.nfqLayout)) {
    if ((layout as Record<string, number>)[name] !== value) {
      throw new OperatorError(
        'EADDONLAYOUT',
        `the native addon says ${name} = ${value}, which this program does not`,
        'the addon is of another version: run `make build`',
      );
    }
  }
  return addon;
}

let loaded: Addon | undefined;

/** The addon, loaded at the first use, so that programs that need no kernel run without it. */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}
