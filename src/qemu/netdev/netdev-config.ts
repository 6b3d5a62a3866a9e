// The configuration of a netdev, from options or from a file: ports, character devices, filters.

import { z } from 'zod';
import type { PortSpec } from '../../chardev/port';
import { VNET_HEADER_BYTES } from '../../chardev/vnet-header';
import { OperatorError } from '../../core/errors';
import { type Endpoint, parseEndpoint } from '../../io/stream/chardev';
import { FILTER_OPTIONS, type FilterOptions, parseFilter, type RawFilter, readFilter } from './filter-options';
import { isIdentifier, splitOptions, splitPair } from './keyval';

export interface DeviceSpec {
  id: string;
  endpoint: Endpoint;
}

export interface NetdevConfig {
  id: string;
  guest: PortSpec;
  host: PortSpec;
  /** Size of the virtio-net header of every frame at both ports, 0 for none. */
  vnetHeaderBytes: number;
  /** Path of the control socket. */
  control: string | undefined;
  /** The QMP socket of the secondary whose guest this netdev serves. */
  qmp: Endpoint | undefined;
  devices: DeviceSpec[];
  filters: FilterOptions[];
}

export const DEFAULT_ID = 'hn0';

const word = z.string({ error: 'must be a text' });
/** YAML reads on and off as booleans. filter-options checks the values. */
const filterOption = z.union([word, z.number(), z.boolean()], { error: 'must be a text, a number, on or off' });

/** A file's keys; the filters' are QEMU's names. */
export const netdevSchema = z.strictObject({
  id: word.optional(),
  guest: word,
  host: word,
  vnetHeaderBytes: z
    .literal([...VNET_HEADER_BYTES], { error: `must be one of ${VNET_HEADER_BYTES.join(', ')}` })
    .default(0),
  control: word.optional(),
  qmp: word.optional(),
  chardevs: z.record(z.string(), word).default({}),
  filters: z
    .array(
      z.strictObject({
        ...Object.fromEntries(FILTER_OPTIONS.map((name) => [name, filterOption.optional()])),
        type: word,
        id: word,
      }),
    )
    .default([]),
});
export type NetdevFile = z.infer<typeof netdevSchema>;

/** Throws OperatorError. */
export function netdevFromFile(file: NetdevFile): NetdevConfig {
  const id = netdevId(file.id);
  return whole({
    id,
    guest: parsePort(file.guest),
    host: parsePort(file.host),
    vnetHeaderBytes: file.vnetHeaderBytes,
    control: file.control,
    qmp: file.qmp === undefined ? undefined : parseEndpoint(file.qmp),
    devices: Object.entries(file.chardevs).map(([name, text]) => ({
      id: deviceId(name),
      endpoint: parseEndpoint(text),
    })),
    filters: file.filters.map((filter, i) => naming(`filters[${i}]`, () => readFilter(textOf(filter), id))),
  });
}

export interface NetdevFlags {
  id?: string;
  guest: string;
  host: string;
  vnetHeaderBytes?: string;
  control?: string;
  qmp?: string;
  chardev: string[];
  filter: string[];
}

/** Throws OperatorError. */
export function netdevFromFlags(flags: NetdevFlags): NetdevConfig {
  const id = netdevId(flags.id);
  return whole({
    id,
    guest: parsePort(flags.guest),
    host: parsePort(flags.host),
    vnetHeaderBytes: vnetHeaderBytes(flags.vnetHeaderBytes),
    control: flags.control,
    qmp: flags.qmp === undefined ? undefined : parseEndpoint(flags.qmp),
    devices: flags.chardev.map((text) => naming(`--chardev ${text}`, () => parseDevice(text))),
    filters: flags.filter.map((text) => naming(`--filter ${text}`, () => parseFilter(text, id))),
  });
}

/** `none`, `tap:NAME` or an endpoint. Throws OperatorError. */
export function parsePort(text: string): PortSpec {
  if (text === 'none') return { kind: 'none' };
  const name = /^tap:(.*)$/s.exec(text)?.[1];
  if (name === undefined) return { kind: 'socket', endpoint: parseEndpoint(text) };
  if (!/^[^\s/:]{1,15}$/.test(name)) {
    throw new OperatorError(
      'EPORT',
      `'${name}' is not a valid name of a network interface`,
      'write tap:NAME, at most 15 letters',
    );
  }
  return { kind: 'tap', name };
}

/**
 * `id=ID,ENDPOINT`, or as QEMU has it: `socket,id=ID,path=PATH,server=on,wait=off`,
 * `socket,id=ID,host=HOST,port=PORT,reconnect=1`. Throws OperatorError.
 */
export function parseDevice(text: string): DeviceSpec {
  const own = /^id=([^,]*),(.*)$/s.exec(text);
  if (own !== null) return { id: deviceId(own[1]!), endpoint: parseEndpoint(own[2]!) };
  const [backend, ...parts] = splitOptions(text);
  if (backend !== 'socket') {
    throw new OperatorError(
      'EDEVICE',
      `'${text}' is no character device`,
      'write id=ID,ENDPOINT or socket,id=ID,path=...',
    );
  }
  const options = new Map(parts.map(splitPair));
  const take = (name: string): string | undefined => {
    const value = options.get(name);
    options.delete(name);
    return value;
  };
  const id = deviceId(take('id') ?? '');
  const [path, host, port] = [take('path'), take('host'), take('port')];
  const server = isOn('server', take('server') ?? 'off');
  const reconnectMs = take('reconnect-ms');
  const seconds = reconnectMs === undefined ? Number(take('reconnect') ?? 0) : Number(reconnectMs) / 1000;
  // A server here never waits for its peer, and Nagle's algorithm is always off.
  for (const name of ['wait', 'nodelay', 'ipv4', 'ipv6']) take(name);
  const [unknown] = options.keys();
  if (unknown !== undefined) throw new OperatorError('EDEVICE', `Invalid parameter '${unknown}'`);
  const where =
    path === undefined
      ? `tcp:${host?.includes(':') ? `[${host}]` : (host ?? '')}:${port ?? ''}`
      : `unix:${path.replaceAll(',', ',,')}`;
  return {
    id,
    endpoint: parseEndpoint(`${where}${server ? ',server' : ''}${seconds === 0 ? '' : `,reconnect=${seconds}`}`),
  };
}

/** As QEMU reads it. Throws OperatorError. */
function isOn(name: string, value: string): boolean {
  if (['on', 'yes', 'true', 'y'].includes(value)) return true;
  if (['off', 'no', 'false', 'n'].includes(value)) return false;
  throw new OperatorError('EDEVICE', `Parameter '${name}' expects 'on' or 'off'`);
}

function deviceId(id: string): string {
  if (isIdentifier(id)) return id;
  throw new OperatorError(
    'EDEVICE',
    `Parameter 'id' expects an identifier, not '${id}'`,
    'a letter, then letters, digits, - . _',
  );
}

function netdevId(id: string | undefined): string {
  return id === undefined ? DEFAULT_ID : deviceId(id);
}

function vnetHeaderBytes(text: string | undefined): number {
  const bytes = Number(text ?? 0);
  if ((VNET_HEADER_BYTES as readonly number[]).includes(bytes)) return bytes;
  throw new OperatorError(
    'EPORT',
    `--vnet-header-bytes ${text}: no virtio-net header has this size`,
    `it is one of ${VNET_HEADER_BYTES.join(', ')}`,
  );
}

function textOf(filter: NetdevFile['filters'][number]): RawFilter {
  return Object.fromEntries(
    Object.entries(filter).map(([name, value]) => [
      name,
      typeof value === 'boolean' ? (value ? 'on' : 'off') : value?.toString(),
    ]),
  );
}

/** Prefixes an error with the place of its cause. */
function naming<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    throw new OperatorError(error.code, `${where}: ${error.message}`, error.hint, { cause: error });
  }
}

/** Checks across entries; filters' positions and devices are checked when the chain is built. */
function whole(config: NetdevConfig): NetdevConfig {
  const ids = new Set<string>();
  for (const { id } of config.devices) {
    if (ids.has(id)) throw new OperatorError('EDEVICE', `Duplicate ID '${id}' for chardev`);
    ids.add(id);
  }
  if (config.qmp !== undefined && !config.filters.some((f) => f.type === 'rewriter')) {
    throw new OperatorError('EFILTER', 'qmp is for a rewriter, and there is none', 'add a rewriter');
  }
  return config;
}
