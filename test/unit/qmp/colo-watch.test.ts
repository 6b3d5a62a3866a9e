import { Watched } from './watched';

test('a STOP and a RESUME while in COLO are a checkpoint, in the order in which the guest’s frames must be read', () => {
  const t = new Watched('secondary').begin();
  for (let i = 0; i < 2; i++) {
    t.qemu.stopGuest();
    t.qemu.settle();
    expect(t.took()).toEqual(['stopped']);
    t.qemu.resumeGuest();
    t.qemu.deliver();
    expect(t.took()).toEqual([]); // still to be told from a failover
    t.qemu.settle();
    expect(t.took()).toEqual(['checkpoint', 'running']);
  }
});

test('a RESUME right behind its STOP may have come before the reading; one without STOP leaves everything open', () => {
  const t = new Watched('secondary').begin();
  t.qemu.stopGuest();
  t.qemu.resumeGuest();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped', 'perhaps a checkpoint', 'running']);
  t.qemu.event('RESUME');
  t.qemu.settle();
  expect(t.took()).toEqual(['perhaps a checkpoint']);
});

test('the next STOP before the answer: one checkpoint, when the guest runs again', () => {
  const t = new Watched('secondary').begin();
  t.qemu.stopGuest();
  t.qemu.settle();
  t.qemu.resumeGuest();
  t.qemu.stopGuest();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped']);
  t.qemu.resumeGuest();
  t.qemu.settle();
  // What was said between the two stops was not read.
  expect(t.took()).toEqual(['perhaps a checkpoint', 'running']);
});

test('an answer to what was asked at an earlier STOP proves nothing of the reading at the last', () => {
  const t = new Watched('primary').begin();
  t.qemu.withheld.add('query-yank');
  t.qemu.stopGuest();
  t.qemu.settle();
  t.qemu.resumeGuest();
  t.qemu.stopGuest();
  t.qemu.withheld.clear();
  t.qemu.answerWithheld();
  t.qemu.settle();
  t.qemu.resumeGuest();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped', 'perhaps a checkpoint', 'running']);
});

test('an answer from before the last STOP counts no longer, and one question is under way at a time', () => {
  const t = new Watched('secondary').begin();
  t.qemu.withheld.add('query-colo-status');
  t.qemu.stopGuest();
  for (let i = 0; i < 20; i++) {
    t.qemu.resumeGuest();
    t.qemu.stopGuest();
  }
  t.qemu.settle();
  expect([t.took(), t.asked()]).toEqual([['stopped'], ['query-yank', 'query-colo-status']]);
  t.qemu.goAlone();
  t.qemu.settle();
  expect([t.took(), t.asked()]).toEqual([[], []]);
  t.qemu.withheld.clear();
  t.qemu.answerWithheld(); // says that it is in COLO
  t.qemu.settle();
  expect([t.took(), t.asked()]).toEqual([['failover', 'running'], ['query-colo-status']]);
});

test('the reading was in time when QEMU has answered since, whatever its main loop does', () => {
  const t = new Watched('primary').begin();
  t.qemu.stuck = true;
  t.qemu.stopGuest();
  t.qemu.settle();
  t.qemu.stuck = false;
  t.qemu.resumeGuest();
  t.qemu.settle();
  expect([t.took(), t.asked()]).toEqual([
    ['stopped', 'checkpoint', 'running'],
    ['query-yank', 'query-colo-status'],
  ]);
  t.qemu.refusals.set('query-yank', 'no such command');
  t.qemu.stopGuest();
  t.qemu.settle();
  t.qemu.resumeGuest();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped', 'checkpoint', 'running']);
});

test('a QEMU that answers nothing out of band has to answer in band', () => {
  const t = new Watched('primary');
  t.qemu.offersOutOfBand = false;
  t.begin();
  for (const stuck of [false, true]) {
    t.qemu.stuck = stuck;
    t.qemu.stopGuest();
    t.qemu.settle();
    t.qemu.resumeGuest();
    t.qemu.deliver();
    t.qemu.stuck = false;
    t.qemu.settle();
    expect(t.took()).toEqual(['stopped', stuck ? 'perhaps a checkpoint' : 'checkpoint', 'running']);
  }
});

test('a failover is a STOP and a RESUME too, and no checkpoint; later ones mean nothing', () => {
  const t = new Watched('secondary').begin();
  t.qemu.goAlone();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped', 'failover', 'running']);
  t.qemu.stopGuest();
  t.qemu.resumeGuest();
  t.qemu.settle();
  expect(t.took()).toEqual([]);
});

test('COLO_EXIT by request is a failover, even without a RESUME', () => {
  const t = new Watched('secondary').begin();
  t.qemu.colo = { mode: 'none', 'last-mode': 'secondary', reason: 'request' };
  t.qemu.event('COLO_EXIT', { mode: 'secondary', reason: 'request' });
  t.qemu.settle();
  expect(t.took()).toEqual(['failover']);
});

test('an error is no failover: the primary may live. What RESUME follows is no checkpoint. The decision is waited for', () => {
  const t = new Watched('secondary').begin();
  t.qemu.loseOther();
  t.qemu.event('RESUME');
  t.qemu.settle();
  t.asked();
  t.clock.pass(600);
  t.qemu.settle();
  expect([t.asked(), t.took()]).toEqual([['query-colo-status'], []]);
  t.qemu.colo = { mode: 'none', 'last-mode': 'secondary', reason: 'request' };
  t.clock.pass(600);
  t.qemu.settle();
  expect(t.took()).toEqual(['failover']);
  t.asked();
  t.clock.pass(5000);
  t.qemu.settle();
  expect([t.asked(), t.clock.pending]).toEqual([[], 0]);
});

test('nor is it a checkpoint when COLO ends by an error right behind the RESUME', () => {
  const t = new Watched('primary').begin();
  t.qemu.stopGuest();
  t.qemu.resumeGuest();
  t.qemu.loseOther();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped', 'running']);
});

test('an exit of the other side’s mode is none of this side', () => {
  const t = new Watched('secondary').begin();
  t.qemu.event('COLO_EXIT', { mode: 'primary', reason: 'request' });
  t.qemu.settle();
  expect(t.asked()).toEqual([]);
});

test('before COLO begins a stopped guest is only a stopped guest', () => {
  const t = new Watched('secondary');
  t.qemu.enterColo('none');
  t.begin();
  t.qemu.stopGuest();
  t.qemu.settle();
  t.qemu.resumeGuest();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped', 'running']);
});

test('a lost connection lets the guest be read again; after it, whatever it was counts as a checkpoint', () => {
  const t = new Watched('secondary').begin();
  t.qemu.stopGuest();
  t.qemu.settle();
  t.qemu.hangUp();
  expect(t.took()).toEqual(['stopped', 'running', 'lost']);
  t.qemu.accept();
  t.qemu.settle();
  expect(t.took()).toEqual(['perhaps a checkpoint']);
  t.qemu.hangUp();
  t.qemu.goAlone();
  t.qemu.accept();
  t.qemu.settle();
  expect(t.took()).toEqual(['lost', 'failover']);
});

test.each([
  ['refuses to say', (t: Watched) => t.qemu.refusals.set('query-colo-status', 'no')],
  ['says nothing that means anything', (t: Watched) => Object.assign(t.qemu, { colo: { mode: 7 } })],
])('a QEMU that %s whether it is in COLO does not stop the guest’s traffic', (_, make) => {
  const t = new Watched('secondary').begin();
  make(t);
  t.qemu.stopGuest();
  t.qemu.resumeGuest();
  t.qemu.settle();
  expect(t.took()).toEqual(['stopped', 'running']);
});

test('closed, nothing is told or polled any more', () => {
  const t = new Watched('secondary').begin();
  t.qemu.loseOther();
  t.qemu.settle();
  t.took();
  t.watch.close();
  expect([t.took(), t.clock.pending]).toEqual([[], 0]);
});

describe('the primary’s requests', () => {
  test('one sets the delay to what it is; requests meanwhile are part of it', () => {
    const t = new Watched('primary').begin();
    let wanted = 0;
    t.qemu.onCheckpointRequest = () => wanted++;
    expect([t.watch.request(), t.watch.request(), t.watch.requests]).toEqual([true, true, 1]);
    t.qemu.settle();
    expect([t.asked(), t.qemu.set, wanted]).toEqual([
      ['query-migrate-parameters', 'migrate-set-parameters'],
      [{ 'x-checkpoint-delay': 20_000 }],
      1,
    ]);
    expect(t.watch.request()).toBe(true);
    t.qemu.settle();
    expect(t.asked().length).toBe(2);
    t.qemu.hangUp();
    expect([t.watch.request(), t.watch.requests]).toEqual([false, 2]);
  });

  test.each(['query-migrate-parameters', 'migrate-set-parameters'])(
    'where QEMU refuses %s the next is asked all the same',
    (command) => {
      const t = new Watched('primary').begin();
      t.qemu.refusals.set(command, 'no');
      t.watch.request();
      t.qemu.settle();
      expect([t.log.error.mock.calls[0]![0], t.watch.asking]).toEqual([{ error: 'no' }, false]);
      t.qemu.refusals.clear();
      t.watch.request();
      t.qemu.settle();
      expect(t.qemu.set.length).toBe(1);
    },
  );

  test('a request that the connection’s end took with it is none', () => {
    const t = new Watched('primary').begin();
    t.qemu.stuck = true;
    t.watch.request();
    t.qemu.hangUp();
    expect(t.watch.asking).toBe(false);
  });

  test('COLO may begin anew after a failover', () => {
    const t = new Watched('primary').begin();
    t.qemu.goAlone();
    t.qemu.settle();
    t.took();
    t.qemu.enterColo('primary');
    t.qemu.event('RESUME');
    t.qemu.settle();
    expect(t.took()).toEqual(['perhaps a checkpoint']);
    t.qemu.stopGuest();
    t.qemu.settle();
    t.qemu.resumeGuest();
    t.qemu.settle();
    expect(t.took()).toEqual(['stopped', 'checkpoint', 'running']);
  });
});
