// One question to a running daemon over its Unix socket, and the answer.

import { OperatorError } from '../core/errors';
import { connectSeqpacket } from '../io/seqpacket';
import { errnoName } from '../netlink/errno';
import { type ClientEvent, JsonReply, readDatagram } from '../nfnetlink-colo/client';

const ANSWER_TIMEOUT_MS = 5000;

/** Sends a request and resolves with the JSON of the reply, or undefined for a plain acknowledgement. */
export function ask(path: string, request: Uint8Array): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const reply = new JsonReply();
    let parts = 0;
    const finish = (act: () => void): void => {
      clearTimeout(timer);
      client.close();
      act();
    };
    const fail = (error: Error): void => finish(() => reject(error));
    const onEvent = (event: ClientEvent): void => {
      if (event.kind === 'part') {
        reply.add(event);
        parts++;
      } else if (event.kind === 'done') {
        finish(() => resolve(parts === 0 ? undefined : reply.finish()));
      } else if (event.kind === 'result') {
        if (event.result === 0) finish(() => resolve(undefined));
        else fail(refused(event.result, event.why));
      } else if (event.kind === 'broken') {
        fail(new OperatorError('EPROTO', `the daemon's answer cannot be read: ${event.error.message}`));
      }
    };
    const client = connectSeqpacket(path, {
      onMessage: (bytes) => {
        for (const event of readDatagram(Uint8Array.from(bytes))) onEvent(event);
      },
      onClose: (error) => fail(error ?? new OperatorError('ECONNRESET', `the daemon closed ${path} before it answered`)),
    });
    const timer = setTimeout(
      () => fail(new OperatorError('ETIMEDOUT', `no answer on ${path} within ${ANSWER_TIMEOUT_MS / 1000} s`, 'see the daemon\'s log')),
      ANSWER_TIMEOUT_MS,
    );
    client.send(request);
  });
}

function refused(errno: number, message: string | undefined): OperatorError {
  const name = errnoName(errno);
  return new OperatorError(name, `the daemon refused: ${message ?? EXPLANATIONS[name] ?? name}`, HINTS[name]);
}

const EXPLANATIONS: Record<string, string> = {
  EPERM: 'not permitted, or not for this role',
  EEXIST: 'exists already, or there is no such node',
  EINVAL: 'the message does not fit the node',
};

const HINTS: Record<string, string> = {
  EPERM: 'speak as root or as a uid of control.allowUids; failover is for a secondary only',
  EEXIST: 'compare --node and --mode with `colo status`',
  EINVAL: 'the mode must be that of the node: `colo status` shows it',
};
