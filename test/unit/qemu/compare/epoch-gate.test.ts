import { systemClock } from '../../../../src/io/system-clock';
import { SETTLE_MS } from '../../../../src/pmycolo/secondary-epochs';
import { EpochGate } from '../../../../src/qemu/compare/epoch-gate';

let said: string[];
let gate: EpochGate;
const took = () => said.splice(0);

beforeEach(() => {
  jest.useFakeTimers();
  said = [];
  gate = new EpochGate(
    {
      doubt: () => said.push('doubt'),
      readEmpty: () => said.push('read empty'),
      hold: (held) => said.push(held ? 'hold' : 'read'),
      dropSecondary: () => said.push('drop the secondary’s'),
      release: () => said.push('release'),
      askForCheckpoint: () => said.push('ask'),
      unprotect: () => said.push('unprotect'),
      protect: () => said.push('protect'),
    },
    systemClock,
  );
});
afterEach(() => jest.useRealTimers());

test('a checkpoint: what was said is read, nothing more until the release; what is late of the secondary is dropped', () => {
  gate.onStopped();
  expect([took(), gate.isHeld]).toEqual([['doubt', 'read empty', 'hold'], true]);
  jest.advanceTimersByTime(SETTLE_MS);
  expect(took()).toEqual(['drop the secondary’s']);
  gate.onCheckpoint(true);
  gate.onRunning();
  expect([took(), gate.isHeld]).toEqual([['release', 'read'], false]);
  expect(jest.getTimerCount()).toBe(0);
});

test.each([
  ['checkpoint', () => gate.onCheckpoint(true)],
  ['failover', () => gate.onFailover()],
  ['running', () => gate.onRunning()],
  ['end', () => gate.close()],
])('once it goes on (%s) nothing of the secondary is dropped: it may be new', (_, goesOn) => {
  gate.onStopped();
  goesOn();
  took();
  jest.advanceTimersByTime(10 * SETTLE_MS);
  expect(took()).toEqual([]);
});

test('a checkpoint of which no STOP was heard releases nothing, another one is asked for', () => {
  gate.onCheckpoint(false);
  expect(took()).toEqual(['doubt', 'ask']);
});

test('while QMP is away everything is held: a checkpoint would not be heard of', () => {
  gate.onLost();
  expect(took()).toEqual(['doubt']);
  gate.onCheckpoint(false);
  expect(took()).toEqual(['doubt', 'ask']);
  gate.onRunning();
  expect(took()).toEqual(['read']);
});

test('while QMP is away a primary that has come anew is not compared either', () => {
  gate.begunAnew();
  expect(took()).toEqual([]);
  gate.onLost();
  gate.begunAnew();
  expect(took()).toEqual(['doubt', 'doubt']);
  gate.onCheckpoint(false);
  gate.begunAnew();
  expect(took()).toEqual(['doubt', 'ask']);
});

test('alone nothing is held, whether QMP is there or not', () => {
  gate.onFailover();
  took();
  gate.onLost();
  expect(took()).toEqual([]);
});

test('alone, until COLO begins anew', () => {
  gate.onStopped();
  took();
  gate.onFailover();
  gate.onRunning();
  expect(took()).toEqual(['unprotect', 'read']);
  gate.onCheckpoint(false);
  expect(took()).toEqual(['protect', 'ask']);
  gate.onCheckpoint(true);
  expect(took()).toEqual(['release']);
});
