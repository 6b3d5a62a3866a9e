import fc from 'fast-check';
import {
  encodeHello,
  encodeRefusal,
  type Hello,
  MAX_HELLO_BYTES,
  parseHello,
  parseRefusal,
  REFUSALS,
  refusalOf,
} from '../../../src/link/hello';
import { hello, PROCESS } from './parts';

function parse(value: unknown): Hello | string {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  return parseHello(bytes, 0, bytes.length);
}

test('what is said is understood', () => {
  const said = hello({
    features: ['digests'],
    digestKey: 'ab'.repeat(32),
    memory: PROCESS,
    epoch: 0xffffffff,
    generation: 7,
  });
  const bytes = Buffer.concat([Buffer.from('before'), encodeHello(said), Buffer.from('behind')]);
  expect(parseHello(bytes, 6, bytes.length - 12)).toEqual(said);
});

test.each<[string, unknown]>([
  ['versions', { min: 2, max: 1 }],
  ['versions', { min: 1 }],
  ['versions', { min: '1', max: 1 }],
  ['versions', 1],
  ['versions', null],
  ['features', 'digests'],
  ['features', ['a b']],
  ['features', [['a']]],
  ['features', Array.from({ length: 33 }, (_, i) => `f${i}`)],
  ['vm', ''],
  ['vm', 'a/b'],
  ['vm', 'a\n'],
  ['vm', 'a'.repeat(65)],
  ['vm', ['web']],
  ['kind', 'two words'],
  ['role', 'PRIMARY'],
  ['generation', -1],
  ['generation', 0x100000000],
  ['epoch', 1.5],
  ['epoch', '0'],
  ['process', PROCESS.toUpperCase()],
  ['process', `${PROCESS}0`],
  ['memory', 'disk'],
  ['digestKey', 'abc'],
  ['digestKey', 'ab'.repeat(15)],
  ['digestKey', 5],
])('%s: %j is not understood', (field, value) => {
  expect(parse({ ...hello(), [field]: value })).toBe(field);
  if (field !== 'digestKey' && field !== 'memory') expect(parse({ ...hello(), [field]: undefined })).toBe(field);
});

test.each(['', 'null', '[]', '"web"', '7', '{', '['.repeat(4000)])('no HELLO: %s', (text) => {
  expect(parse(text)).toMatch(/^it is no JSON/);
});

test('a HELLO is bounded', () => {
  expect(parse(`${JSON.stringify(hello())}${' '.repeat(MAX_HELLO_BYTES)}`)).toMatch(/more than 4096/);
});

test('names of a later version are passed by', () => {
  expect(parse({ ...hello(), later: { a: 1 }, versions: { min: 1, max: 9, later: true } })).toEqual(
    hello({ versions: { min: 1, max: 9 } }),
  );
});

test('whatever comes, it is understood or it is not', () => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(...Object.values(hello())));
  const said = fc.record(Object.fromEntries(Object.keys(hello()).map((key) => [key, value])));
  fc.assert(
    fc.property(fc.oneof(said, fc.jsonValue(), fc.string()), (any) => {
      const understood = parse(any);
      if (typeof understood === 'string') return;
      expect(parse(Buffer.from(encodeHello(understood)).toString())).toEqual(understood);
    }),
    { numRuns: 1000 },
  );
});

const MINE = hello({ role: 'primary', versions: { min: 2, max: 3 } });
const THEIRS = hello({ versions: { min: 3, max: 5 } });

test('the other role of the same VM is the other side', () => {
  expect(refusalOf(MINE, THEIRS)).toBeUndefined();
});

test.each<[string, Partial<Hello>, RegExp]>([
  ['version', { versions: { min: 1, max: 1 } }, /versions 1 to 1 .* there, 2 to 3 here/],
  ['version', { versions: { min: 4, max: 4 } }, /update the older of both/],
  ['vm', { vm: 'mail' }, /for the VM 'mail', not 'web'/],
  ['kind', { kind: 'disk' }, /'disk', not 'packets'/],
  ['role', { role: 'primary' }, /both sides are primary/],
  ['generation', { generation: 4 }, /4 times there, 0 times here/],
])('another %s is refused', (word, changes, text) => {
  expect(refusalOf(MINE, { ...THEIRS, ...changes })).toEqual({ word, text: expect.stringMatching(text) });
});

test('a refusal is told, and its word known', () => {
  for (const word of REFUSALS) {
    const bytes = Buffer.from(encodeRefusal({ word, text: 'because: of that' }));
    expect(parseRefusal(bytes, 0, bytes.length)).toEqual({ word, text: 'because: of that' });
  }
  const later = Buffer.from('tired: of you\x07');
  expect(parseRefusal(later, 0, later.length)).toEqual({ word: undefined, text: 'of you?' });
  const odd = Buffer.from([0xff, 0xfe]);
  expect(parseRefusal(odd, 0, 2).text).toBe('??');
});
