import { parseEndpoint } from '../../../src/io/stream/endpoint';
import { PrimaryWatch } from '../../../src/qemu/checkpoint-request';
import { ColoWatch, type Role, type WatchHandler } from '../../../src/qemu/colo-watch';
import { MAX_MESSAGE_BYTES, QmpClient } from '../../../src/qemu/qmp';
import { FakeChardev, settle } from './fake-chardev';

const ENDPOINT = parseEndpoint('unix:/qmp,reconnect=1');
const GREETING = '{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n';
const log = { info: jest.fn(), warn: jest.fn(), error: jest.fn() };
beforeEach(() => jest.clearAllMocks());

describe('the client', () => {
  class Bench {
    readonly wire = new FakeChardev();
    readonly said: string[] = [];
    readonly client = new QmpClient(
      ENDPOINT,
      {
        onReady: () => this.said.push('ready'),
        onEvent: (name, data) => this.said.push(`${name} ${JSON.stringify(data)}`),
        onClose: (why) => this.said.push(`closed: ${why}`),
      },
      log,
      this.wire.factory,
    );

    async begin(): Promise<this> {
      this.wire.connect();
      this.wire.says(GREETING);
      const [request] = this.wire.heard();
      expect(request).toMatchObject({ execute: 'qmp_capabilities' });
      this.wire.says(`{"return": {}, "id": ${request!.id}}\r\n`);
      await settle();
      return this;
    }
  }

  test('greets, negotiates, executes, and tells its answers apart', async () => {
    const t = await new Bench().begin();
    expect([t.said, t.client.ready]).toEqual([['ready'], true]);
    const first = t.client.execute('query-status');
    const second = t.client.execute('migrate', { uri: 'x' });
    const third = t.client.execute('nothing');
    const [a, b, c] = t.wire.heard();
    expect(b).toEqual({ execute: 'migrate', arguments: { uri: 'x' }, id: b!.id });
    t.wire.says(
      `{"return": 2, "id": ${b!.id}}\r\n{"event": "STOP", "data": {}}\r\n{"return": {"a": 1}, "id": ${a!.id}}\r\n`,
    );
    t.wire.says(`{"error": {"class": "CommandNotFound", "desc": "no such"}, "id": ${c!.id}}\r\n`);
    expect([await first, await second]).toEqual([{ a: 1 }, 2]);
    await expect(third).rejects.toMatchObject({ name: 'QmpError', errorClass: 'CommandNotFound', message: 'no such' });
    expect(t.said).toEqual(['ready', 'STOP {}']);
  });

  test('lines in any pieces', async () => {
    const t = await new Bench().begin();
    for (const letter of '{"event": "RESUME"}\r\n\r\n{"event": "X", "data": {"n": 1}}\n') t.wire.says(letter);
    expect(t.said).toEqual(['ready', 'RESUME {}', 'X {"n":1}']);
  });

  test('without a connection, or when it ends, commands are refused; a new one begins with a greeting', async () => {
    const t = new Bench();
    await expect(t.client.execute('query-status')).rejects.toThrow('it is not connected');
    await t.begin();
    const waiting = t.client.execute('query-status');
    t.wire.hangUp();
    await expect(waiting).rejects.toThrow('the peer has closed the connection');
    expect(t.client.ready).toBe(false);
    t.wire.heard();
    await t.begin();
    expect(t.said).toEqual(['ready', 'closed: the peer has closed the connection', 'ready']);
  });

  test.each([
    ['{"return": {}}\n', 'no greeting'],
    ['what?\n', 'no JSON'],
    ['3\n', 'no object'],
    ['null\n', 'no object'],
  ])('%j instead of a greeting ends the connection', async (text, why) => {
    const t = new Bench();
    t.wire.connect();
    t.wire.says(text);
    expect(t.wire.dropped).toContain(why);
    expect(t.said).toEqual([]);
  });

  test('a message that is too long ends the connection, whether it ends or not', async () => {
    for (const end of ['', '\n']) {
      const t = await new Bench().begin();
      t.wire.says('x'.repeat(MAX_MESSAGE_BYTES + 1) + end);
      expect(t.wire.dropped).toContain('a message of more than');
    }
    const t = await new Bench().begin();
    t.wire.says(`{"event": "${'x'.repeat(MAX_MESSAGE_BYTES - 13)}"}\n`);
    expect([t.wire.dropped, t.said.length]).toEqual([undefined, 2]);
  });

  test('answers that nobody waits for, and commands without number, are borne', async () => {
    const t = await new Bench().begin();
    t.wire.says('{"return": {}, "id": 99}\n{"error": {"class": "GenericError", "desc": "x"}}\n{"id": null}\n');
    const all = Array.from({ length: 64 }, () => t.client.execute('query-status'));
    await expect(t.client.execute('query-status')).rejects.toThrow('64 commands have no answer yet');
    t.client.close();
    const reasons = (await Promise.allSettled(all)).map((r) =>
      r.status === 'rejected' ? String(r.reason) : 'answered',
    );
    expect(new Set(reasons)).toEqual(new Set([expect.stringContaining('it was closed')]));
  });
});

/** A QEMU whose COLO status is what the test says. */
class Watched {
  readonly wire = new FakeChardev();
  readonly said: string[] = [];
  colo: Record<string, unknown> = { mode: 'secondary', 'last-mode': 'none', reason: 'none' };
  readonly watch: ColoWatch;

  constructor(role: Role, make: typeof ColoWatch = ColoWatch) {
    const handler: WatchHandler = {
      onStopped: () => this.said.push('stopped'),
      onCheckpoint: (afterStop) => this.said.push(afterStop ? 'checkpoint' : 'perhaps a checkpoint'),
      onFailover: () => this.said.push('failover'),
      onRunning: () => this.said.push('running'),
    };
    this.watch = new make(role, ENDPOINT, handler, log, this.wire.factory);
    this.colo.mode = role;
  }

  async begin(): Promise<this> {
    this.wire.connect();
    this.wire.says(GREETING);
    await this.answers();
    return this;
  }

  event(name: string, data: Record<string, unknown> = {}): void {
    this.wire.says(`${JSON.stringify({ event: name, data })}\r\n`);
  }

  /** Answers all that is asked, until nothing is; what was asked. */
  async answers(): Promise<string[]> {
    const asked: string[] = [];
    for (;;) {
      await settle();
      const requests = this.wire.heard();
      if (requests.length === 0) return asked;
      for (const { execute, arguments: given, id } of requests) {
        asked.push(given === undefined ? String(execute) : `${execute} ${JSON.stringify(given)}`);
        const value =
          execute === 'query-colo-status'
            ? this.colo
            : execute === 'query-migrate-parameters'
              ? { 'x-checkpoint-delay': 777 }
              : {};
        this.wire.says(`${JSON.stringify({ return: value, id })}\r\n`);
      }
    }
  }

  took(): string[] {
    return this.said.splice(0);
  }

  alone(): void {
    this.colo = { mode: 'none', 'last-mode': this.colo.mode, reason: 'request' };
  }
}

describe('the watch', () => {
  let t: Watched;
  afterEach(() => t.watch.close());

  test('a STOP and a RESUME while in COLO are a checkpoint, in the order in which the guest’s frames must be read', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    for (let i = 0; i < 2; i++) {
      t.event('STOP');
      expect(t.took()).toEqual(['stopped']);
      t.event('RESUME');
      await settle();
      expect(t.took()).toEqual([]); // still to be told from a failover
      await t.answers();
      expect(t.took()).toEqual(['checkpoint', 'running']);
    }
  });

  test('a RESUME right behind its STOP, or without one', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    t.event('STOP');
    t.event('RESUME');
    await t.answers();
    expect(t.took()).toEqual(['stopped', 'checkpoint', 'running']);
    t.event('RESUME');
    await t.answers();
    expect(t.took()).toEqual(['perhaps a checkpoint']);
  });

  test('the next STOP before the answer: one checkpoint, when the guest runs again', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    t.event('STOP');
    await settle();
    t.event('RESUME');
    t.event('STOP');
    await t.answers();
    expect(t.took()).toEqual(['stopped']);
    t.event('RESUME');
    await t.answers();
    expect(t.took()).toEqual(['checkpoint', 'running']);
  });

  test('a failover is a STOP and a RESUME too, and no checkpoint; later ones mean nothing', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    t.event('STOP');
    await settle();
    t.alone();
    t.event('RESUME');
    t.event('COLO_EXIT', { mode: 'secondary', reason: 'request' });
    await t.answers();
    expect(t.took()).toEqual(['stopped', 'failover', 'running']);
    t.event('STOP');
    t.event('RESUME');
    await t.answers();
    expect(t.took()).toEqual([]);
  });

  test('COLO_EXIT by request is a failover, even without a RESUME', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    t.alone();
    t.event('COLO_EXIT', { mode: 'secondary', reason: 'request' });
    await t.answers();
    expect(t.took()).toEqual(['failover']);
  });

  test('an error is no failover: the primary may live. What RESUME follows is no checkpoint. The decision is waited for', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
    try {
      t = await new Watched('secondary').begin();
      t.took();
      t.event('COLO_EXIT', { mode: 'secondary', reason: 'error' });
      t.event('RESUME');
      await t.answers();
      jest.advanceTimersByTime(600);
      expect(await t.answers()).toEqual(['query-colo-status']);
      expect(t.took()).toEqual([]);
      t.alone();
      jest.advanceTimersByTime(600);
      await t.answers();
      expect(t.took()).toEqual(['failover']);
      jest.advanceTimersByTime(5000);
      expect(await t.answers()).toEqual([]);
    } finally {
      jest.useRealTimers();
    }
  });

  test('nor is it a checkpoint when COLO ends by an error right behind the RESUME', async () => {
    t = await new Watched('primary').begin();
    t.took();
    t.event('STOP');
    t.event('RESUME');
    t.event('COLO_EXIT', { mode: 'primary', reason: 'error' });
    await t.answers();
    expect(t.took()).toEqual(['stopped', 'running']);
  });

  test('an exit of the other side’s mode is none of this side', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    t.event('COLO_EXIT', { mode: 'primary', reason: 'request' });
    expect(await t.answers()).toEqual([]);
  });

  test('before COLO begins a stopped guest is only a stopped guest', async () => {
    t = new Watched('secondary');
    t.colo = { mode: 'none', 'last-mode': 'none', reason: 'none' };
    await t.begin();
    t.event('STOP');
    await settle();
    t.event('RESUME');
    await t.answers();
    expect(t.took()).toEqual(['stopped', 'running']);
  });

  test('a lost connection lets the guest be read again; after it, whatever it was counts as a checkpoint', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    t.event('STOP');
    await settle();
    t.wire.hangUp();
    expect(t.took()).toEqual(['stopped', 'running']);
    await t.begin();
    expect(t.took()).toEqual(['perhaps a checkpoint']);
    t.wire.hangUp();
    t.alone();
    await t.begin();
    expect(t.took()).toEqual(['failover']);
  });

  test('a QEMU that cannot say whether it is in COLO does not stop the guest’s traffic', async () => {
    t = await new Watched('secondary').begin();
    t.took();
    t.event('STOP');
    await settle();
    t.event('RESUME');
    const [{ id }] = t.wire.heard() as [{ id: number }];
    t.wire.says(`{"error": {"class": "CommandNotFound", "desc": "x"}, "id": ${id}}\n`);
    await settle();
    expect(t.took()).toEqual(['stopped', 'running']);
    expect(log.error).toHaveBeenCalled();
  });
});

describe('the primary’s watch', () => {
  test('a request sets the delay to what it is; requests meanwhile are part of it', async () => {
    const t = await new Watched('primary', PrimaryWatch).begin();
    const watch = t.watch as PrimaryWatch;
    expect([watch.request(), watch.request(), watch.requests]).toEqual([true, true, 1]);
    expect(await t.answers()).toEqual([
      'query-migrate-parameters',
      'migrate-set-parameters {"x-checkpoint-delay":777}',
    ]);
    expect(watch.request()).toBe(true);
    expect((await t.answers()).length).toBe(2);
    t.wire.hangUp();
    expect([watch.request(), watch.requests]).toEqual([false, 2]);
    watch.close();
  });

  test('COLO may begin anew after a failover', async () => {
    const t = await new Watched('primary', PrimaryWatch).begin();
    t.alone();
    t.event('COLO_EXIT', { mode: 'primary', reason: 'request' });
    await t.answers();
    t.took();
    t.colo = { mode: 'primary' };
    t.event('RESUME');
    await t.answers();
    expect(t.took()).toEqual(['perhaps a checkpoint']);
    t.event('STOP');
    await settle();
    t.event('RESUME');
    await t.answers();
    expect(t.took()).toEqual(['stopped', 'checkpoint', 'running']);
    t.watch.close();
  });
});
