// Character devices against the real kernel: bytes in any pieces, back-pressure, ends of every kind, and paths.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Chardev, type ChardevOptions, parseEndpoint } from '../../src/io/stream/chardev';
import { requires } from '../netns/requires';
import { until } from './native-lab';
import { RunningScene } from './native-process';

let dir: string;
const open: { close(): void }[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-stream-'));
});
afterEach(() => {
  for (const each of open.splice(0).reverse()) each.close();
  rmSync(dir, { recursive: true });
});

/** A device that writes down what happens to it. Its consumer must not throw: that would end this process. */
class Station {
  readonly device: Chardev;
  readonly happened: string[] = [];
  heard: Buffer[] = [];
  unreachable: string[] = [];
  /** How many of so many bytes are taken. */
  take: (buf: Buffer, from: number, to: number) => number = (_buf, from, to) => to - from;
  onEnd: () => void = () => {};

  constructor(text: string, options?: ChardevOptions) {
    const events = {
      onOpen: () => void this.happened.push('open'),
      onData: (buf: Buffer, from: number, to: number) => {
        const n = this.take(buf, from, to);
        if (n > 0) this.heard.push(Buffer.from(buf.subarray(from, from + n)));
        return n;
      },
      onClose: (why: string) => void this.happened.push(`close: ${why}`),
      onEnd: () => this.onEnd(),
      onUnreachable: (why: string) => void this.unreachable.push(why),
    };
    this.device = new Chardev(parseEndpoint(text), events, options);
    open.push(this.device);
  }

  get text(): string {
    return Buffer.concat(this.heard).toString();
  }

  get opened(): number {
    return this.happened.filter((what) => what === 'open').length;
  }

  get closed(): number {
    return this.happened.length - this.opened;
  }

  /** False: there was no room. */
  write(bytes: Buffer | string): boolean {
    const buf = Buffer.from(bytes);
    const at = this.device.reserve(buf.length);
    if (at < 0) return false;
    buf.copy(this.device.out, at);
    this.device.commit(buf.length);
    return true;
  }

  send(bytes: Buffer | string): boolean {
    const done = this.write(bytes);
    this.device.flush();
    return done;
  }
}

async function station(text: string, options?: ChardevOptions): Promise<Station> {
  const made = new Station(text, options);
  await made.device.open();
  return made;
}

/** A peer that is no Chardev. */
async function dial(where: Station): Promise<Socket & { heard: Buffer[]; ended: boolean }> {
  const { kind, path } = where.device.endpoint;
  const socket = (kind === 'unix' ? connect(path) : connect(where.device.port, '127.0.0.1')) as Socket & {
    heard: Buffer[];
    ended: boolean;
  };
  socket.heard = [];
  socket.ended = false;
  socket.on('data', (bytes) => socket.heard.push(bytes));
  socket.on('error', () => {});
  socket.on('close', () => {
    socket.ended = true;
  });
  open.push({ close: () => socket.destroy() });
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

function pattern(bytes: number, seed = 1): Buffer {
  const buf = Buffer.alloc(bytes);
  let x = seed;
  for (let i = 0; i < bytes; i++) {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    buf[i] = x >>> 16;
  }
  return buf;
}

/** Length and content, so that a consumer knows what is whole. */
function framed(sizes: number[]): Buffer {
  return Buffer.concat(
    sizes.map((bytes, i) => {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(bytes);
      return Buffer.concat([head, pattern(bytes, i + 1)]);
    }),
  );
}

function takeFrames(buf: Buffer, from: number, to: number): number {
  let at = from;
  while (to - at >= 4 && to - at >= 4 + buf.readUInt32BE(at)) at += 4 + buf.readUInt32BE(at);
  return at - from;
}

const unix = () => `unix:${join(dir, 's')}`;

describe.each(['unix', 'tcp'])('%s', (kind) => {
  const serverText = () => (kind === 'unix' ? `${unix()},server` : 'tcp:127.0.0.1:0,server');
  const clientText = (server: Station) => (kind === 'unix' ? unix() : `tcp:localhost:${server.device.port}`);

  async function pair(serverOptions?: ChardevOptions, clientOptions?: ChardevOptions) {
    const server = await station(serverText(), serverOptions);
    const client = await station(clientText(server), clientOptions);
    await until(() => server.opened === 1);
    return { server, client };
  }

  requires('addon')('a server and a client', () => {
    test('carry bytes both ways, and count them', async () => {
      const { server, client } = await pair();
      expect([server.device.connected, client.device.connected, client.opened]).toEqual([true, true, 1]);
      expect(client.write('hel')).toBe(true);
      expect(client.write('lo')).toBe(true);
      expect([client.device.backlogBytes, client.device.counters.writes]).toEqual([5, 0]);
      client.device.flush();
      client.device.flush();
      expect([client.device.backlogBytes, client.device.counters.writes]).toEqual([0, 1]);
      server.send('and back');
      await until(() => server.text === 'hello' && client.text === 'and back');
      expect(server.device.counters).toEqual({ bytesIn: 5, bytesOut: 8, reads: 1, writes: 1, connections: 1 });
      client.device.disconnect('enough');
      expect(client.happened).toEqual(['open', 'close: enough']);
      await until(() => server.closed === 1);
      expect(server.happened.at(-1)).toBe('close: the peer has closed the connection');
      expect([server.device.connected, server.send('late'), client.send('late')]).toEqual([false, false, false]);
    });

    test('any fragmentation: the consumer gets what is whole, the rest comes again with more', async () => {
      const server = await station(serverText(), { receiveBytes: 200_000 });
      let incomplete = 0;
      server.take = (buf, from, to) => {
        const n = takeFrames(buf, from, to);
        if (n < to - from) incomplete++;
        return n;
      };
      const sizes = [
        0,
        1,
        2,
        60,
        1454,
        69_632,
        3,
        4096,
        69_632,
        69_632,
        69_632,
        ...Array.from({ length: 200 }, (_, i) => i * 11),
      ];
      const stream = framed(sizes);
      const peer = await dial(server);
      peer.setNoDelay(true);
      let at = 0;
      for (let i = 0; at < stream.length; i++) {
        const bytes = [1, 2, 3, 1, 4, 17, 1500, 4096, 9000][i % 9]!;
        peer.write(stream.subarray(at, at + bytes));
        at += bytes;
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => server.device.counters.bytesIn === stream.length);
      expect(Buffer.concat(server.heard).equals(stream)).toBe(true);
      expect(incomplete).toBeGreaterThan(20);
    });

    test('a consumer reads more than it was called with, and takes it along', async () => {
      const { server, client } = await pair();
      let calls = 0;
      server.take = (_buf, from, to) => {
        calls++;
        client.send('more');
        while (!server.device.fill());
        server.heard.push(Buffer.from(server.device.unread.subarray(to, server.device.unreadTo)));
        server.take = (_b, f, t) => t - f;
        return server.device.unreadTo - from;
      };
      client.send('some');
      await until(() => calls === 1);
      // The station writes down what it was called with after it has answered.
      expect([...server.heard].map(String).sort()).toEqual(['more', 'somemore']);
      expect([server.device.unreadFrom, server.device.unreadTo]).toEqual([0, 0]);
    });

    test('what is left unread is taken from outside, or comes again when asked for', async () => {
      const { server, client } = await pair();
      server.take = () => 0;
      client.send('abcdef');
      await until(() => server.device.unreadTo === 6);
      expect(server.device.unread.toString('latin1', 0, 6)).toBe('abcdef');
      server.device.consume(4);
      server.take = (_buf, from, to) => to - from;
      expect(server.text).toBe('');
      server.device.deliverUnread();
      expect(server.text).toBe('ef');
      server.device.deliverUnread();
      expect(server.text).toBe('ef');
      server.device.pause(true);
      client.send('ghi');
      expect(server.device.fill()).toBe(false);
    });

    test('what is unread when the peer ends can still be taken', async () => {
      const { server, client } = await pair();
      let ends = 0;
      server.take = () => 0;
      server.onEnd = () => {
        ends++;
        server.take = (_buf, from, to) => to - from;
        server.device.deliverUnread();
      };
      client.send('last words');
      await until(() => server.device.unreadTo === 10);
      client.device.close();
      await until(() => server.closed === 1);
      expect([server.text, ends]).toEqual(['last words', 1]);
    });

    test('write() sends bytes from elsewhere, in order with the others, all of them or none', async () => {
      const { server, client } = await pair({}, { sendBytes: 1 << 20 });
      const big = pattern(1 << 20, 5);
      expect(client.device.write(Buffer.from('abcdef'), 1, 3)).toBe(true);
      expect(client.device.counters).toMatchObject({ bytesOut: 3, writes: 1 });
      client.write('-');
      expect(client.device.write(Buffer.from('xy'), 0, 2)).toBe(true);
      await until(() => server.text === 'bcd-xy');
      server.device.pause(true);
      let wrote = 0;
      for (let i = 0; i < 40 && client.device.write(big, 0, big.length); i++) wrote++;
      expect([wrote > 0, client.device.backlogBytes > 0]).toEqual([true, true]);
      expect(client.device.write(big, 0, big.length)).toBe(false);
      server.device.pause(false);
      await until(() => server.device.counters.bytesIn === 6 + wrote * big.length);
      const heard = Buffer.concat(server.heard).subarray(6);
      for (let i = 0; i < wrote; i++)
        expect(heard.subarray(i * big.length, (i + 1) * big.length).equals(big)).toBe(true);
      expect(client.device.counters.bytesOut).toBe(server.device.counters.bytesIn);
      server.device.disconnect('enough');
      await until(() => client.closed === 1);
      expect(client.device.write(big, 0, 1)).toBe(false);
    });

    test('a slow reader: the backlog is bounded, and onDrain tells when it has gone', async () => {
      const { server, client } = await pair({}, { sendBytes: 300_000 });
      server.device.pause(true);
      let drains = 0;
      client.device.onDrain = () => drains++;
      const piece = pattern(10_007);
      let sent = 0;
      let most = 0;
      const fill = () => {
        while (client.send(piece)) {
          sent += piece.length;
          most = Math.max(most, client.device.backlogBytes);
        }
      };
      fill();
      // What the kernel still takes on its own account.
      await new Promise((resolve) => setTimeout(resolve, 50));
      fill();
      expect(most).toBeGreaterThan(270_000);
      expect(most).toBeLessThanOrEqual(300_000);
      expect([drains, server.device.counters.bytesIn, client.device.reserve(10_007)]).toEqual([0, 0, -1]);
      server.device.pause(false);
      await until(() => drains === 1);
      expect(client.device.backlogBytes).toBe(0);
      fill();
      await until(() => drains === 2 && server.device.counters.bytesIn === sent);
      expect(client.device.counters.bytesOut).toBe(sent);
      const all = Buffer.concat(server.heard);
      let wrong = 0;
      for (let i = 0; i < all.length; i++) if (all[i] !== piece[i % piece.length]) wrong++;
      expect([all.length, wrong]).toEqual([sent, 0]);
      // No drain without a need of it.
      client.send('x');
      await until(() => server.device.counters.bytesIn === sent + 1);
      expect(drains).toBe(2);
    });

    test('while paused nothing is read, and what was left comes without more', async () => {
      const server = await station(serverText());
      server.take = (_buf, from, to) => {
        server.device.pause(true);
        return Math.min(3, to - from);
      };
      const peer = await dial(server);
      peer.write('abcdefgh');
      await until(() => server.text === 'abc');
      // More than the kernel keeps for us: the peer's writes block.
      peer.write(Buffer.alloc(8 << 20, 'x'));
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(server.device.counters.bytesIn).toBe(8);
      expect(peer.writableLength).toBeGreaterThan(0);
      server.device.pause(false);
      await until(() => server.text === 'abcdef');
      server.take = (_buf, from, to) => to - from;
      server.device.pause(false);
      await until(() => server.device.counters.bytesIn === 8 + (8 << 20));
      expect(server.text.slice(0, 9)).toBe('abcdefghx');
    });

    test('a pause outlives the peer', async () => {
      const server = await station(serverText());
      server.device.pause(true);
      const peer = await dial(server);
      peer.write('hello');
      await until(() => server.opened === 1);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(server.device.counters.bytesIn).toBe(0);
      server.device.pause(false);
      await until(() => server.text === 'hello');
    });

    test('a second peer waits until the first has gone', async () => {
      const server = await station(serverText());
      const first = await dial(server);
      const second = await dial(server);
      second.write('second');
      first.write('first');
      await until(() => server.text === 'first');
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect([server.opened, server.text]).toEqual([1, 'first']);
      first.end();
      await until(() => server.text === 'firstsecond');
      expect(server.happened).toEqual(['open', 'close: the peer has closed the connection', 'open']);
      expect(second.ended).toBe(false);
      server.send('to you');
      await until(() => Buffer.concat(second.heard).toString() === 'to you');
      expect(first.heard).toEqual([]);
    });

    test('what a dropped peer left half said is forgotten, and nothing more of it is heard', async () => {
      const server = await station(serverText());
      const dropped = Buffer.concat([framed([10]), Buffer.from([0, 0, 0, 0]), framed([10])]);
      let calls = 0;
      server.take = (buf, from, to) => {
        calls++;
        const n = takeFrames(buf, from, to);
        if (buf.indexOf('drop') >= from) server.device.disconnect('a protocol error');
        return n;
      };
      const peer = await dial(server);
      peer.write(Buffer.concat([dropped, Buffer.from('drop')]));
      await until(() => server.closed === 1 && peer.ended);
      const before = calls;
      expect(server.happened).toEqual(['open', 'close: a protocol error']);
      server.heard = [];
      server.take = takeFrames;
      const next = await dial(server);
      next.write(framed([20]));
      await until(() => server.heard.length > 0);
      expect(before).toBeGreaterThan(0);
      expect(Buffer.concat(server.heard).equals(framed([20]))).toBe(true);
      // And a peer that dies in the midst of a frame costs that frame only.
      next.write(framed([20]).subarray(0, 13));
      next.end();
      await until(() => server.closed === 2);
      (await dial(server)).write(framed([30]));
      await until(() => server.heard.length > 1);
      expect(server.heard[1]!.equals(framed([30]))).toBe(true);
    });

    test('a peer killed in the midst of a long send', async () => {
      const server = await station(serverText(), { sendBytes: 8 << 20 });
      const where = kind === 'unix' ? unix() : `tcp:127.0.0.1:${server.device.port}`;
      const child = new RunningScene('chardevReadsNothing', where);
      await child.started;
      await until(() => server.opened === 1);
      let drained = false;
      server.device.onDrain = () => {
        drained = true;
      };
      const piece = pattern(50_000);
      while (server.send(piece));
      expect(server.device.backlogBytes).toBeGreaterThan(7 << 20);
      await child.kill();
      await until(() => server.closed === 1);
      expect([server.device.connected, server.device.backlogBytes, server.device.reserve(1), drained]).toEqual([
        false,
        0,
        -1,
        false,
      ]);
      const next = await dial(server);
      await until(() => server.opened === 2);
      server.send('you hear only this');
      await until(() => Buffer.concat(next.heard).toString() === 'you hear only this');
    });

    test('what a peer said before it went is heard, though sending to it fails', async () => {
      const server = await station(serverText());
      server.device.pause(true);
      const peer = await dial(server);
      await until(() => server.opened === 1);
      await new Promise<void>((resolve) => void peer.end('last words', () => resolve()));
      if (kind === 'unix') await until(() => peer.ended || peer.writableFinished);
      server.device.pause(false);
      // In the same turn: not yet read. A Unix socket knows at once, TCP later.
      server.send('x');
      await until(() => server.closed === 1);
      expect(server.text).toBe('last words');
    });

    test('a device that fails to send is not connected from then on; onClose comes later, once', async () => {
      const server = await station(serverText());
      const peer = await dial(server);
      await until(() => server.opened === 1);
      server.device.pause(true);
      peer.destroy();
      await until(() => peer.ended);
      // TCP needs an answer to learn it.
      await until(() => {
        server.send('x');
        return !server.device.connected;
      });
      expect([server.closed, server.device.reserve(1), server.device.backlogBytes]).toEqual([0, -1, 0]);
      server.device.commit(1);
      server.device.flush();
      await until(() => server.closed === 1);
      expect(server.happened[1]).toMatch(/^close: sending: .*(EPIPE|ECONNRESET)/);
      server.device.pause(false);
      await dial(server);
      await until(() => server.opened === 2);
      expect(server.closed).toBe(1);
    });

    test('close() ends everything, and calls nothing any more', async () => {
      const { server, client } = await pair();
      const waiting = await dial(server);
      server.device.close();
      server.device.close();
      await until(() => client.closed === 1 && waiting.ended);
      expect(server.happened).toEqual(['open']);
      expect(server.device.connected).toBe(false);
      expect([server.send('x'), server.device.backlogBytes]).toEqual([false, 0]);
    });
  });

  requires('addon')('a client', () => {
    /** An endpoint where nobody listens, and a server for it. */
    async function nobody(): Promise<{ where: string; server: () => Promise<Station> }> {
      if (kind === 'unix') return { where: unix(), server: () => station(`${unix()},server`) };
      const probe: Server = createServer();
      await new Promise<void>((resolve) => void probe.listen(0, '127.0.0.1', resolve));
      const { port } = probe.address() as { port: number };
      await new Promise((resolve) => probe.close(resolve));
      const where = `tcp:127.0.0.1:${port}`;
      return { where, server: () => station(`${where},server`) };
    }

    test('without reconnect says why it cannot, and what to do', async () => {
      const { where } = await nobody();
      await expect(station(where)).rejects.toMatchObject({
        code: kind === 'unix' ? 'ENOENT' : 'ECONNREFUSED',
        message: expect.stringContaining(where),
        hint: expect.stringContaining('reconnect'),
      });
    });

    test('without reconnect ends with its connection', async () => {
      const { server, client } = await pair();
      server.device.disconnect('go');
      await until(() => client.closed === 1);
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect([server.opened, client.opened]).toEqual([1, 1]);
    });

    test('with reconnect waits for its server, and finds it again', async () => {
      const { where, server: serve } = await nobody();
      const client = await station(`${where},reconnect=0.03`);
      expect([client.opened, client.device.connected]).toEqual([0, false]);
      await until(() => client.unreachable.length >= 2);
      expect(client.unreachable[0]).toContain(where);
      let server = await serve();
      await until(() => client.opened === 1 && server.opened === 1);
      client.send('one');
      await until(() => server.text === 'one');
      server.device.disconnect('again');
      await until(() => client.opened === 2 && server.opened === 2);
      client.send('two');
      await until(() => server.text === 'onetwo');
      // The server goes for good, and another comes.
      server.device.close();
      await until(() => client.closed === 2);
      server = await serve();
      await until(() => client.opened === 3);
      client.send('three');
      await until(() => server.text === 'three');
      client.device.disconnect('mine');
      await until(() => client.opened === 4);
      expect(client.device.counters.connections).toBe(4);
      client.device.close();
      await until(() => server.closed === 2);
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(server.opened).toBe(2);
    });
  });
});

requires('addon')('Unix paths', () => {
  test('the file is the user’s alone, and goes with the device', async () => {
    const server = await station(`${unix()},server`);
    expect(statSync(join(dir, 's')).mode & 0o7777).toBe(0o600);
    server.device.close();
    expect(existsSync(join(dir, 's'))).toBe(false);
  });

  test('another’s file of the same name stays', async () => {
    const server = await station(`${unix()},server`);
    renameSync(join(dir, 's'), join(dir, 'moved'));
    writeFileSync(join(dir, 's'), 'another’s');
    server.device.close();
    expect(readFileSync(join(dir, 's'), 'utf8')).toBe('another’s');
  });

  test('a dead server’s is replaced, a living one’s is not, and that one does not notice', async () => {
    const child = new RunningScene('chardevServes', `${unix()},server`);
    await child.started;
    await expect(station(`${unix()},server`)).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: expect.stringContaining(unix()),
      hint: expect.stringContaining('another process'),
    });
    const ended = await child.kill();
    expect(ended.stdout).toBe('ready\n');
    expect(existsSync(join(dir, 's'))).toBe(true);
    const server = await station(`${unix()},server`);
    (await dial(server)).write('hello');
    await until(() => server.text === 'hello');
  });

  test('what is no socket stays, and says so', async () => {
    writeFileSync(join(dir, 's'), 'x');
    await expect(station(`${unix()},server`)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(station(`unix:${join(dir, 'no', 's')},server`)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(readFileSync(join(dir, 's'), 'utf8')).toBe('x');
  });

  test('a client that finds the backlog full comes in when there is room', async () => {
    const server = await station(`${unix()},server`);
    const first = await dial(server);
    await until(() => server.opened === 1);
    const others = await Promise.all(
      Array.from({ length: 5 }, () =>
        Promise.race([dial(server), new Promise<void>((resolve) => setTimeout(resolve, 300))]),
      ),
    );
    const late = new Station(unix());
    const opened = late.device.open();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(late.opened).toBe(0);
    first.destroy();
    for (const other of others) if (other !== undefined) other.destroy();
    await opened;
    late.send('at last');
    await until(() => server.text === 'at last');
  });
});

requires('addon')('TCP addresses', () => {
  test('one that is taken, one that is not ours, and a name that nobody has', async () => {
    const server = await station('tcp:127.0.0.1:0,server');
    await expect(station(`tcp:127.0.0.1:${server.device.port},server`)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await expect(station('tcp:192.0.2.1:0,server')).rejects.toMatchObject({
      code: 'EADDRNOTAVAIL',
      hint: expect.stringContaining('does not have that address'),
    });
    await expect(station('tcp:no-such-host.invalid:1')).rejects.toMatchObject({
      code: expect.stringMatching(/^(ENOTFOUND|EAI_AGAIN)$/),
      hint: expect.stringContaining('/etc/hosts'),
    });
  });

  test('no host is every address', async () => {
    const server = await station('tcp::0,server');
    for (const host of ['127.0.0.1', '127.0.0.2', ...(existsSync('/proc/net/if_inet6') ? ['[::1]'] : [])]) {
      const before = server.opened;
      const client = await station(`tcp:${host}:${server.device.port}`);
      await until(() => server.opened === before + 1);
      client.device.close();
      await until(() => server.closed === server.opened);
    }
  });
});

requires('addon')('a consumer’s fault ends the process', () => {
  test.each([
    ['throws', 'a planted fault'],
    ['takesTooMuch', 'takes no more than there is'],
    ['leavesTooMuch', 'less unread than the receive buffer holds'],
  ])('%s', async (fault, text) => {
    const child = new RunningScene('chardevConsumer', `${unix()},server`, fault);
    await child.started;
    const peer = connect(join(dir, 's'));
    open.push({ close: () => peer.destroy() });
    peer.on('error', () => {});
    peer.write(Buffer.alloc(5000));
    const ended = await child.ended;
    expect(ended.status).toBe(70);
    expect(ended.stderr).toContain(text);
  });
});
