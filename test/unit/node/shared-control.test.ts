// Several controllers of one node: who may do what, and when it is told that it has none.

import type { InitContext, LostController, NodeControl } from '../../../src/node/controller';
import { SharedControl } from '../../../src/node/shared-control';

const FRESH: InitContext = { how: 'fresh', failedOver: false };
const GONE: LostController = { reason: 'connection_closed', mode: 'primary', failedOver: false };
const NODE = 1;

function fixture() {
  const done: string[] = [];
  const node = { failedOver: false, answer: undefined as { refused: 'failed' } | undefined };
  const said = (what: string) => () => {
    done.push(what);
    return undefined;
  };
  const control: NodeControl = {
    init: (_node, mode, { how }) => {
      done.push(`init ${mode} ${how}`);
      return node.answer;
    },
    checkpoint: said('checkpoint'),
    failover: said('failover'),
    reset: said('reset'),
    failedOver: () => node.failedOver,
    release: said('release'),
    controllerLost: (_node, { reason }) => void done.push(`lost ${reason}`),
    status: () => ({ state: 'comparing' }),
    stats: () => ({}),
    bypassList: () => [],
    bypassAdd: said('bypass'),
    bypassRemove: said('bypass'),
    bypassFlush: said('bypass'),
  };
  const shared = new SharedControl(control);
  const since = (): string[] => done.splice(0);
  return { libxl: shared.of('libxl'), manager: shared.of('manager'), operator: shared.of('operator'), node, since };
}

test('one alone: everything goes through as it is', () => {
  const { libxl, since } = fixture();
  expect(libxl.init(NODE, 'primary', FRESH)).toBeUndefined();
  libxl.checkpoint(NODE);
  libxl.failover(NODE);
  libxl.reset(NODE);
  libxl.init(NODE, 'unprotected', { how: 'reattached', failedOver: false });
  libxl.controllerLost(NODE, GONE);
  expect(since()).toEqual([
    'init primary fresh',
    'checkpoint',
    'failover',
    'reset',
    'init unprotected reattached',
    'lost connection_closed',
  ]);
  expect(libxl.status(NODE)).toEqual({ state: 'comparing' });
});

test('another one joins the pair that there is, and none other', () => {
  const { libxl, manager, since } = fixture();
  libxl.init(NODE, 'primary', FRESH);
  since();
  expect(manager.init(NODE, 'primary', FRESH)).toBeUndefined();
  expect(manager.init(NODE, 'unprotected', FRESH)).toMatchObject({
    refused: 'busy',
    why: expect.stringContaining('libxl'),
  });
  expect(since()).toEqual([]);
  expect(manager.status(NODE)).toMatchObject({ controllers: ['libxl', 'manager'] });
  expect(manager.status(undefined)).toEqual({ state: 'comparing' });
});

test('a checkpoint is said by one: twice it would release what the guests have said since', () => {
  const { libxl, manager, operator, since } = fixture();
  libxl.init(NODE, 'primary', FRESH);
  manager.init(NODE, 'primary', FRESH);
  libxl.checkpoint(NODE);
  for (const other of [manager, operator]) {
    expect(other.checkpoint(NODE)).toMatchObject({ refused: 'forbidden', why: expect.stringContaining('libxl') });
    expect(other.reset(NODE)).toMatchObject({ refused: 'forbidden' });
  }
  expect(since()).toEqual(['init primary fresh', 'checkpoint']);
});

test('a failover, and what an operator says, may come from anybody; after a failover a reset, too', () => {
  const { libxl, operator, node, since } = fixture();
  libxl.init(NODE, 'secondary', FRESH);
  operator.failover(NODE);
  operator.release(NODE);
  operator.bypassFlush(NODE);
  node.failedOver = true;
  operator.reset(NODE);
  expect(since()).toEqual(['init secondary fresh', 'failover', 'release', 'bypass', 'reset']);
});

test('the node is alone when the last is gone; the next one leads', () => {
  const { libxl, manager, since } = fixture();
  libxl.init(NODE, 'primary', FRESH);
  manager.init(NODE, 'primary', FRESH);
  libxl.controllerLost(NODE, GONE);
  manager.checkpoint(NODE);
  expect(since()).toEqual(['init primary fresh', 'checkpoint']);
  // It comes back, and the pair is still there.
  libxl.init(NODE, 'primary', FRESH);
  expect(libxl.checkpoint(NODE)).toMatchObject({ refused: 'forbidden' });
  manager.controllerLost(NODE, GONE);
  libxl.controllerLost(NODE, GONE);
  expect(since()).toEqual(['lost connection_closed']);
  libxl.init(NODE, 'primary', FRESH);
  expect(since()).toEqual(['init primary fresh']);
});

test('who was refused has taken nothing', () => {
  const { libxl, manager, node, since } = fixture();
  node.answer = { refused: 'failed' };
  libxl.init(NODE, 'primary', FRESH);
  node.answer = undefined;
  manager.init(NODE, 'primary', FRESH);
  expect(since()).toEqual(['init primary fresh', 'init primary fresh']);
});

test('a loss of which a process hears that has never seen the controller is told', () => {
  const { libxl, since } = fixture();
  libxl.controllerLost(NODE, GONE);
  expect(since()).toEqual(['lost connection_closed']);
});

test('nodes are apart', () => {
  const { libxl, manager, since } = fixture();
  libxl.init(NODE, 'primary', FRESH);
  manager.init(2, 'unprotected', FRESH);
  manager.checkpoint(2);
  libxl.controllerLost(NODE, GONE);
  expect(since()).toEqual(['init primary fresh', 'init unprotected fresh', 'checkpoint', 'lost connection_closed']);
});
