// `colo qemu ctl PATH ...`: sends commands to the control socket of a running `colo qemu netdev`.

import { connect } from 'node:net';
import type { Command } from 'commander';
import { OperatorError } from '../core/errors';
import { splitPair } from '../qemu/netdev/keyval';
import { printJson } from './output';

const HELP = `
checkpoint                   the guest is stopped and is the primary's copy: the offsets are void
failover                     the primary is dead: offsets in use stay, all filters but the rewriter are switched off;
                             when it was done before (by --qmp), nothing happens, and the exit status is 0
filter-set ID status=on|off  frames skip a filter that is off
query                        ports, devices and filters with their counters, as JSON`;

export function addQemuCtlCommand(group: Command): void {
  group
    .command('ctl')
    .description('control a running netdev: checkpoint, failover, filter-set ID status=on|off, query')
    .argument('<path>', 'its control socket')
    .argument('<words...>', 'one of the commands below')
    .addHelpText('after', HELP)
    .action(async (path: string, words: string[]) => {
      const result = await ask(path, requestOf(words));
      if (words[0] === 'query') printJson(result);
      else console.log(`${words[0]} done${(result as { already?: boolean }).already === true ? ' before' : ''}`);
    });
}

function requestOf([name, ...rest]: string[]): Record<string, unknown> {
  if (name === 'filter-set') {
    const [id, status] = rest;
    const [key, value] = splitPair(status ?? '');
    if (id === undefined || key !== 'status' || rest.length !== 2) throw usage('filter-set wants ID status=on|off');
    return { execute: name, arguments: { id, status: value } };
  }
  if (name !== 'checkpoint' && name !== 'failover' && name !== 'query')
    throw usage(`'${name}' is no command of a netdev`);
  if (rest.length > 0) throw usage(`${name} takes no further words`);
  return { execute: name };
}

function usage(text: string): OperatorError {
  return new OperatorError('EUSAGE', text, 'see `colo qemu ctl --help`');
}

const NO_ANSWER_MS = 10_000;

interface Reply {
  return?: unknown;
  error?: { class: string; desc: string };
}

/** A QEMU greets with a line of its own; other programs send anything. */
function replyOf(line: string): Reply | null {
  try {
    return JSON.parse(line) as Reply | null;
  } catch {
    return null;
  }
}

function ask(path: string, request: Record<string, unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.setEncoding('utf8');
    socket.setTimeout(NO_ANSWER_MS, () => {
      reject(new OperatorError('ETIMEDOUT', `${path}: no answer`));
      socket.destroy();
    });
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (piece) => {
      text += String(piece);
      const end = text.indexOf('\n');
      if (end < 0) return;
      socket.destroy();
      const reply = replyOf(text.slice(0, end));
      if (reply?.error !== undefined) reject(new OperatorError('EREFUSED', reply.error.desc));
      else if (reply?.return !== undefined) resolve(reply.return);
      else reject(new OperatorError('EPROTO', `${path}: no netdev answers there`, "name the netdev's --control"));
    });
    socket.on('end', () => reject(new OperatorError('ECONNRESET', `${path}: closed without an answer`)));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reject(
        new OperatorError(
          error.code ?? 'ECONNECT',
          `connecting to ${path}: ${error.message}`,
          'is the netdev running, with --control?',
        ),
      );
    });
  });
}
