import * as words from '../../../src/conntrack/colo-extension';
import { FLOW_USER } from '../../../src/conntrack/flow-table';

const named = (prefix: string): [string, number][] =>
  Object.entries(words).filter(([name]) => name.startsWith(prefix)) as [string, number][];

test('every word of the record has a place of its own within it', () => {
  const places = named('X_').map(([, place]) => place);
  expect(new Set(places).size).toBe(places.length);
  expect(Math.min(...places)).toBe(FLOW_USER);
  expect(Math.max(...places)).toBeLessThan(words.PRIMARY_RECORD_WORDS);
});

test('every flag has a bit of its own, beside those of the window scale', () => {
  const flags = named('XF_').filter(([name]) => name !== 'XF_SCALE_SHIFT');
  let taken = 15 << words.XF_SCALE_SHIFT;
  for (const [name, bit] of flags) {
    expect([name, Math.log2(bit >>> 0) % 1, taken & bit]).toEqual([name, 0, 0]);
    taken |= bit;
  }
});
