import { createLogger } from '../../../src/daemon/log';

test('a line is one JSON object, with the fields of its logger, its own, and the text last', () => {
  const lines: string[] = [];
  const log = createLogger('info', (line) => lines.push(line));
  log.warn({ held: 3, bytes: 12n, nothing: undefined }, 'a\nb');
  log.child({ node: 'vm1' }).fatal({}, 'ended');
  expect(lines.every((line) => /^\{[^\n]*\}\n$/.test(line))).toBe(true);
  const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(Object.keys(first!)).toEqual(['level', 'time', 'name', 'held', 'bytes', 'msg']);
  expect(first).toMatchObject({ level: 'warn', name: 'colo', held: 3, bytes: 12, msg: 'a\nb' });
  expect(new Date(first!.time as string).toISOString()).toBe(first!.time);
  expect(second).toMatchObject({ level: 'fatal', node: 'vm1', msg: 'ended' });
});

test.each([
  ['trace', 4],
  ['info', 4],
  ['warn', 3],
  ['fatal', 1],
  ['silent', 0],
] as const)('at %s %i of four are written', (level, count) => {
  const write = jest.fn();
  const log = createLogger(level, write).child({});
  for (const name of ['info', 'warn', 'error', 'fatal'] as const) log[name]({}, name);
  expect(write).toHaveBeenCalledTimes(count);
});
