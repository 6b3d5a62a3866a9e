import { OperatorError } from '../../../../src/core/errors';
import { type Controlled, execute } from '../../../../src/qemu/netdev/control-commands';

class Fake implements Controlled {
  readonly did: string[] = [];
  failed = false;

  checkpoint(): void {
    this.did.push('checkpoint');
  }

  failover(): boolean {
    const first = !this.failed;
    this.failed = true;
    return first;
  }

  setStatus(id: string, on: boolean): void {
    if (id !== 'f0') throw new OperatorError('EFILTER', `filter '${id}' not found`);
    this.did.push(`${id} ${on}`);
  }

  report(): Record<string, unknown> {
    return { id: 'hn0' };
  }
}

const error = (desc: string, name = 'GenericError') => ({
  error: { class: name, desc: expect.stringContaining(desc) },
});

test.each([
  ['{"execute": "checkpoint"}', { return: {} }, ['checkpoint']],
  ['{"execute": "query", "id": "x"}', { return: { id: 'hn0' }, id: 'x' }, []],
  [
    '{"execute": "filter-set", "arguments": {"id": "f0", "status": "off"}, "id": 0}',
    { return: {}, id: 0 },
    ['f0 false'],
  ],
  ['{"execute": "filter-set", "arguments": {"id": "f1", "status": "off"}}', error("filter 'f1' not found"), []],
  ['{"execute": "filter-set", "arguments": {"id": "f0", "status": "of"}}', error("should be 'on' or 'off'"), []],
  [
    '{"execute": "filter-set", "arguments": {"id": "f0"}, "id": 1}',
    { ...error("Parameter 'status' is missing"), id: 1 },
    [],
  ],
  ['{"execute": "filter-set", "arguments": 3}', error("'arguments' must be an object"), []],
  ['{"execute": "filter-set"}', error("Parameter 'id' is missing"), []],
  ['{"execute": "quit"}', error('quit', 'CommandNotFound'), []],
  ['{"execute": 3}', error("lacks member 'execute'"), []],
  ['{', error('JSON parse error'), []],
  ['[]', error('must be a JSON object'), []],
  ['null', error('must be a JSON object'), []],
])('%s', (line, reply, did) => {
  const fake = new Fake();
  expect(execute(fake, line)).toEqual(reply);
  expect(fake.did).toEqual(did);
});

test('a second failover is done, and says so', () => {
  const fake = new Fake();
  expect(execute(fake, '{"execute": "failover"}')).toEqual({ return: { already: false } });
  expect(execute(fake, '{"execute": "failover"}')).toEqual({ return: { already: true } });
});
