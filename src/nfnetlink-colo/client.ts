// The controller's and the tools' side of the channel: writes requests, reads what comes back. No I/O; one datagram is
// one array.

import { MessageBuilder } from '../netlink/builder';
import { buildColo1Command, Colo1Type, readColo1Notice } from '../netlink/colo-generation1';
import {
  beginColo2Command,
  buildColo2Command,
  COLO_ATTR_DETACHED,
  COLO_SUBSYSTEM,
  Colo2Message,
  Colo2Type,
  type ColoMode,
} from '../netlink/colo-generation2';
import { Errno } from '../netlink/errno';
import { NetlinkError } from '../netlink/error';
import { type ErrorMessage, readError } from '../netlink/error-message';
import { MessageReader } from '../netlink/message';
import { nfnlOperation, nfnlSubsystem } from '../netlink/nfnetlink';
import { ControlType } from '../netlink/uapi';
import { MAX_REPLY_BYTES, MAX_REQUEST_BYTES } from './limits';
import { buildOwnRequest, OWN_REPORTS, OWN_TYPE_MIN, OwnMessage, OwnType } from './own-messages';

export interface RequestOptions {
  /** nlmsg_pid. Generation 2: the node's key. On a Unix socket the node's index, 0 for the only one. */
  readonly pid: number;
  /** Comes back in the answer. */
  readonly seq?: number;
  /** Whether success is to be answered too (errors always are). */
  readonly ack?: boolean;
}

function encode(write: (b: MessageBuilder) => MessageBuilder, bytes = 64): Uint8Array {
  return write(new MessageBuilder(new Uint8Array(bytes), 0, 'encode request')).finish();
}

/** Generation 1; over netlink the sender's own port id names the node, whatever `pid` is. */
export const generation1 = {
  init: (o: RequestOptions) => command1(Colo1Type.PROXY_INIT, { ack: true, ...o }),
  checkpoint: (o: RequestOptions) => command1(Colo1Type.CHECKPOINT, o),
  failover: (o: RequestOptions) => command1(Colo1Type.FAILOVER, o),
  reset: (o: RequestOptions) => command1(Colo1Type.PROXY_RESET, o),
  /** Asks whether a checkpoint is wanted; the answer is a notice. */
  query: (o: RequestOptions) => command1(Colo1Type.QUERY_CHECKPOINT, o),
} as const;

function command1(type: Colo1Type, { pid, seq = 0, ack = false }: RequestOptions): Uint8Array {
  return encode((b) => buildColo1Command(b, type, pid, ack, seq));
}

/** Generation 2. `mode` must be the node's. */
export const generation2 = {
  /** `detached`: the node lasts although this controller goes away (ours; the original has no such thing). */
  init(
    mode: ColoMode,
    { pid, seq = 0, ack = true, detached = false }: RequestOptions & { detached?: boolean },
  ): Uint8Array {
    return encode((b) => {
      beginColo2Command(b, Colo2Type.PROXY_INIT, mode, pid, ack, seq);
      if (detached) b.u8(COLO_ATTR_DETACHED, 1);
      return b.end();
    });
  },
  checkpoint: (mode: ColoMode, o: RequestOptions) => command2(Colo2Type.DO_CHECKPOINT, mode, o),
  failover: (mode: ColoMode, o: RequestOptions) => command2(Colo2Type.DO_FAILOVER, mode, o),
  reset: (mode: ColoMode | undefined, o: RequestOptions) => command2(Colo2Type.PROXY_RESET, mode, o),
} as const;

function command2(
  type: Colo2Type,
  mode: ColoMode | undefined,
  { pid, seq = 0, ack = false }: RequestOptions,
): Uint8Array {
  return encode((b) => buildColo2Command(b, type, mode, pid, ack, seq));
}

export interface OwnOptions {
  /** undefined: all nodes (status, stats), or the only one. */
  readonly node?: number | undefined;
  readonly seq?: number;
}

/** Our own requests. */
export const own = {
  status: (o: OwnOptions = {}) => request(OwnType.STATUS, o),
  stats: (o: OwnOptions = {}) => request(OwnType.STATS, o),
  release: (o: OwnOptions = {}) => request(OwnType.RELEASE, o),
  leave: (o: OwnOptions = {}) => request(OwnType.LEAVE, o),
  bypassList: (o: OwnOptions = {}) => request(OwnType.BYPASS_LIST, o),
  bypassAdd: (rule: object, o: OwnOptions = {}) => request(OwnType.BYPASS_ADD, o, rule),
  bypassRemove: (rule: object, o: OwnOptions = {}) => request(OwnType.BYPASS_REMOVE, o, rule),
  bypassFlush: (o: OwnOptions = {}) => request(OwnType.BYPASS_FLUSH, o),
} as const;

/**
 * Success of what brings nothing back is always answered. Throws NetlinkError (EMSGSIZE) for a rule that is too long to
 * be sent.
 */
function request(type: OwnType, { node, seq = 0 }: OwnOptions, value?: object): Uint8Array {
  const json = value === undefined ? undefined : Buffer.from(JSON.stringify(value), 'utf8');
  return encode((b) => buildOwnRequest(b, type, node, json, 0, !OWN_REPORTS.has(type), seq), MAX_REQUEST_BYTES);
}

export type ClientEvent =
  /** A checkpoint is wanted; or, as the answer to a generation-1 question, not. */
  | {
      readonly kind: 'notice';
      readonly generation: 1 | 2;
      readonly wanted: boolean;
      readonly pid: number;
      readonly seq: number;
    }
  | ({ readonly kind: 'result' } & ErrorMessage)
  | {
      readonly kind: 'part';
      readonly type: OwnType;
      readonly seq: number;
      readonly total: number;
      readonly offset: number;
      /** A view of the datagram. */
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'done'; readonly seq: number }
  | { readonly kind: 'unknown'; readonly type: number }
  | { readonly kind: 'broken'; readonly error: NetlinkError };

/** The events of one datagram from the daemon. */
export function readDatagram(bytes: Uint8Array): ClientEvent[] {
  const events: ClientEvent[] = [];
  const message = new MessageReader(bytes, 0, bytes.length, 'decode answer');
  while (message.next()) events.push(readEvent(bytes, message));
  if (message.error !== undefined) events.push({ kind: 'broken', error: message.error });
  return events;
}

function readEvent(bytes: Uint8Array, message: MessageReader): ClientEvent {
  const { type, seq, pid } = message;
  if (type === ControlType.ERROR) {
    const error = readError(bytes, message);
    return error === undefined ? broken('an error without its errno', message) : { kind: 'result', ...error };
  }
  if (type === ControlType.DONE) return { kind: 'done', seq };
  if (type === Colo1Type.QUERY_CHECKPOINT) {
    const wanted = readColo1Notice(bytes, message);
    return wanted === undefined
      ? broken('a notice without its byte', message)
      : { kind: 'notice', generation: 1, wanted, pid, seq };
  }
  if (nfnlSubsystem(type) !== COLO_SUBSYSTEM) return { kind: 'unknown', type };
  const operation = nfnlOperation(type);
  if (operation === Colo2Type.KERNEL_NOTIFY) {
    const notice = new Colo2Message();
    const error = notice.readNotice(bytes, message);
    if (error !== undefined) return { kind: 'broken', error };
    return { kind: 'notice', generation: 2, wanted: (notice.compareResult ?? 0) !== 0, pid, seq };
  }
  if (operation < OWN_TYPE_MIN) return { kind: 'unknown', type };
  const part = new OwnMessage();
  const error = part.read(bytes, message);
  if (error !== undefined) return { kind: 'broken', error };
  const { total, offset, json = new Uint8Array(0) } = part;
  return { kind: 'part', type: operation as OwnType, seq, total, offset, bytes: json };
}

function broken(what: string, message: MessageReader): ClientEvent {
  return { kind: 'broken', error: new NetlinkError('decode answer', Errno.EPROTO, what, message.start) };
}

/** Puts the parts of one JSON reply together. */
export class JsonReply {
  private readonly parts: Uint8Array[] = [];
  private bytes = 0;
  private total = 0;

  /** To be given the reply's parts in order of arrival. Throws NetlinkError (EPROTO) when one is missing. */
  add({ offset, total, bytes }: Extract<ClientEvent, { kind: 'part' }>): void {
    if (offset !== this.bytes || total > MAX_REPLY_BYTES || offset + bytes.length > total) {
      throw new NetlinkError('read reply', Errno.EPROTO, `a part at ${offset} of ${total}, expected at ${this.bytes}`);
    }
    this.total = total;
    this.bytes += bytes.length;
    this.parts.push(Uint8Array.from(bytes));
  }

  /** At the end of the reply. Throws NetlinkError (EPROTO) when something is missing or is no JSON. */
  finish(): unknown {
    if (this.parts.length === 0 || this.bytes !== this.total) {
      throw new NetlinkError('read reply', Errno.EPROTO, `the reply ended after ${this.bytes} of ${this.total} bytes`);
    }
    try {
      return JSON.parse(Buffer.concat(this.parts).toString('utf8')) as unknown;
    } catch {
      throw new NetlinkError('read reply', Errno.EPROTO, 'the reply is no JSON');
    }
  }
}
