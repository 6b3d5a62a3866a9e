// One question to a running daemon over its Unix socket, and the answer.

import { OperatorError } from '../core/errors';
import { connectSeqpacket } from '../io/seqpacket';
import { errnoName } from '../netlink/errno';
import { type ClientEvent, JsonReply, readDatagram } from '../nfnetlink-colo/client';

const ANSWER_TIMEOUT_MS = 5000;

/** Meaning of an errno without text, and what to do, by its name. */
export type Refusals = Readonly<Record<string, readonly [meaning: string, todo: string]>>;

/** Sends a request and resolves with the JSON of the reply, or undefined for a plain acknowledgement. */
export function ask(path: string, request: Uint8Array, refusals: Refusals = {}): Promise<unknown> {
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
        else fail(refused(event.result, event.why, { ...REFUSALS, ...refusals }));
      } else if (event.kind === 'broken') {
        fail(new OperatorError('EPROTO', `the daemon's answer cannot be read: ${event.error.message}`));
      }
    };
    const client = connectSeqpacket(
      path,
      {
        onMessage: (bytes) => {
          for (const event of readDatagram(Uint8Array.from(bytes))) onEvent(event);
        },
        onClose: (error) =>
          fail(error ?? new OperatorError('ECONNRESET', `the daemon closed ${path} before it answered`)),
      },
      ANSWER_TIMEOUT_MS,
    );
    const timer = setTimeout(
      () =>
        fail(
          new OperatorError(
            'ETIMEDOUT',
            `no answer on ${path} within ${ANSWER_TIMEOUT_MS / 1000} s`,
            "see the daemon's log",
          ),
        ),
      ANSWER_TIMEOUT_MS,
    );
    client.send(request);
  });
}

function refused(errno: number, words: string | undefined, refusals: Refusals): OperatorError {
  const name = errnoName(errno);
  if (words !== undefined) return new OperatorError(name, `the daemon refused: ${words}`);
  const [meaning, todo] = refusals[name] ?? [name, undefined];
  return new OperatorError(name, `the daemon refused: ${meaning}`, todo);
}

const REFUSALS: Refusals = {
  EPERM: ['not permitted', 'run it as root or as a uid of control.allowUids'],
};
