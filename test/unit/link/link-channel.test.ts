import { LinkChannel } from '../../../src/link/link-channel';
import { RecordType } from '../../../src/link/record';
import { end } from '../daemon/link-parts';
import { FakeNode, hello, PROCESS, record, session } from './parts';

const NOTHING = new Uint8Array(0);

function channel() {
  const node = new FakeNode();
  const kept: string[] = [];
  const made = new LinkChannel(end('primary', { epoch: () => 9 }), PROCESS, node, {
    onLost: (why) => void kept.push(`lost: ${why}`),
    onClosed: () => void kept.push('closed'),
  });
  return { channel: made, node, kept };
}

/** A session whose peer has said that it is process `n`. */
function greeted(made: LinkChannel, n = 0) {
  const theirs = hello({ process: `${n}${PROCESS.slice(1)}` });
  const t = session({ onEnd: (one, why) => made.ended(one, why), onHello: () => {} });
  t.session.open(t.transport);
  t.wire.bring(record(RecordType.HELLO, Buffer.from(JSON.stringify(theirs))));
  return { ...t, theirs };
}

test('the node is told of its peer, which is told of the node', () => {
  const t = channel();
  const one = greeted(t.channel);
  expect([t.channel.up, t.channel.send(RecordType.MARK, 1, NOTHING, 0, NOTHING, 0, 0)]).toEqual([false, false]);
  t.channel.take(one.session, one.theirs, true);
  expect([t.channel.up, t.node.happened, t.node.peer]).toEqual([true, ['up'], one.theirs]);
  expect(JSON.parse(one.transport.flushed.toString('latin1', 12))).toMatchObject({ role: 'primary', epoch: 9 });
});

test('a newer connection takes the place of the one before, which is not heard of again', () => {
  const t = channel();
  const [one, two] = [greeted(t.channel), greeted(t.channel)];
  t.channel.take(one.session, one.theirs, true);
  expect(t.channel.claim(two.theirs)).toBe('free');
  t.channel.take(two.session, two.theirs, true);
  expect(t.node.happened).toEqual(['up', 'down: a newer connection of the same peer replaces it', 'up']);
  expect([one.transport.connected, t.kept]).toEqual([false, []]);
  one.wire.bring(record(RecordType.MARK));
  t.channel.ended(one.session, 'late');
  expect([t.channel.up, t.node.happened.length]).toEqual([true, 3]);
});

test('another process has to wait for a sign of life of the first', () => {
  const t = channel();
  const [one, two] = [greeted(t.channel), greeted(t.channel, 1)];
  expect(t.channel.claim(two.theirs)).toBe('free');
  t.channel.take(one.session, one.theirs, true);
  one.transport.carry();
  expect([t.channel.claim(two.theirs), t.channel.lively]).toEqual(['ask', false]);
  expect(one.transport.carry()).toEqual(record(RecordType.BEAT));
  one.wire.bring(record(RecordType.BEAT_ANSWER));
  expect(t.channel.lively).toBe(true);
});

test('a beat is answered, and silence ends the connection; one that is not read from is not judged', () => {
  const t = channel();
  const one = greeted(t.channel);
  t.channel.take(one.session, one.theirs, true);
  one.transport.carry();
  one.wire.bring(record(RecordType.BEAT));
  expect(one.transport.carry()).toEqual(record(RecordType.BEAT_ANSWER));
  for (let i = 0; i < 20; i++) {
    t.channel.beat();
    one.wire.bring(record(RecordType.BEAT_ANSWER));
  }
  t.node.takes = 0;
  one.wire.bring(record(RecordType.MARK));
  for (let i = 0; i < 20; i++) t.channel.beat();
  expect(t.channel.up).toBe(true);
  t.node.takes = 1;
  t.channel.resume();
  one.wire.again();
  // The first beat finds that something has come since the one before.
  for (let i = 0; i < 5; i++) t.channel.beat();
  expect(t.channel.up).toBe(true);
  t.channel.beat();
  expect([t.channel.up, t.kept]).toEqual([false, ['lost: nothing was heard for 5 beats']]);
  expect(t.channel.counters.snapshot()).toMatchObject({ link_silent: 1, link_downs: 1 });
});

test('one that is closed is told of nothing more', () => {
  const t = channel();
  const one = greeted(t.channel);
  t.channel.take(one.session, one.theirs, true);
  t.channel.close();
  t.channel.close();
  expect([t.channel.up, one.transport.connected, t.kept, t.node.happened]).toEqual([false, false, ['closed'], ['up']]);
});
