// The key of the link: a file that both hosts have. Whoever knows it is the other host, so nobody else may read it; and
// it must be drawn by a machine, because who sees a handshake can try keys at leisure.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { OperatorError } from '../core/errors';
import { type Endpoint, formatEndpoint } from '../io/stream/endpoint';

const MIN_KEY_BYTES = 16;
const MAX_KEY_BYTES = 256;
const MAX_FILE_BYTES = 4096;

/** Throws OperatorError (ELINKKEY). */
export function readLinkKey(path: string, user = process.geteuid!()): Buffer {
  const wrong = (what: string, hint: string) => new OperatorError('ELINKKEY', `key file ${path}: ${what}`, hint);
  const make = `make one by \`(umask 077; openssl rand -hex 32 > ${path})\`, and copy it to the other host`;
  let fd: number;
  try {
    // A pipe would wait for a writer.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw wrong((cause as Error).message, make);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw wrong('it is no regular file', make);
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
      throw wrong(
        `its mode is ${mode}: others than its owner may use it`,
        `chmod 0600 ${path}, and draw a new key if others had read it`,
      );
    }
    if (stat.uid !== user && stat.uid !== 0) {
      throw wrong(`it belongs to user ${stat.uid}, who may change it`, `chown ${user} ${path}`);
    }
    if (stat.size > MAX_FILE_BYTES) throw wrong(`it has ${stat.size} bytes, which is no key`, make);
    const key = decode(readFileSync(fd, 'latin1').trim());
    if (key === undefined) throw wrong('it holds neither hex nor base64', make);
    if (key.length < MIN_KEY_BYTES || key.length > MAX_KEY_BYTES) {
      throw wrong(`the key has ${key.length} bytes, not ${MIN_KEY_BYTES} to ${MAX_KEY_BYTES}`, make);
    }
    return key;
  } finally {
    closeSync(fd);
  }
}

function decode(text: string): Buffer | undefined {
  if (/^([0-9a-fA-F]{2})+$/.test(text)) return Buffer.from(text, 'hex');
  if (/^[\w+/-]+={0,2}$/.test(text)) return Buffer.from(text, 'base64');
  return undefined;
}

/**
 * Throws OperatorError (ELINKOPEN) where what the link says could be read, and its peer played, by anybody on the
 * network. True: the operator has said that this is so.
 */
export function checkCarriage(endpoint: Endpoint, key: Buffer | undefined, insecure: boolean): boolean {
  const { kind, host } = endpoint;
  const where = formatEndpoint({ ...endpoint, server: false });
  if (kind === 'unix') {
    if (key === undefined) return false;
    const hint = 'leave the key out: the modes of the socket and of its directory say who may connect';
    throw new OperatorError('ELINKOPEN', `link at ${where}: a key is for TCP`, hint);
  }
  if (key !== undefined || isLoopback(host)) return false;
  if (insecure) return true;
  const hint = 'give both hosts the same key file; `insecure: true` goes without one on a network that you trust';
  throw new OperatorError(
    'ELINKOPEN',
    `link at ${where}: without a key anybody on the network could be the other host`,
    hint,
  );
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
