// The control channel: takes datagrams of controllers and tools, answers them, and notifies controllers that a
// checkpoint is wanted. It has the role of the kernel module nfnetlink_colo, for both generations of messages and on
// any carrier. No I/O here: datagrams, the time and the answers come and go through the interfaces of peer.ts and of a
// node's controller.

import { MessageBuilder } from '../netlink/builder';
import { buildColo1Notice, isColo1Type } from '../netlink/colo-generation1';
import { buildColo2Notice, COLO_SUBSYSTEM } from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import { buildDone, buildError, type Request } from '../netlink/error-message';
import { MessageReader } from '../netlink/message';
import { nfnlOperation, nfnlSubsystem } from '../netlink/nfnetlink';
import { MessageFlag, NLMSG_HDRLEN, NLMSG_MIN_TYPE } from '../netlink/uapi';
import type { NodeControl } from '../node/controller';
import { Claims } from './claims';
import { ANSWERED, type ControlContext } from './context';
import { ControlCounters } from './counters';
import { handleGeneration1 } from './generation1';
import { handleGeneration2 } from './generation2';
import {
  MAX_ECHO_BYTES,
  MAX_MESSAGES_PER_DATAGRAM,
  MAX_REPLY_BYTES,
  MAX_REQUEST_BYTES,
  MAX_WHY_CHARACTERS,
  PART_BYTES,
  PROBE_PERIOD_MS,
} from './limits';
import { type ControlNode, type NodeConfig, NodeTable } from './node-table';
import { Outbox } from './outbox';
import { handleOwn } from './own-handler';
import { buildOwnReply, OWN_TYPE_MIN, type OwnType } from './own-messages';
import type { Address, Carrier, PortProbe, Sender } from './peer';
import { errnoOf, type Outcome, type Result, wordsOf } from './results';
import { type SavedState, saveState } from './saved-state';

export interface ControlOptions {
  readonly nodes: readonly NodeConfig[];
  readonly actions: NodeControl;
  readonly carriers: Partial<Record<Address['carrier'], Carrier>>;
  readonly probe: PortProbe;
  /** Who may speak, besides uid 0. */
  readonly allowUids: readonly number[];
  /**
   * save() would give something else than before, something that a successor needs. Called seldom; never for a notice.
   */
  readonly onChange?: () => void;
}

export class ControlChannel implements ControlContext {
  readonly counters = new ControlCounters();
  readonly table: NodeTable;
  readonly claims: Claims;
  readonly actions: NodeControl;
  lastRefused: { uid: number | null; pid: number } | undefined;

  private readonly outbox: Outbox;
  private readonly allowUids: ReadonlySet<number>;
  private readonly onChange: () => void;
  private readonly reader = new MessageReader(new Uint8Array(0), 0, 0, 'control message');
  private readonly builder = new MessageBuilder(new Uint8Array(PART_BYTES + 1024));
  private nextProbeMs = 0;

  constructor({ nodes, actions, carriers, probe, allowUids, onChange = () => {} }: ControlOptions) {
    this.actions = actions;
    this.onChange = onChange;
    this.table = new NodeTable(nodes);
    this.outbox = new Outbox(carriers, this.counters);
    this.allowUids = new Set([0, ...allowUids]);
    this.claims = new Claims(this.table, actions, probe, this.counters, onChange);
  }

  /**
   * True when answers wait for a slow reader or notices for a controller: call flush() within some ten milliseconds.
   */
  get busy(): boolean {
    return this.outbox.busy || this.table.nodes.some((node) => node.noticePending && node.claim?.address !== undefined);
  }

  /** Whether this user may speak. */
  allows(uid: number): boolean {
    return this.allowUids.has(uid);
  }

  /** One datagram: the `bytes` bytes at `off` of `buf`. Never throws for what is in it. */
  receive(buf: Uint8Array, off: number, bytes: number, sender: Sender): void {
    this.counters.add('datagrams');
    const { address, uid, pid } = sender;
    // Port 0 is the kernel, which sends nothing meaningful here.
    if (address.carrier === 'netlink' && address.portId === 0) return;
    if (uid === undefined || !this.allows(uid)) {
      this.counters.add('refused');
      this.lastRefused = { uid: uid ?? null, pid };
      this.refuse(buf, off, bytes, sender, -Errno.EPERM);
      return;
    }
    if (bytes > MAX_REQUEST_BYTES) {
      this.refuse(buf, off, bytes, sender, this.malformed());
      return;
    }
    const { reader } = this;
    reader.reset(buf, off, off + bytes);
    for (let messages = 0; reader.next(); messages++) {
      const request: Request = { buf, start: reader.start, bytes: reader.length };
      if (messages === MAX_MESSAGES_PER_DATAGRAM) {
        this.answer(sender, request, reader.pid, this.malformed());
        return;
      }
      this.handle(buf, request, sender);
    }
    const { error } = reader;
    if (error !== undefined) this.refuse(buf, error.offset, off + bytes - error.offset, sender, this.malformed());
  }

  /** A datagram of a user who may not speak, and has been refused often enough: not looked at, and not answered. */
  leaveUnread({ uid, pid }: Sender): void {
    this.counters.add('datagrams');
    this.counters.add('refused');
    this.counters.add('refused_unread');
    this.lastRefused = { uid: uid ?? null, pid };
  }

  /** A Unix connection has ended. */
  connectionClosed(connection: number): void {
    this.outbox.forget({ carrier: 'unix', connection });
    this.claims.connectionClosed(connection);
  }

  /**
   * A checkpoint is wanted: notifies the node's controller, as soon as it can be reached. Once for each wanted
   * checkpoint is enough.
   */
  notify(index: number): void {
    const node = this.table.at(index);
    if (node === undefined) return;
    node.checkpointWanted = true;
    if (node.claim === undefined || node.claim.detached) {
      this.counters.add('notices_unheard');
      return;
    }
    node.noticePending = true;
    if (!this.sendNotice(node)) this.counters.add('notices_delayed');
  }

  /** At least every 500 ms. Losses are noticed here, so controllerLost() is never called from within notify(). */
  tick(nowMs: number): void {
    this.claims.expire(nowMs);
    if (nowMs >= this.nextProbeMs) {
      this.nextProbeMs = nowMs + PROBE_PERIOD_MS;
      this.claims.sweep();
    }
    this.flush();
  }

  /** Sends what could not be sent before; see busy. */
  flush(): void {
    this.outbox.flush();
    for (const node of this.table.nodes) if (node.noticePending) this.sendNotice(node);
  }

  /** What a successor of this daemon has to know; plain JSON. */
  save(): SavedState {
    return saveState(this.table);
  }

  /** Goes on where a former process saved. Says why not, if the state is of no use. Once, before the first datagram. */
  resume(state: unknown, nowMs: number): string | undefined {
    return this.claims.resume(state, nowMs);
  }

  answerQuery({ address }: Sender, seq: number, node: ControlNode): void {
    const pid = address.carrier === 'netlink' ? address.portId : (node.claim?.key ?? 0);
    this.outbox.send(address, buildColo1Notice(this.builder.reset(), node.checkpointWanted, seq, pid).finish());
  }

  answerJson(sender: Sender, request: MessageReader, type: number, value: unknown): number {
    const json = Buffer.from(JSON.stringify(value), 'utf8');
    if (json.length > MAX_REPLY_BYTES) return -Errno.EMSGSIZE;
    const pid = replyPid(sender, request.pid);
    const { seq } = request;
    for (let at = 0; at < json.length; at += PART_BYTES) {
      const part = json.subarray(at, at + PART_BYTES);
      const { builder } = this;
      buildOwnReply(builder.reset(), type as OwnType, seq, pid, json.length, at, part);
      this.outbox.send(sender.address, builder.finish());
    }
    this.outbox.send(sender.address, buildDone(this.builder.reset(), seq, pid).finish());
    return ANSWERED;
  }

  changed(): void {
    this.onChange();
  }

  malformed(): number {
    this.counters.add('malformed');
    return -Errno.EINVAL;
  }

  private handle(buf: Uint8Array, request: Request, sender: Sender): void {
    const { type, flags, pid } = this.reader;
    const wantsAck = (flags & MessageFlag.ACK) !== 0;
    // Answers of others, above all NLMSG_ERROR: to answer those could go on for ever.
    if (type < NLMSG_MIN_TYPE) {
      this.counters.add('ignored');
      return;
    }
    if ((flags & MessageFlag.REQUEST) === 0) {
      this.counters.add('ignored');
      if (wantsAck) this.answer(sender, request, pid, -Errno.EINVAL);
      return;
    }
    const own = nfnlSubsystem(type) === COLO_SUBSYSTEM && nfnlOperation(type) >= OWN_TYPE_MIN;
    const outcome = this.dispatch(buf, type, sender);
    if (outcome instanceof Promise) void this.conclude(outcome, sender, copyOf(request), pid, wantsAck, own);
    else this.finish(outcome, sender, request, pid, wantsAck, own);
  }

  /** What takes time is answered when it is done. The sender may have gone: no connection has its number again. */
  private async conclude(
    outcome: Promise<Result>,
    sender: Sender,
    request: Request,
    pid: number,
    wantsAck: boolean,
    own: boolean,
  ): Promise<void> {
    this.finish(await outcome, sender, request, pid, wantsAck, own);
  }

  private finish(result: Result, sender: Sender, request: Request, pid: number, wantsAck: boolean, own: boolean): void {
    if (errnoOf(result) < 0) {
      this.counters.add('failed');
      this.answer(sender, request, pid, errnoOf(result), own ? wordsOf(result) : undefined);
    } else if (wantsAck && result !== ANSWERED) this.answer(sender, request, pid, 0);
  }

  private dispatch(buf: Uint8Array, type: number, sender: Sender): Outcome {
    if (isColo1Type(type)) {
      this.counters.add('generation1_messages');
      return handleGeneration1(this, this.reader, sender);
    }
    if (nfnlSubsystem(type) !== COLO_SUBSYSTEM) {
      this.counters.add('unknown_type');
      return -Errno.EINVAL;
    }
    if (nfnlOperation(type) >= OWN_TYPE_MIN) {
      this.counters.add('own_messages');
      return handleOwn(this, buf, this.reader, sender);
    }
    this.counters.add('generation2_messages');
    return handleGeneration2(this, buf, this.reader, sender);
  }

  /**
   * Answers bytes that are not (or not yet) known to be a message: at most once, and never what calls itself an answer.
   * What cannot be sent at once to a user who may not speak is not kept, or such users could use up the room for the
   * answers of others.
   */
  private refuse(buf: Uint8Array, off: number, bytes: number, sender: Sender, errno: number): void {
    const header = new Uint8Array(NLMSG_HDRLEN);
    header.set(buf.subarray(off, off + Math.min(bytes, NLMSG_HDRLEN)));
    const { reader } = this;
    reader.reset(header, 0, NLMSG_HDRLEN);
    reader.next();
    const { type, pid, length } = reader;
    const whole = bytes >= NLMSG_HDRLEN;
    if (whole && type < NLMSG_MIN_TYPE) return;
    // Where the length is a lie, one longer than the echo limit: the echo is the header, marked as cut.
    const honest = whole && length >= NLMSG_HDRLEN && length <= bytes;
    const request = honest ? { buf, start: off, bytes: length } : { buf: header, start: 0, bytes: MAX_ECHO_BYTES + 1 };
    if (errno !== -Errno.EPERM) this.answer(sender, request, pid, errno);
    else this.outbox.trySend(sender.address, this.encodeAnswer(sender, request, pid, errno));
  }

  private answer(sender: Sender, request: Request, pid: number, errno: number, why?: string): void {
    this.outbox.send(sender.address, this.encodeAnswer(sender, request, pid, errno, why));
  }

  /** Valid until the builder is used again. */
  private encodeAnswer(sender: Sender, request: Request, pid: number, errno: number, why?: string): Uint8Array {
    const words = why?.slice(0, MAX_WHY_CHARACTERS);
    return buildError(this.builder.reset(), request, errno, replyPid(sender, pid), MAX_ECHO_BYTES, words).finish();
  }

  /** Tries to send a pending notice; true when it is on its way. */
  private sendNotice(node: ControlNode): boolean {
    const { claim } = node;
    if (claim?.address === undefined) return false;
    const builder = this.builder.reset();
    if (claim.generation === 1) buildColo1Notice(builder, true, 0, claim.key);
    else buildColo2Notice(builder, claim.key);
    const result = this.outbox.trySend(claim.address, builder.finish());
    // A port that refuses is probably gone; the next tick looks at once.
    if (result === -Errno.ECONNREFUSED) this.nextProbeMs = 0;
    if (result !== 0) return false;
    node.noticePending = false;
    this.counters.add('notices_sent');
    return true;
  }
}

/** The datagram's buffer is another's soon. */
function copyOf({ buf, start, bytes }: Request): Request {
  // slice() of a Buffer would be the same memory.
  return { buf: Uint8Array.from(buf.subarray(start, start + bytes)), start: 0, bytes };
}

/** nlmsg_pid of an answer: the receiver's port id, as the kernel puts it; on a Unix socket what the request had. */
function replyPid({ address }: Sender, requestPid: number): number {
  return address.carrier === 'netlink' ? address.portId : requestPid;
}
