import fc from 'fast-check';
import { byteSize, either, flag, list, object, oneOf, record, type Shape, text, whole } from '../../../src/config/shape';

const said = (shape: Shape<unknown>, value: unknown) => shape.parse(value).complaints?.map((c) => c.text);

const thing = object({
  name: text('must be a name', /^[a-z]+$/, 'must be small letters'),
  size: byteSize(1, 1 << 20).default('4k'),
  on: flag.optional(),
  ports: list(whole(0, 9), 'must be a list of ports', [1, 3, 'must have 1 to 3 ports']).default([1]),
});

test('what is left out means its default, or nothing', () => {
  expect(thing.parse({ name: 'a' })).toEqual({ value: { name: 'a', size: 4096, ports: [1] } });
  expect(thing.parse({ name: 'a', size: '1MiB', on: false, ports: [3, 4] }).value).toEqual({
    name: 'a',
    size: 1 << 20,
    on: false,
    ports: [3, 4],
  });
});

test('everything that is wrong is told, with its place and what is allowed', () => {
  expect(said(thing, { name: 'A', size: '2M', on: null, ports: [1, 12, 'x'], nam: 1 })).toEqual([
    'name must be small letters, not "A"',
    'size must be a whole number from 1 to 1048576, not "2M"',
    'on must be true or false, not null',
    'ports[1] must be a whole number from 0 to 9, not 12',
    'ports[2] must be a whole number from 0 to 9, not "x"',
    'nam is not a key (did you mean name?)',
  ]);
  expect(said(thing, {})).toEqual(['name is missing: it must be a name']);
  expect(said(thing, { name: 'a', ports: [] })).toEqual(['ports must have 1 to 3 ports, not []']);
  expect(said(thing, [])).toEqual(['the configuration must be an object, not []']);
  expect(said(thing, undefined)).toEqual(['the configuration is missing: it must be an object']);
});

test('a further rule is asked only of what is right so far', () => {
  const pair = object({ low: whole(0, 9), high: whole(0, 9) }).where((p) => p.low <= p.high, 'must not be below low', 'high');
  expect(said(pair, { low: 3, high: 2 })).toEqual(['high must not be below low, not 2']);
  expect(said(pair, { low: 3, high: 12 })).toEqual(['high must be a whole number from 0 to 9, not 12']);
  const even = whole(0, 9).where((n) => n % 2 === 0, 'must be even');
  expect([said(even, 3), said(even, 11), said(even.optional(), undefined), said(even.default(4), undefined)]).toEqual([
    ['the configuration must be even, not 3'],
    ['the configuration must be a whole number from 0 to 9, not 11'],
    undefined,
    undefined,
  ]);
  expect(said(even.default(5), undefined)).toEqual(['the configuration must be even, not 5']);
});

test('one of two shapes; any keys; keys of others', () => {
  const limit = either(oneOf(['auto']), whole(1, 5), 'must be auto or from 1 to 5');
  expect([limit.parse('auto').value, limit.parse(5).value, said(limit, 'no'), said(limit, 6)]).toEqual([
    'auto',
    5,
    ['the configuration must be auto or from 1 to 5, not "no"'],
    ['the configuration must be auto or from 1 to 5, not 6'],
  ]);
  expect(record(whole(0, 1)).parse({ a: 1, b: 0 }).value).toEqual({ a: 1, b: 0 });
  expect(said(record(whole(0, 1)), { a: 1, b: 2 })).toEqual(['b must be a whole number from 0 to 1, not 2']);
  expect(object({ a: flag }, true).parse({ a: true, z: 3 }).value).toEqual({ a: true });
  // Keys of every object are none of its own.
  expect(said(object({ a: flag.optional() }), JSON.parse('{"__proto__": 1, "constructor": 2}'))).toHaveLength(2);
});

test('a value is read or complained of, never both, and never thrown at', () => {
  fc.assert(
    fc.property(fc.object({ key: fc.constantFrom('name', 'size', 'on', 'ports', 'x'), maxDepth: 2 }), (value) => {
      const { value: read, complaints } = thing.parse(value);
      expect((read === undefined) !== (complaints === undefined)).toBe(true);
      if (read === undefined) return;
      expect(read.name).toMatch(/^[a-z]+$/);
      expect(read.ports.every((port) => port >= 0 && port <= 9)).toBe(true);
    }),
  );
});
