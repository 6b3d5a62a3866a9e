// Where a character device stands, as an operator writes it: `unix:PATH[,server][,reconnect=SECONDS]`,
// `tcp:HOST:PORT[,...]`.

import { isIPv6 } from 'node:net';
import { OperatorError } from '../../core/errors';

export interface Endpoint {
  kind: 'unix' | 'tcp';
  /** Of a Unix socket; '' for TCP. */
  path: string;
  /** A name or an address without brackets; '' for a Unix socket, and for a TCP server on all addresses. */
  host: string;
  /** 0 for a Unix socket, and for a TCP server on any free port. */
  port: number;
  server: boolean;
  /** A client dials again so long after its connection ended; 0: never. */
  reconnectMs: number;
}

/** sockaddr_un.sun_path, less the NUL. */
const MAX_PATH_BYTES = 107;
const MAX_RECONNECT_MS = 3_600_000;
const ALLOWED =
  'write unix:PATH or tcp:HOST:PORT (an IPv6 address in brackets), then ,server or ,reconnect=SECONDS if wanted; a comma in a path is doubled';

/** Throws OperatorError (EENDPOINT), which says what is wrong and what is allowed. */
export function parseEndpoint(text: string): Endpoint {
  const wrong = (what: string) => new OperatorError('EENDPOINT', `endpoint '${text}': ${what}`, ALLOWED);
  const { words, open } = splitCommas(text);
  if (open) throw wrong('it ends in a comma');
  const [where, ...options] = words;
  const endpoint: Endpoint = { kind: 'unix', path: '', host: '', port: 0, server: false, reconnectMs: 0 };
  for (const option of options) {
    const seconds = /^reconnect=(.*)$/.exec(option)?.[1];
    if (option === 'server') endpoint.server = true;
    else if (seconds !== undefined) endpoint.reconnectMs = reconnectMs(seconds, wrong);
    else throw wrong(`'${option}' is no option of it`);
  }
  if (endpoint.server && endpoint.reconnectMs > 0) throw wrong('a server does not reconnect');
  const [, kind, rest] = /^(unix|tcp):(.*)$/s.exec(where!) ?? [];
  if (kind === undefined) throw wrong('it begins with neither unix: nor tcp:');
  if (kind === 'unix') return { ...endpoint, path: path(rest!, wrong) };
  return { ...endpoint, kind: 'tcp', ...hostAndPort(rest!, endpoint.server, wrong) };
}

/** The shortest text that parseEndpoint() takes for the same. */
export function formatEndpoint(e: Endpoint): string {
  const host = e.host.includes(':') ? `[${e.host}]` : e.host;
  const where = e.kind === 'unix' ? `unix:${e.path.replaceAll(',', ',,')}` : `tcp:${host}:${e.port}`;
  return `${where}${e.server ? ',server' : ''}${e.reconnectMs > 0 ? `,reconnect=${e.reconnectMs / 1000}` : ''}`;
}

type Wrong = (what: string) => OperatorError;

/** At single commas; a doubled one stands for itself. */
function splitCommas(text: string): { words: string[]; open: boolean } {
  const words = [''];
  for (let i = 0; i < text.length; i++) {
    const comma = text[i] === ',';
    if (comma && text[i + 1] !== ',') {
      words.push('');
    } else {
      if (comma) i++;
      words[words.length - 1] += text[i];
    }
  }
  return { words, open: words.length > 1 && words.at(-1) === '' };
}

function reconnectMs(text: string, wrong: Wrong): number {
  const ms = /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : 0;
  if (ms < 1 || ms > MAX_RECONNECT_MS) {
    throw wrong(`reconnect is '${text}', not a number of seconds between 0.001 and ${MAX_RECONNECT_MS / 1000}`);
  }
  return ms;
}

function path(text: string, wrong: Wrong): string {
  if (text === '') throw wrong('the path is missing');
  if (text.includes('\0')) throw wrong('the path holds a NUL');
  if (Buffer.byteLength(text) > MAX_PATH_BYTES) throw wrong(`the path is longer than ${MAX_PATH_BYTES} bytes`);
  return text;
}

function hostAndPort(text: string, server: boolean, wrong: Wrong): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^[\]]*)):([^:]*)$/.exec(text) ?? [];
  if (digits === undefined) throw wrong('it is no HOST:PORT');
  if (bracketed !== undefined && !isIPv6(bracketed)) throw wrong(`[${bracketed}] is no IPv6 address`);
  if (plain?.includes(':')) throw wrong('an IPv6 address stands in brackets');
  const host = bracketed ?? plain!;
  if (host === '' && !server) throw wrong('the host is missing');
  if (/[\s\0]/.test(host)) throw wrong('the host holds a space');
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : -1;
  const least = server ? 0 : 1;
  if (port < least || port > 65535) throw wrong(`the port is '${digits}', not a number between ${least} and 65535`);
  return { host, port };
}
