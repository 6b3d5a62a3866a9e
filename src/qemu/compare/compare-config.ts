// The configuration of comparisons, by options or in a file: QEMU's properties with QEMU's names, defaults and rules.

import { z } from 'zod';
import { OperatorError } from '../../core/errors';
import { type Endpoint, formatEndpoint, parseEndpoint } from '../../io/stream/chardev';
import type { CompareSettings } from './compare-settings';

export const COMPARE_DEFAULTS = {
  id: 'comp0',
  compare_timeout: 'auto',
  max_compare_timeout: 3000,
  min_checkpoint_interval: 100,
  expired_scan_cycle: 1000,
  max_queue_size: 1024,
  vnet_hdr_support: false,
} as const;

const MAX_MS = 0x7fffffff;

function positiveError(property: string, most: number, or = ''): string {
  return `must be ${or}a whole number from 1 to ${most} (Property 'colo-compare.${property}' requires a positive value)`;
}

function positive(property: string, most: number) {
  const error = positiveError(property, most);
  return z.number({ error }).int(error).min(1, error).max(most, error);
}

/** A property that QEMU does not have. */
function whole(property: string, most: number) {
  const error = `must be a whole number from 0 to ${most} (${property})`;
  return z.number({ error }).int(error).min(0, error).max(most, error);
}

const endpoint = z.string({ error: 'must be an endpoint such as unix:PATH,server or tcp:HOST:PORT,reconnect=1' });
const onOff = z.union([z.enum(['on', 'off']), z.boolean()], { error: 'must be on or off' });

const compareSchema = z.strictObject({
  id: z
    .string({ error: 'must be a name' })
    .regex(/^[A-Za-z][\w.-]{0,63}$/, 'must be a letter and at most 63 letters, digits, ".", "_" or "-"')
    .default(COMPARE_DEFAULTS.id),
  primary_in: endpoint,
  secondary_in: endpoint,
  outdev: endpoint,
  notify_dev: endpoint.optional(),
  /** Ours: the primary QEMU's QMP. */
  qmp: endpoint.optional(),
  /** `auto` is ours. */
  compare_timeout: z
    .union([z.literal('auto'), positive('compare_timeout', MAX_MS)], {
      error: positiveError('compare_timeout', MAX_MS, 'auto or '),
    })
    .default(COMPARE_DEFAULTS.compare_timeout),
  /** Ours: the most that `auto` may come to. */
  max_compare_timeout: positive('max_compare_timeout', MAX_MS).default(COMPARE_DEFAULTS.max_compare_timeout),
  /** Ours: shortest time that the primary runs between two checkpoints, in ms. */
  min_checkpoint_interval: whole('min_checkpoint_interval', 60_000).default(COMPARE_DEFAULTS.min_checkpoint_interval),
  expired_scan_cycle: positive('expired_scan_cycle', MAX_MS).default(COMPARE_DEFAULTS.expired_scan_cycle),
  /** QEMU: held packets of one connection. Here 16 times as many of all together; see CompareOptions.maxQueueSize. */
  max_queue_size: positive('max_queue_size', 1 << 20).default(COMPARE_DEFAULTS.max_queue_size),
  vnet_hdr_support: onOff.default(COMPARE_DEFAULTS.vnet_hdr_support),
});

/** Keys of other commands are allowed in the file. */
export const compareFileSchema = z.looseObject({
  compare: z
    .array(compareSchema, { error: 'must be a list with one entry per comparison' })
    .min(1, 'must name at least one comparison')
    .max(64, 'must name at most 64 comparisons'),
});
export type CompareFile = z.output<typeof compareFileSchema>;

/** Throws OperatorError for an invalid endpoint, or one that is named twice. */
export function compareSettings(file: CompareFile): CompareSettings[] {
  const users = new Map<string, string>();
  const ids = new Set<string>();
  return file.compare.map((entry) => {
    if (ids.has(entry.id)) {
      throw new OperatorError('ECONFIG', `two comparisons have the id '${entry.id}'`, 'give each its own');
    }
    ids.add(entry.id);
    const at = (property: 'primary_in' | 'secondary_in' | 'outdev' | 'notify_dev' | 'qmp'): Endpoint => {
      const parsed = parseEndpoint(entry[property]!);
      const address = addressOf(parsed);
      const user = users.get(address);
      if (user !== undefined) {
        throw new OperatorError(
          'ECONFIG',
          `${entry.id}: ${property} could not be same as ${user} (${address}) for compare module`,
          'each of them has one peer: give each its own endpoint',
        );
      }
      if (address !== '') users.set(address, entry.id === COMPARE_DEFAULTS.id ? property : `${entry.id}.${property}`);
      return parsed;
    };
    return {
      id: entry.id,
      primaryIn: at('primary_in'),
      secondaryIn: at('secondary_in'),
      outdev: at('outdev'),
      notifyDev: entry.notify_dev === undefined ? undefined : at('notify_dev'),
      qmp: entry.qmp === undefined ? undefined : at('qmp'),
      compareTimeoutMs: entry.compare_timeout,
      maxCompareTimeoutMs: entry.max_compare_timeout,
      minCheckpointIntervalMs: entry.min_checkpoint_interval,
      expiredScanCycleMs: entry.expired_scan_cycle,
      maxQueueSize: entry.max_queue_size,
      vnetHeaders: entry.vnet_hdr_support === true || entry.vnet_hdr_support === 'on',
    };
  });
}

/**
 * Address of an endpoint, for its server and its client alike; '' for a server on any free port, which is never
 * another's.
 */
function addressOf(endpoint: Endpoint): string {
  if (endpoint.kind === 'tcp' && endpoint.port === 0) return '';
  return formatEndpoint({ ...endpoint, server: false, reconnectMs: 0 });
}
