// The commands of a netdev's control socket: one JSON object in, one out, in QMP's form.

import { OperatorError } from '../../core/errors';
import { parseStatus } from './filter-options';

/** The controlled part of a netdev. */
export interface Controlled {
  checkpoint(): void;
  failover(): boolean;
  setStatus(id: string, on: boolean): void;
  report(): Record<string, unknown>;
}

export interface Reply {
  return?: Record<string, unknown>;
  error?: { class: string; desc: string };
  id?: unknown;
}

/** Never throws, whatever the line. */
export function execute(netdev: Controlled, line: string): Reply {
  let request: Record<string, unknown>;
  try {
    request = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return failed('JSON parse error');
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request))
    return failed('QMP input must be a JSON object');
  const { id } = request;
  let reply: Reply;
  try {
    reply = answer(netdev, request);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    reply = failed(error.message);
  }
  return id === undefined ? reply : { ...reply, id };
}

function answer(netdev: Controlled, request: Record<string, unknown>): Reply {
  const { execute: name, arguments: given = {} } = request;
  if (typeof name !== 'string') return failed("QMP input lacks member 'execute'");
  if (typeof given !== 'object' || given === null) return failed("QMP input member 'arguments' must be an object");
  const args = given as Record<string, unknown>;
  switch (name) {
    case 'checkpoint':
      netdev.checkpoint();
      return { return: {} };
    case 'failover':
      // A second failover (--qmp may have been first) is no error.
      return { return: { already: !netdev.failover() } };
    case 'filter-set':
      netdev.setStatus(text(args, 'id'), parseStatus(text(args, 'status')));
      return { return: {} };
    case 'query':
      return { return: netdev.report() };
    default:
      return { error: { class: 'CommandNotFound', desc: `The command ${name} has not been found` } };
  }
}

function text(args: Record<string, unknown>, name: string): string {
  const value = args[name];
  if (typeof value !== 'string') throw new OperatorError('EUSAGE', `Parameter '${name}' is missing`);
  return value;
}

function failed(desc: string): Reply {
  return { error: { class: 'GenericError', desc } };
}
