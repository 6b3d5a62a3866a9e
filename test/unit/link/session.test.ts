import { LinkCounters } from '../../../src/link/counters';
import { encodeHello, encodeRefusal } from '../../../src/link/hello';
import { MAX_RECORD_BYTES, RecordType, RF_OPTIONAL, writeHeader } from '../../../src/link/record';
import { FakeNode, hello, record, session } from './parts';

const NOTHING = new Uint8Array(0);

/** A listener's session of a primary whose peer has been accepted. */
function up(room?: number) {
  const node = new FakeNode();
  const counters = new LinkCounters();
  const t = session({ onHello: (s) => s.accept('primary', node, counters, hello({ role: 'primary' })) }, room);
  t.session.open(t.transport);
  t.wire.bring(record(RecordType.HELLO, encodeHello(hello())));
  expect(t.session.up).toBe(true);
  const answer = t.transport.carry();
  return { ...t, node, counters, answer };
}

test('a listener says nothing before it was greeted, then its own HELLO', () => {
  const t = up();
  expect(t.answer).toEqual(record(RecordType.HELLO, encodeHello(hello({ role: 'primary' }))));
});

test('a dialer greets first, and is up when it has accepted the answer', () => {
  const node = new FakeNode();
  const t = session({ onHello: (s) => s.accept('secondary', node, new LinkCounters()) });
  t.session.open(t.transport, hello());
  expect(t.transport.carry()).toEqual(record(RecordType.HELLO, encodeHello(hello())));
  t.wire.bring(
    Buffer.concat([
      record(RecordType.HELLO, encodeHello(hello({ role: 'primary' }))),
      record(RecordType.CLIENT_FRAME, 'abc', 7),
    ]),
  );
  expect(node.happened).toEqual([`${RecordType.CLIENT_FRAME} 7 abc`, 'batch']);
  expect(t.transport.carry().length).toBe(0);
});

test('records come in order, whole, once, however they are cut', () => {
  const bytes = Buffer.concat([
    record(RecordType.GUEST_FRAME, 'first', 1),
    record(RecordType.MARK, '', 2),
    record(RecordType.GUEST_FRAME, 'second', 2),
  ]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const t = up();
    t.wire.bring(bytes.subarray(0, cut));
    t.wire.bring(bytes.subarray(cut));
    expect(t.node.happened.filter((what) => what !== 'batch')).toEqual(['17 1 first', '19 2 ', '17 2 second']);
    expect(t.node.happened.at(-1)).toBe('batch');
  }
});

test('what the node does not take now comes again after resume(), and nothing before it', () => {
  const t = up();
  t.node.takes = 1;
  t.wire.bring(Buffer.concat([record(RecordType.GUEST_FRAME, 'a'), record(RecordType.GUEST_FRAME, 'b')]));
  t.wire.bring(record(RecordType.GUEST_FRAME, 'c'));
  expect([t.node.happened, t.transport.paused]).toEqual([['17 0 a', 'batch'], true]);
  t.node.takes = 5;
  t.session.resume();
  t.wire.again();
  expect([t.node.happened.slice(2), t.transport.paused]).toEqual([['17 0 b', '17 0 c', 'batch'], false]);
});

test('a record leaves with its head and its body; without room nothing of it does, and the node hears when there is', () => {
  const t = up(400);
  const body = Buffer.alloc(120, 'x');
  const head = Buffer.from('head');
  expect(t.session.send(RecordType.CLIENT_FRAME, 9, head, 4, body, 20, 100)).toBe(true);
  expect(t.session.send(RecordType.CLIENT_FRAME, 9, head, 0, Buffer.alloc(300), 0, 300)).toBe(false);
  t.session.flush();
  expect(t.node.happened).toEqual([]);
  expect(t.transport.carry()).toEqual(record(RecordType.CLIENT_FRAME, `head${'x'.repeat(100)}`, 9));
  expect(t.node.happened).toEqual(['room']);
  expect(t.counters.snapshot()).toMatchObject({ link_no_room: 1, link_records_out: 1, link_bytes_out: 116 });
  expect(t.session.send(RecordType.CLIENT_FRAME, 9, head, 0, body, 0, 120)).toBe(true);
});

describe('what ends a connection', () => {
  test.each([
    ['a record that is for the other role', record(RecordType.CLIENT_FRAME)],
    ['a record of a type that is not known', record(77)],
    ['a second HELLO', record(RecordType.HELLO, encodeHello(hello()))],
    ['reserved bits', record(RecordType.MARK, '', 0, 2)],
  ])('%s', (_what, bytes) => {
    const t = up();
    t.wire.bring(Buffer.concat([bytes, record(RecordType.MARK)]));
    expect([t.transport.connected, t.node.happened, t.counters.snapshot().link_broken]).toEqual([false, [], 1]);
    expect(t.happened).toEqual([expect.stringMatching(/^down: the other side speaks another protocol: record/)]);
  });

  test('an over-long record, by its header alone', () => {
    const t = up();
    const header = Buffer.alloc(12);
    writeHeader(header, 0, MAX_RECORD_BYTES + 1, RecordType.GUEST_FRAME, 0, 0);
    t.wire.bring(header);
    expect(t.transport.connected).toBe(false);
  });

  test('anything before the HELLO', () => {
    const t = session();
    t.session.open(t.transport);
    t.wire.bring(Buffer.from('GET / HTTP/1.1\r\n'));
    expect(t.happened).toEqual([expect.stringMatching(/^end: .*before the HELLO$/)]);
  });

  test('a HELLO that is not understood is refused', () => {
    const t = session();
    t.session.open(t.transport);
    t.wire.bring(record(RecordType.HELLO, '{"versions":1}'));
    expect(t.transport.flushed).toEqual(record(RecordType.REFUSE, 'malformed: the HELLO is not understood: versions'));
    expect(t.transport.connected).toBe(false);
  });

  test('a REFUSE, whose reason is told', () => {
    const t = session();
    t.session.open(t.transport, hello());
    t.wire.bring(record(RecordType.REFUSE, encodeRefusal({ word: 'vm', text: 'no \x1b[31mVM' })));
    expect(t.happened).toEqual(['refused vm: no ?[31mVM', 'end: the other side refuses: no ?[31mVM']);
  });
});

test('an optional record of a type that is not known is passed by', () => {
  const t = up();
  t.wire.bring(Buffer.concat([record(200, 'later', 0, RF_OPTIONAL), record(RecordType.MARK, '', 3)]));
  expect(t.node.happened).toEqual(['19 3 ', 'batch']);
  expect(t.counters.snapshot()).toMatchObject({ link_unknown_records: 1, link_records_in: 2 });
});

test('nothing is read while the peer is being thought about, and nothing is sent before', () => {
  const t = session();
  t.session.open(t.transport);
  t.wire.bring(Buffer.concat([record(RecordType.HELLO, encodeHello(hello())), record(RecordType.MARK)]));
  expect([t.happened, t.transport.paused, t.wire.unread]).toEqual([['hello'], true, 12]);
  expect(t.session.send(RecordType.MARK, 0, NOTHING, 0, NOTHING, 0, 0)).toBe(false);
  t.session.refuse({ word: 'busy', text: 'not now' });
  expect(t.transport.flushed).toEqual(record(RecordType.REFUSE, 'busy: not now'));
  expect(t.happened.at(-1)).toBe('end: refused: not now');
});
