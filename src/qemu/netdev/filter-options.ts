// The options of a filter: QEMU's names, defaults and error messages (of 7.2), plus `fail_open` of a redirector and
// `state` and `max_flows` of a rewriter.

import { OperatorError } from '../../core/errors';
import type { Place, Queue } from './filter-chain';
import { isIdentifier, splitOptions, splitPair } from './keyval';

const COMMON = ['type', 'id', 'netdev', 'queue', 'position', 'insert', 'status', 'vnet_hdr_support'];
/** The filters, and the options that only each of them has. */
const OWN = {
  mirror: ['outdev'],
  redirector: ['indev', 'outdev', 'fail_open'],
  rewriter: ['state', 'max_flows'],
} as const;
export type FilterType = keyof typeof OWN;
const TYPES = Object.keys(OWN) as FilterType[];
/** All option names. */
export const FILTER_OPTIONS: readonly string[] = [...new Set([...COMMON, ...Object.values(OWN).flat()])];

export interface FilterOptions {
  type: FilterType;
  id: string;
  queue: Queue;
  place: Place;
  /** undefined: not given, so it is on, but not after a failover. */
  on: boolean | undefined;
  /** Ids of character devices. */
  indev: string | undefined;
  outdev: string | undefined;
  vnetHdrSupport: boolean;
  failOpen: boolean;
  /** A file in which the offsets outlive the process. */
  state: string | undefined;
  maxFlows: number;
}

/** About 380 bytes each, touched on first use; QEMU's own table holds 16384. */
export const DEFAULT_MAX_FLOWS = 65536;
const MOST_FLOWS = 1 << 22;

/** As written, by name. */
export type RawFilter = Readonly<Record<string, string | undefined>>;

/** `mirror,id=m0,queue=tx,outdev=mirror0`, or as for QEMU `filter-mirror,...`. Throws OperatorError. */
export function parseFilter(text: string, netdev: string): FilterOptions {
  const [type, ...parts] = splitOptions(text);
  const raw: Record<string, string> = { type: type!.replace(/^filter-/, '') };
  for (const [name, value] of parts.map(splitPair)) {
    if (name in raw && name !== 'type') throw bad(`Parameter '${name}' is given twice`);
    raw[name] = value;
  }
  return readFilter(raw, netdev);
}

/** `netdev` is the id of the netdev that the filter must be for. Throws OperatorError. */
export function readFilter(raw: RawFilter, netdev: string): FilterOptions {
  const type = TYPES.find((known) => known === raw.type);
  if (type === undefined) {
    throw bad(`Parameter 'qom-type' does not accept value '${raw.type ?? ''}'`, `filters here are ${TYPES.join(', ')}`);
  }
  const known: readonly string[] = [...COMMON, ...OWN[type]];
  for (const name of Object.keys(raw)) {
    if (!known.includes(name)) throw bad(`Invalid parameter '${name}'`, `a ${type} knows ${known.join(', ')}`);
  }
  const { id } = raw;
  if (id === undefined) throw bad("Parameter 'id' is missing");
  if (!isIdentifier(id)) {
    throw bad(
      `Parameter 'id' expects an identifier, not '${id}'`,
      "identifiers consist of letters, digits, '-', '.', '_', starting with a letter",
    );
  }
  if (raw.netdev !== undefined && raw.netdev !== netdev) {
    throw bad("Parameter 'netdev' expects a network backend id", `the netdev here is '${netdev}': see --id`);
  }
  return devices(type, raw, {
    type,
    id,
    queue: oneOf('queue', raw.queue ?? 'all', ['tx', 'rx', 'all']),
    place: {
      position: position(raw.position ?? 'tail'),
      insert: oneOf('insert', raw.insert ?? 'behind', ['before', 'behind']),
    },
    on: raw.status === undefined ? undefined : parseStatus(raw.status),
    indev: raw.indev,
    outdev: raw.outdev,
    vnetHdrSupport: onOff('vnet_hdr_support', raw.vnet_hdr_support ?? 'off'),
    failOpen: onOff('fail_open', raw.fail_open ?? 'off'),
    state: raw.state,
    maxFlows: maxFlows(raw.max_flows),
  });
}

/** Throws OperatorError for anything but `on` and `off`. */
export function parseStatus(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw bad("Invalid value for netfilter status, should be 'on' or 'off'");
  return text === 'on';
}

function devices(type: FilterType, raw: RawFilter, options: FilterOptions): FilterOptions {
  if (type === 'mirror' && raw.outdev === undefined) throw bad("Parameter 'outdev' is missing");
  if (type === 'redirector') {
    if (raw.indev === undefined && raw.outdev === undefined) {
      throw bad("filter redirector needs 'indev' or 'outdev' at least one property set");
    }
    if (raw.indev === raw.outdev) throw bad("'indev' and 'outdev' could not be same for filter redirector");
  }
  return options;
}

function position(text: string): Place['position'] {
  if (text === 'head' || text === 'tail') return text;
  if (text.startsWith('id=') && text.length > 3) return { id: text.slice(3) };
  throw bad("Parameter 'position' expects 'head', 'tail' or 'id=<id>'");
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  if ((allowed as readonly string[]).includes(value)) return value as T;
  throw bad(`Parameter '${name}' does not accept value '${value}'`, `it is one of ${allowed.join(', ')}`);
}

function onOff(name: string, value: string): boolean {
  if (value !== 'on' && value !== 'off') throw bad(`Parameter '${name}' expects 'on' or 'off'`);
  return value === 'on';
}

function maxFlows(text: string | undefined): number {
  if (text === undefined) return DEFAULT_MAX_FLOWS;
  const n = /^\d+$/.test(text) ? Number(text) : 0;
  if (n < 1 || n > MOST_FLOWS) throw bad(`Parameter 'max_flows' expects a number between 1 and ${MOST_FLOWS}`);
  return n;
}

function bad(message: string, hint?: string): OperatorError {
  return new OperatorError('EFILTER', message, hint);
}
