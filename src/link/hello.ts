// The first record of either side: who speaks, for which VM, and in which versions. JSON, so that a reader of a capture
// and a later version can make sense of it; checked field by field, as it may come from anybody.

/** What this program speaks. Version 1 is what docs/LINK.md describes. */
export const LINK_VERSION = { min: 1, max: 1 } as const;
/** A longer HELLO ends the connection. */
export const MAX_HELLO_BYTES = 4096;
const MAX_FEATURES = 32;

export type LinkRole = 'primary' | 'secondary';

export interface Hello {
  /** Versions of the link that are spoken, both included. */
  readonly versions: { readonly min: number; readonly max: number };
  /** What is understood beyond the version: each is used when both sides name it. */
  readonly features: readonly string[];
  readonly vm: string;
  /** What the connection carries: one of each kind per VM. */
  readonly kind: string;
  readonly role: LinkRole;
  /** Counts changes of roles. */
  readonly generation: number;
  /** Of a secondary: its number of checkpoints. */
  readonly epoch: number;
  /** UUID of the process. */
  readonly process: string;
  /** UUID of the memory that outlives it. */
  readonly memory?: string;
  /** Of a secondary that sends digests: their key, in hex. */
  readonly digestKey?: string;
}

/** Why a connection is refused. The word is counted on both sides, and is part of the protocol. */
export const REFUSALS = ['malformed', 'version', 'vm', 'kind', 'role', 'generation', 'busy'] as const;
export type RefusalWord = (typeof REFUSALS)[number];

export interface Refusal {
  readonly word: RefusalWord;
  /** What is wrong, and what to do. */
  readonly text: string;
}

export function encodeHello(hello: Hello): Uint8Array {
  return utf8(JSON.stringify(hello));
}

/** What a HELLO says, or what is wrong with it. Names that are not known are passed by: a later version has more. */
export function parseHello(buf: Buffer, off: number, bytes: number): Hello | string {
  if (bytes > MAX_HELLO_BYTES) return `it has ${bytes} bytes, more than ${MAX_HELLO_BYTES}`;
  let said: unknown;
  try {
    said = JSON.parse(buf.toString('utf8', off, off + bytes));
  } catch {
    return 'it is no JSON';
  }
  if (typeof said !== 'object' || said === null || Array.isArray(said)) return 'it is no JSON object';
  const { versions, features, vm, kind, role, generation, epoch, process, memory, digestKey } = said as Record<
    string,
    unknown
  >;
  const { min, max } = (typeof versions === 'object' && versions !== null ? versions : {}) as Record<string, unknown>;
  if (!isNumber(min, 0xffff) || !isNumber(max, 0xffff) || min > max) return 'versions';
  if (!isFeatures(features)) return 'features';
  if (!isName(vm)) return 'vm';
  if (!isName(kind)) return 'kind';
  if (role !== 'primary' && role !== 'secondary') return 'role';
  if (!isNumber(generation, 0xffffffff)) return 'generation';
  if (!isNumber(epoch, 0xffffffff)) return 'epoch';
  if (!isUuid(process)) return 'process';
  if (memory !== undefined && !isUuid(memory)) return 'memory';
  const known = { versions: { min, max }, features, vm, kind, role, generation, epoch, process } as const;
  const hello = memory === undefined ? known : { ...known, memory };
  if (digestKey === undefined) return hello;
  if (typeof digestKey !== 'string' || !/^([0-9a-f]{2}){16,64}$/.test(digestKey)) return 'digestKey';
  return { ...hello, digestKey };
}

/** Why a peer that says `theirs` is not the other side of `mine`. */
export function refusalOf(mine: Hello, theirs: Hello): Refusal | undefined {
  const { min, max } = theirs.versions;
  if (min > mine.versions.max || max < mine.versions.min) {
    const text = `versions ${min} to ${max} of the link are spoken there, ${mine.versions.min} to ${mine.versions.max} here: update the older of both`;
    return { word: 'version', text };
  }
  if (theirs.vm !== mine.vm) {
    return { word: 'vm', text: `it is for the VM '${theirs.vm}', not '${mine.vm}': use the same name on both hosts` };
  }
  if (theirs.kind !== mine.kind) return { word: 'kind', text: `it carries '${theirs.kind}', not '${mine.kind}'` };
  if (theirs.role === mine.role) {
    const text = `both sides are ${mine.role} of '${mine.vm}': one has to be the other role`;
    return { word: 'role', text };
  }
  if (theirs.generation === mine.generation) return undefined;
  const text = `roles have changed ${theirs.generation} times there, ${mine.generation} times here: one side has not heard of a failover`;
  return { word: 'generation', text };
}

/** The payload of a REFUSE. */
export function encodeRefusal({ word, text }: Refusal): Uint8Array {
  return utf8(`${word}: ${text}`.slice(0, MAX_HELLO_BYTES / 4));
}

/** A word that is not known is a later version's: the text says what is meant. */
export function parseRefusal(buf: Buffer, off: number, bytes: number): { word: RefusalWord | undefined; text: string } {
  const said = printable(buf.toString('utf8', off, off + Math.min(bytes, MAX_HELLO_BYTES)));
  const [, word, text] = /^([a-z]+): (.*)$/.exec(said) ?? [undefined, '', said];
  return { word: REFUSALS.find((one) => one === word), text: text! };
}

/** Of a stranger: nothing that could confuse a terminal. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 1024);
}

function isNumber(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[\w.-]{1,64}$/.test(value);
}

function isUuid(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value);
}

function isFeatures(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MAX_FEATURES && value.every(isName);
}

function utf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}
