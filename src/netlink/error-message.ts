// NLMSG_ERROR and NLMSG_DONE: struct nlmsgerr, an echo of the request, and further attributes. <linux/netlink.h>

import { AttributeReader } from './attributes';
import type { MessageBuilder } from './builder';
import { HOST_LITTLE_ENDIAN, readU32 } from './byte-order';
import type { MessageReader } from './message';
import { align4, ControlType, ErrorAttribute, MessageFlag, NLMSG_HDRLEN } from './uapi';

/** The request that is being answered: the message at `start` of `buf`, of which `bytes` are known to be there. */
export interface Request {
  buf: Uint8Array;
  start: number;
  bytes: number;
}

/**
 * Answers a request as the kernel does: result 0 echoes the header alone, an error echoes the whole message. An echo
 * that was cut although there is an error is marked with NLM_F_CAPPED. A `why` adds NLMSGERR_ATTR_MSG, which only
 * clients of today understand.
 */
export function buildError(
  b: MessageBuilder,
  request: Request,
  result: number,
  pid: number,
  maxEchoBytes: number,
  why?: string,
): MessageBuilder {
  const { buf, start } = request;
  const echo = result === 0 || request.bytes > maxEchoBytes ? NLMSG_HDRLEN : request.bytes;
  let flags = result !== 0 && echo < request.bytes ? MessageFlag.CAPPED : 0;
  if (why !== undefined) flags |= MessageFlag.ACK_TLVS;
  const seq = readU32(buf, start + 8, HOST_LITTLE_ENDIAN);
  b.begin(ControlType.ERROR, flags, seq, pid).rawU32(result >>> 0);
  b.raw(buf.subarray(start, start + echo));
  if (why !== undefined) b.text(ErrorAttribute.MSG, why);
  return b.end();
}

/** Ends a reply of several messages. */
export function buildDone(b: MessageBuilder, seq: number, pid: number): MessageBuilder {
  return b.begin(ControlType.DONE, MessageFlag.MULTI, seq, pid).rawU32(0).end();
}

export interface ErrorMessage {
  /** 0 or a negative errno. */
  result: number;
  requestType: number;
  requestSeq: number;
  requestPid: number;
  /** The text of NLMSGERR_ATTR_MSG. */
  why?: string;
}

/** Reads an NLMSG_ERROR on which the reader stands; undefined when it is too short to be one. */
export function readError(buf: Uint8Array, message: MessageReader): ErrorMessage | undefined {
  const { payload, end } = message;
  if (end - payload < 4 + NLMSG_HDRLEN) return undefined;
  const echo = payload + 4;
  const error: ErrorMessage = {
    result: readU32(buf, payload, HOST_LITTLE_ENDIAN) | 0,
    requestType: readU32(buf, echo + 4, HOST_LITTLE_ENDIAN) & 0xffff,
    requestSeq: readU32(buf, echo + 8, HOST_LITTLE_ENDIAN),
    requestPid: readU32(buf, echo + 12, HOST_LITTLE_ENDIAN),
  };
  if ((message.flags & MessageFlag.ACK_TLVS) === 0) return error;
  const capped = error.result === 0 || (message.flags & MessageFlag.CAPPED) !== 0;
  const echoBytes = capped ? NLMSG_HDRLEN : readU32(buf, echo, HOST_LITTLE_ENDIAN);
  if (echoBytes > end - echo) return error;
  const attributes = new AttributeReader('decode error').reset(buf, echo + align4(echoBytes), end);
  while (attributes.next()) if (attributes.type === ErrorAttribute.MSG) error.why = attributes.text();
  return error;
}
