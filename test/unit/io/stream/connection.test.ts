import { constants } from 'node:os';
import { Descriptor } from '../../../../src/io/descriptor';
import { Connection, type ConnectionEvents, streamBuffers } from '../../../../src/io/stream/connection';
import { FakeKernel, FakeSocket } from './fake-kernel';

let kernel: FakeKernel;
jest.mock('../../../../src/native/addon', () => ({ addon: () => kernel.addon }));

const { EPIPE, ECONNRESET } = constants.errno;

beforeEach(() => {
  kernel = new FakeKernel();
  jest.useFakeTimers();
});
afterEach(() => jest.useRealTimers());

/** A turn of the event loop with what setImmediate has put off. */
function turn(times = 1): void {
  for (let i = 0; i < times; i++) {
    kernel.turn();
    jest.advanceTimersByTime(0);
  }
}

function connection(events: Partial<ConnectionEvents> = {}, bytes = 64) {
  const socket = new FakeSocket();
  const fd = kernel.add(socket);
  const happened: string[] = [];
  const all: ConnectionEvents = {
    onData: (buf, from, to) => {
      happened.push(buf.toString('latin1', from, to));
      return to - from;
    },
    onEnd: () => void happened.push('end'),
    onClose: (why) => void happened.push(`close: ${why}`),
    onDrain: () => void happened.push('drain'),
    ...events,
  };
  const made = new Connection(new Descriptor(fd, () => {}, undefined, true), all, {
    buffers: streamBuffers(bytes, bytes),
    onGone: () => void happened.push('gone'),
  });
  const send = (text: string): boolean => {
    const at = made.reserve(text.length);
    if (at < 0) return false;
    made.out.write(text, at, 'latin1');
    made.commit(text.length);
    return true;
  };
  return { socket, fd, connection: made, happened, send };
}

describe('sending', () => {
  test('what the socket does not take waits until it is writable, then onDrain', () => {
    const t = connection();
    t.socket.room = 3;
    expect(t.send('abcdef')).toBe(true);
    t.connection.flush();
    expect([t.socket.heard, t.connection.backlogBytes, kernel.watched(t.fd).writable]).toEqual(['abc', 3, true]);
    // More of it is not tried before.
    t.connection.flush();
    expect(t.connection.counters.writes).toBe(1);
    t.socket.room = 2;
    turn();
    expect([t.socket.heard, t.happened]).toEqual(['abcde', []]);
    t.socket.room = 10;
    turn(2);
    expect([t.socket.heard, t.happened, kernel.watched(t.fd).writable]).toEqual(['abcdef', ['drain'], false]);
  });

  test('a socket that is full at once (EAGAIN) is asked again when it is writable', () => {
    const t = connection();
    t.socket.room = 0;
    t.send('abc');
    t.connection.flush();
    expect(t.connection.write(Buffer.from('def'), 0, 3)).toBe(true);
    expect([t.connection.backlogBytes, t.connection.counters.bytesOut]).toEqual([6, 0]);
    turn(2);
    expect(t.connection.counters.writes).toBe(1);
    t.socket.room = 100;
    turn();
    expect([t.socket.heard, t.connection.counters.writes, t.happened]).toEqual(['abcdef', 2, ['drain']]);
  });

  test('a failed send: nothing more is sent, what the peer has said before is heard, then the end', () => {
    const t = connection();
    t.socket.sendError = EPIPE;
    t.socket.says('last words');
    t.send('x');
    t.connection.flush();
    expect([t.connection.connected, t.connection.closed, t.happened]).toEqual([false, false, []]);
    expect([t.connection.reserve(1), t.connection.write(Buffer.from('x'), 0, 1)]).toEqual([-1, false]);
    jest.advanceTimersByTime(0);
    expect(t.happened).toEqual(['last words', 'gone', expect.stringMatching(/^close: sending: .*EPIPE/)]);
    expect(t.socket.closed).toBe(true);
  });

  test('of bytes from elsewhere the rest waits', () => {
    const t = connection();
    t.socket.room = 2;
    expect(t.connection.write(Buffer.from('-abcdef-'), 1, 6)).toBe(true);
    t.socket.room = 100;
    turn();
    expect(t.socket.heard).toBe('abcdef');
  });

  test('what waits when sending fails is not counted any more', () => {
    const t = connection();
    t.socket.room = 1;
    t.send('abc');
    t.connection.flush();
    t.socket.sendError = EPIPE;
    kernel.turn();
    expect([t.connection.backlogBytes, t.connection.closed, kernel.watched(t.fd).writable]).toEqual([0, false, false]);
  });

  test('what a pause has left is shown before the connection ends for a failed send', () => {
    let take = 0;
    const t = connection({
      onData: (buf, from, to) => {
        t.happened.push(buf.toString('latin1', from, to));
        if (take === 0) t.connection.pause(true);
        return take === 0 ? 0 : to - from;
      },
    });
    t.socket.says('abc');
    turn();
    t.happened.length = 0;
    take = 1;
    t.socket.sendError = EPIPE;
    t.send('x');
    t.connection.flush();
    t.connection.pause(false);
    // Before the event loop finds the socket's fault.
    jest.advanceTimersByTime(0);
    expect(t.happened).toEqual(['abc', 'gone', expect.stringContaining('EPIPE')]);
  });

  test('a reservation is for what fits at all', () => {
    const t = connection();
    t.send('a');
    expect(() => t.connection.reserve(65)).toThrow('fits into the send buffer');
    expect(() => t.connection.write(Buffer.alloc(65), 0, 65)).toThrow('fits into the send buffer');
  });
});

describe('the peer’s end', () => {
  test('a peer that ends its sending alone (half-closed) has ended, and all that it said is heard', () => {
    const t = connection();
    t.socket.says('all of it');
    t.socket.end = 0;
    turn();
    expect(t.happened).toEqual(['all of it']);
    turn();
    expect(t.happened).toEqual(['all of it', 'gone', 'close: the peer has closed the connection']);
  });

  test('a reset', () => {
    const t = connection();
    t.socket.end = ECONNRESET;
    turn();
    expect(t.happened).toEqual(['gone', expect.stringMatching(/^close: receiving: .*ECONNRESET/)]);
  });

  test('what is left unread is asked for once more', () => {
    const t = connection({ onData: () => 0 });
    t.socket.says('half');
    t.socket.end = 0;
    turn(2);
    expect(t.happened).toEqual(['end', 'gone', 'close: the peer has closed the connection']);
  });

  test('a connection that is closed in onEnd says nothing more', () => {
    const t = connection({ onData: () => 0, onEnd: () => t.connection.close() });
    t.socket.says('half');
    t.socket.end = 0;
    turn(2);
    expect(t.happened).toEqual(['gone']);
  });

  test('while paused the end waits, and what came before it comes first', () => {
    const t = connection();
    t.connection.pause(true);
    t.socket.says('abc');
    t.socket.end = 0;
    turn(3);
    expect(t.happened).toEqual([]);
    t.connection.pause(false);
    turn(2);
    expect(t.happened).toEqual(['abc', 'gone', 'close: the peer has closed the connection']);
  });

  test('what a pause has left is shown before the end is', () => {
    let take = 0;
    const t = connection({
      onData: (buf, from, to) => {
        t.happened.push(buf.toString('latin1', from, to));
        if (take === 0) t.connection.pause(true);
        return take === 0 ? 0 : to - from;
      },
    });
    t.socket.says('abc');
    turn();
    t.socket.end = 0;
    take = 1;
    t.connection.pause(false);
    // The socket is found readable before what setImmediate has put off.
    turn();
    expect(t.happened).toEqual(['abc', 'abc', 'gone', 'close: the peer has closed the connection']);
  });
});

describe('pulled', () => {
  test('bytes are read, looked at and consumed without onData', () => {
    const t = connection();
    t.socket.says('abcdef');
    expect(t.connection.fill()).toBe(true);
    expect(t.connection.unread.toString('latin1', t.connection.unreadFrom, t.connection.unreadTo)).toBe('abcdef');
    t.connection.consume(4);
    expect([t.connection.fill(), t.happened]).toEqual([false, []]);
    t.socket.says('gh');
    turn();
    expect(t.happened).toEqual(['efgh']);
  });

  test('what is consumed from outside makes room for one large read', () => {
    const t = connection();
    t.socket.says('x'.repeat(60));
    t.connection.fill();
    t.connection.consume(59);
    t.socket.says('y'.repeat(50));
    turn();
    expect(t.happened).toEqual([`x${'y'.repeat(50)}`]);
  });

  test('what is owed and then consumed from outside is not shown', () => {
    const t = connection({
      onData: (_buf, from, to) => {
        t.happened.push(`${to - from}`);
        t.connection.pause(true);
        return 0;
      },
    });
    t.socket.says('abc');
    turn();
    t.connection.pause(false);
    t.connection.consume(3);
    turn(2);
    expect(t.happened).toEqual(['3']);
  });

  test('not while paused, nor of an end: that is met by the event loop', () => {
    const t = connection();
    t.connection.pause(true);
    t.socket.says('abc');
    expect(t.connection.fill()).toBe(false);
    t.connection.pause(false);
    expect(t.connection.fill()).toBe(true);
    t.connection.consume(3);
    t.socket.end = 0;
    expect([t.connection.fill(), t.connection.closed]).toEqual([false, false]);
    turn();
    expect(t.connection.closed).toBe(true);
  });

  test('spin() sees either side, and nothing of a paused or ended one', () => {
    const a = connection();
    const b = connection();
    expect(a.connection.spin(b.connection, 1)).toBe(false);
    b.socket.says('x');
    expect(a.connection.spin(b.connection, 1)).toBe(true);
    a.connection.pause(true);
    expect(b.connection.spin(a.connection, 1)).toBe(false);
    a.connection.pause(false);
    a.connection.close();
    expect([a.connection.spin(b.connection, 1), b.connection.spin(a.connection, 1)]).toEqual([false, false]);
  });
});

describe('from within the own onData', () => {
  const again: [string, (c: Connection) => void, string][] = [
    ['deliverUnread()', (c) => c.deliverUnread(), 'not delivered from within'],
    ['consume()', (c) => c.consume(1), 'not consumed from within'],
    ['drain()', (c) => c.drain(100), 'not drained from within'],
  ];
  test.each(again)('%s is a fault', (_what, call, text) => {
    const t = connection({
      onData: (_buf, from, to) => {
        call(t.connection);
        return to - from;
      },
    });
    t.socket.says('abc');
    expect(() => turn()).toThrow(text);
  });

  test.each(again)('%s is one after a pause that has begun and ended there, too', (_what, call, text) => {
    const t = connection({
      onData: (_buf, from, to) => {
        t.connection.pause(true);
        t.connection.pause(false);
        call(t.connection);
        return to - from;
      },
    });
    t.socket.says('abc');
    expect(() => turn()).toThrow(text);
  });

  test('so is what another connection’s onData brings back', () => {
    const a = connection({
      onData: (_buf, from, to) => {
        b.connection.deliverUnread();
        return to - from;
      },
    });
    const b = connection({
      onData: () => {
        if (a.connection.unreadTo > 0) a.connection.deliverUnread();
        return 0;
      },
    });
    b.socket.says('b');
    turn();
    a.socket.says('a');
    expect(() => turn()).toThrow('not delivered from within');
  });

  test('more is read behind what is shown, which does not move', () => {
    const t = connection({
      onData: (buf, from) => {
        // So little room is left that outside of onData it would be moved.
        t.socket.says('efgh');
        t.connection.fill();
        t.happened.push(buf.toString('latin1', from, t.connection.unreadTo));
        return t.connection.unreadTo - from;
      },
    });
    t.socket.says('x'.repeat(42));
    t.connection.fill();
    t.connection.consume(40);
    t.socket.says('0123456789');
    turn();
    expect(t.happened).toEqual(['xx0123456789efgh']);
  });

  test('the end: nothing more is shown, whatever is returned', () => {
    const t = connection({
      onData: (_buf, from, to) => {
        t.happened.push('data');
        t.connection.disconnect('a length that cannot be');
        return to - from;
      },
    });
    t.socket.says('abc');
    turn();
    t.connection.pause(true);
    t.connection.pause(false);
    t.connection.deliverUnread();
    t.connection.drain(100);
    turn(2);
    expect(t.happened).toEqual(['data', 'gone', 'close: a length that cannot be']);
    expect([t.connection.fill(), t.connection.unreadTo, t.connection.backlogBytes]).toEqual([false, 0, 0]);
  });

  test('a pause, and its end in the same call: what is left comes again', () => {
    const t = connection({
      onData: (buf, from, to) => {
        t.happened.push(buf.toString('latin1', from, to));
        if (t.happened.length > 1) return to - from;
        t.connection.pause(true);
        t.connection.pause(false);
        return 1;
      },
    });
    t.socket.says('abc');
    turn(2);
    expect(t.happened).toEqual(['abc', 'bc']);
  });
});

describe('a pause', () => {
  test('begins with the connection where it is wished for', () => {
    const socket = new FakeSocket();
    const fd = kernel.add(socket);
    const made = new Connection(
      new Descriptor(fd, () => {}, undefined, true),
      { onData: (_b, f, t) => t - f, onClose: () => {} },
      { paused: true },
    );
    expect(kernel.watched(fd).readable).toBe(false);
    made.pause(false);
    expect(kernel.watched(fd).readable).toBe(true);
  });

  test('that begins again at once shows nothing', () => {
    const t = connection({
      onData: (_buf, from, to) => {
        t.happened.push(`${to - from}`);
        t.connection.pause(true);
        return 0;
      },
    });
    t.socket.says('abc');
    turn();
    t.connection.pause(false);
    t.connection.pause(true);
    turn(2);
    expect(t.happened).toEqual(['3']);
  });

  test('holds though a fault shows itself as readable', () => {
    const t = connection();
    t.connection.pause(true);
    t.socket.room = 0;
    t.send('x');
    t.connection.flush();
    t.socket.says('abc');
    t.socket.sendError = EPIPE;
    turn();
    expect([t.connection.counters.bytesIn, t.happened]).toEqual([0, ['gone', expect.stringContaining('EPIPE')]]);
  });
});

describe('drain()', () => {
  test('shows what was left unread, though the socket holds no more', () => {
    const t = connection({
      onData: (_buf, from, to) => {
        t.happened.push(`${to - from}`);
        return 0;
      },
    });
    t.socket.says('abc');
    turn();
    t.connection.pause(true);
    t.connection.drain(1000);
    expect(t.happened).toEqual(['3', '3']);
  });

  test('a consumer may read more in its midst, paused or not', () => {
    const t = connection({
      onData: (_buf, from) => {
        t.socket.says('more');
        expect(t.connection.fill()).toBe(true);
        return t.connection.unreadTo - from;
      },
    });
    t.connection.pause(true);
    t.socket.says('abc');
    t.connection.drain(1);
    expect(t.connection.counters.bytesIn).toBe(7);
  });

  test('hands over all that is there, paused or not, and a pause goes on after it', () => {
    const t = connection();
    t.connection.pause(true);
    t.socket.says('x'.repeat(200));
    t.connection.drain(1 << 20);
    expect(t.happened.join('')).toBe('x'.repeat(200));
    t.socket.says('y');
    turn(2);
    expect([t.happened.join(''), kernel.watched(t.fd).readable]).toEqual(['x'.repeat(200), false]);
  });

  test('is bounded where the peer goes on talking', () => {
    const t = connection({
      onData: (_buf, from, to) => {
        t.socket.says('x'.repeat(to - from));
        return to - from;
      },
    });
    t.socket.says('x'.repeat(64));
    t.connection.drain(1000);
    expect(t.connection.counters.bytesIn).toBe(1024);
  });

  test('ends with the peer', () => {
    const t = connection();
    t.connection.pause(true);
    t.socket.says('abc');
    t.socket.end = 0;
    t.connection.drain(1000);
    expect(t.happened).toEqual(['abc', 'gone', 'close: the peer has closed the connection']);
  });

  test.each([
    [true, false],
    [false, true],
  ])('a wish in its midst (%p) holds after it', (wish, readable) => {
    const t = connection({
      onData: (_buf, from, to) => {
        t.connection.pause(wish);
        return to - from;
      },
    });
    t.connection.pause(!wish);
    t.socket.says('abc');
    t.connection.drain(1000);
    expect(kernel.watched(t.fd).readable).toBe(readable);
    t.socket.says('more');
    t.connection.fill();
    expect(t.connection.counters.bytesIn).toBe(wish ? 3 : 7);
  });
});

test('a consumer leaves less than the buffer holds', () => {
  const t = connection({ onData: () => 0 });
  t.socket.says('x'.repeat(64));
  t.socket.says('y');
  // For a while it may wait until something else has had its turn.
  for (let i = 0; i < 100; i++) turn();
  expect(() => turn()).toThrow('leaves less unread than the receive buffer holds');
});

test('one talker cannot starve the rest', () => {
  const t = connection();
  t.socket.says('x'.repeat(64 * 10));
  turn();
  expect(t.happened).toHaveLength(4);
});

test('close() says nothing, once, and leaves the buffers empty', () => {
  const t = connection({ onData: () => 0 });
  t.socket.room = 0;
  t.socket.says('abc');
  turn();
  t.send('def');
  t.connection.flush();
  t.connection.close();
  t.connection.close();
  t.connection.disconnect('why');
  expect(t.happened).toEqual(['gone']);
  expect([t.connection.unreadTo, t.connection.backlogBytes, t.connection.connected]).toEqual([0, 0, false]);
  turn(2);
  expect(t.happened).toEqual(['gone']);
});
