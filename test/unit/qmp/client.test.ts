import { MAX_QMP_IN_BAND, MAX_QMP_MESSAGE_BYTES } from '../../../src/core/limits';
import { QmpClient } from '../../../src/qmp/client';
import { FakeQemu } from '../../../src/sim/fake-qemu';

const log = { info: jest.fn(), warn: jest.fn(), error: jest.fn() };
beforeEach(() => jest.clearAllMocks());

class Bench {
  readonly qemu = new FakeQemu();
  readonly said: string[] = [];
  readonly client = new QmpClient(
    this.qemu.connect,
    {
      onReady: () => this.said.push('ready'),
      onEvent: (name, data) => this.said.push(`${name} ${JSON.stringify(data)}`),
      onClose: (why) => this.said.push(`closed: ${why}`),
    },
    log,
  );

  begin(): this {
    this.qemu.accept();
    this.qemu.settle();
    return this;
  }

  /** What comes of a command, in its place among the events. */
  ask(execute: string, outOfBand = false): void {
    this.client.ask({ execute, outOfBand }, (error, value) => {
      this.said.push(`${execute}: ${error === undefined ? JSON.stringify(value) : error.message}`);
    });
  }

  took(): string[] {
    return this.said.splice(0);
  }
}

test('greets, negotiates, executes, and tells its answers apart', async () => {
  const t = new Bench().begin();
  expect([t.took(), t.client.ready, t.qemu.executed]).toEqual([['ready'], true, ['qmp_capabilities']]);
  const status = t.client.execute('query-status');
  const set = t.client.execute('migrate-set-parameters', { 'x-checkpoint-delay': 5 });
  const unknown = t.client.execute('nothing');
  t.qemu.stopGuest();
  t.qemu.settle();
  expect([await status, await set]).toEqual([{ running: false, status: 'paused' }, {}]);
  await expect(unknown).rejects.toMatchObject({ name: 'QmpError', errorClass: 'CommandNotFound', message: /nothing/ });
  expect([t.took(), t.qemu.set]).toEqual([['STOP {}'], [{ 'x-checkpoint-delay': 5 }]]);
});

test('lines in any pieces', () => {
  const t = new Bench();
  t.qemu.accept();
  t.qemu.run();
  while (t.qemu.deliver(1)) t.qemu.run();
  t.qemu.sayRaw(
    '{"event": "RESUME"}\r\n\r\n{"event": "X", "data": {"n": 1}}\n{"event": "Y", "data": 3}\n{"event": "lat',
  );
  while (t.qemu.deliver(1));
  expect(t.took()).toEqual(['ready', 'RESUME {}', 'X {"n":1}', 'Y {}']);
});

test('out of band: answered while the main loop stands still, and before what waits for it', () => {
  const t = new Bench().begin();
  t.took();
  expect(t.client.outOfBand).toBe(true);
  t.qemu.stuck = true;
  for (let i = 0; i < MAX_QMP_IN_BAND; i++) t.ask('query-status');
  t.ask('query-status');
  t.ask('yank', true);
  t.qemu.settle();
  // One more in band would have QEMU read nothing any more.
  expect(t.took()).toEqual([
    `query-status: QMP at a false QEMU: ${MAX_QMP_IN_BAND} commands have no answer yet`,
    'yank: {}',
  ]);
  t.qemu.stuck = false;
  t.qemu.settle();
  expect(t.took()).toEqual(Array(MAX_QMP_IN_BAND).fill('query-status: {"running":true,"status":"running"}'));
});

test('a QEMU that executes nothing out of band is not asked to, and says so of a command that cannot be', () => {
  const t = new Bench();
  t.qemu.offersOutOfBand = false;
  t.begin();
  t.ask('yank', true);
  expect([t.client.outOfBand, t.took()[1]]).toEqual([false, expect.stringContaining('executes nothing out of band')]);
  t.qemu.hangUp();
  t.qemu.offersOutOfBand = true;
  t.begin();
  t.took();
  t.ask('query-status', true);
  t.qemu.settle();
  expect(t.took()).toEqual(['query-status: it cannot be executed out of band']);
});

test('without a connection, or when it ends, commands are refused; a new one begins with a greeting', () => {
  const t = new Bench();
  t.ask('query-status');
  expect(t.took()).toEqual(['query-status: QMP at a false QEMU: it is not connected']);
  t.begin();
  t.qemu.stuck = true;
  t.ask('query-status');
  t.ask('stop');
  t.qemu.settle();
  t.qemu.hangUp();
  const gone = 'QMP at a false QEMU: the peer has closed the connection';
  expect([t.took(), t.client.ready, t.client.outOfBand]).toEqual([
    ['ready', `query-status: ${gone}`, `stop: ${gone}`, 'closed: the peer has closed the connection'],
    false,
    false,
  ]);
  t.qemu.stuck = false;
  t.begin();
  expect(t.took()).toEqual(['ready']);
});

test('a connection that ends during the negotiation was none', () => {
  const t = new Bench();
  t.qemu.stuck = true;
  t.begin();
  t.qemu.hangUp();
  expect([t.took(), t.client.ready]).toEqual([[], false]);
});

test('a QEMU that refuses to negotiate is said, once', () => {
  const t = new Bench();
  t.qemu.refusals.set('qmp_capabilities', 'no');
  t.begin();
  t.qemu.event('STOP');
  t.qemu.settle();
  expect([t.took(), t.client.ready, log.error.mock.calls.length]).toEqual([[], false, 1]);
});

test.each([
  ['{"return": {}}\n', 'no greeting'],
  ['what?\n', 'no JSON'],
  ['3\n', 'no object'],
  ['null\n', 'no object'],
])('%j ends the connection', (text, why) => {
  const t = new Bench();
  t.qemu.accept();
  // Instead of the greeting, or behind it.
  if (why === 'no greeting') t.qemu.drop();
  else t.qemu.settle();
  t.qemu.sayRaw(text);
  t.qemu.settle();
  expect([t.qemu.isConnected, t.client.ready]).toEqual([false, false]);
  expect(log.warn.mock.calls[0]![0].why).toContain(why);
});

test('what stands behind a line that ended the connection is nobody’s', () => {
  const t = new Bench().begin();
  t.took();
  t.client.ask({ execute: 'query-status' }, () => t.qemu.hangUp('enough'));
  t.qemu.run();
  t.qemu.event('STOP');
  t.qemu.settle();
  expect(t.took()).toEqual(['closed: enough']);
});

test('a message that is too long ends the connection, whether it ends or not', () => {
  for (const end of ['', '\n']) {
    const t = new Bench().begin();
    t.qemu.sayRaw('x'.repeat(MAX_QMP_MESSAGE_BYTES + 1) + end);
    t.qemu.settle();
    expect(t.said[1]).toContain('a message of more than');
  }
  const t = new Bench().begin();
  t.qemu.sayRaw(`{"event": "${'x'.repeat(MAX_QMP_MESSAGE_BYTES - 13)}"}\n`);
  t.qemu.settle();
  expect([t.qemu.isConnected, t.said.length]).toEqual([true, 2]);
});

test('answers that nobody waits for are borne, and an error without words', () => {
  const t = new Bench().begin();
  t.took();
  t.qemu.sayRaw('{"return": {}, "id": 99}\n{"error": {"class": "GenericError", "desc": "x"}}\n{"id": null}\n{}\n');
  t.ask('query-status');
  t.qemu.sayRaw('{"error": 3, "id": 2}\n');
  t.qemu.settle();
  expect(t.took()).toEqual(['query-status: undefined']);
});

test('closed for good: what waits is refused, and onClose does not come', () => {
  const t = new Bench().begin();
  t.took();
  t.qemu.withheld.add('query-status');
  t.ask('query-status');
  t.qemu.settle();
  t.client.close();
  expect(t.took()).toEqual(['query-status: QMP at a false QEMU: it was closed']);
});
