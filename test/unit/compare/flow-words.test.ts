import * as extension from '../../../src/compare/flow-words';
import { FLOW_USER } from '../../../src/conntrack/flow-table';

const named = (prefix: string): [string, number][] =>
  Object.entries(extension).filter((e): e is [string, number] => e[0].startsWith(prefix) && typeof e[1] === 'number');
const LIST_WORDS = named('W_').length;

test('no two words of a flow are one, and all have room', () => {
  const users = new Map<number, string>();
  for (const [name, at] of named('X_')) {
    const words = name === 'X_AHEAD' || name === 'X_WAIT' ? LIST_WORDS : 1;
    for (let i = at; i < at + words; i++) {
      expect([i, users.get(i)]).toEqual([i, undefined]);
      users.set(i, name);
      expect(i).toBeGreaterThanOrEqual(FLOW_USER);
      expect(i).toBeLessThan(extension.PRIMARY_RECORD_WORDS);
    }
  }
});

test('no two flags are one', () => {
  const flags = named('XF_').filter(([name]) => name !== 'XF_SCALE_SHIFT');
  const scale = 15 << extension.XF_SCALE_SHIFT;
  expect(new Set(flags.map(([, bit]) => bit)).size).toBe(flags.length);
  expect(flags.filter(([, bit]) => (bit & scale) !== 0 || (bit & (bit - 1)) !== 0)).toEqual([]);
});
