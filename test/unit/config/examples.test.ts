// The example files show every key of the daemons' configuration, so that a new one is not forgotten there.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configSchema, controlSchema, limitsSchema, linkSchema, nodeSchema } from '../../../src/config/schema';

const EXAMPLES = join(__dirname, '../../../docs/examples');
const FILES = readdirSync(EXAMPLES).filter((name) => name !== 'netdev.yaml');
const TEXT = FILES.map((name) => readFileSync(join(EXAMPLES, name), 'utf8')).join('\n');

test.each([
  ['the whole', configSchema],
  ['a node', nodeSchema],
  ['the control channel', controlSchema],
  ['limits', limitsSchema],
  ['the link', linkSchema],
])('every key of %s', (_of, schema) => {
  const keys = Object.keys(schema.shape);
  expect(keys.length).toBeGreaterThan(2);
  expect(keys.filter((key) => !new RegExp(`^[ #-]*${key}:`, 'm').test(TEXT))).toEqual([]);
});
