// A server of many peers on Listener and Connection, against the real kernel: lengths and bytes that are sent back, and
// peers that do not keep to it.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Descriptor } from '../../src/io/descriptor';
import { Connection, streamBuffers } from '../../src/io/stream/connection';
import { Dialer } from '../../src/io/stream/dialer';
import { parseEndpoint } from '../../src/io/stream/endpoint';
import { Listener } from '../../src/io/stream/listener';
import { requires } from '../netns/requires';
import { until } from './native-lab';

const BUFFER_BYTES = 64 << 10;
const MAX_MESSAGE_BYTES = 16 << 10;

let dir: string;
const open: { close(): void }[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-server-'));
});
afterEach(() => {
  for (const each of open.splice(0).reverse()) each.close();
  rmSync(dir, { recursive: true });
});

/** Sends each message (4 bytes of length, then so many) back; a length that cannot be ends the connection. */
class Server {
  readonly sessions = new Set<Connection>();
  readonly ends: string[] = [];
  most = 0;
  readonly listener: Listener;

  constructor(text: string, maxPeers: number) {
    this.listener = new Listener(parseEndpoint(text), (socket, gone) => this.serve(socket, gone), {
      maxPeers,
      backlog: 64,
    });
    open.push(this);
  }

  close(): void {
    this.listener.close();
    for (const session of this.sessions) session.close();
  }

  private serve(socket: Descriptor, gone: () => void): void {
    const session: Connection = new Connection(
      socket,
      {
        onData: (buf, from, to) => this.messages(session, buf, from, to),
        onClose: (why) => void this.ends.push(why),
        onDrain: () => session.pause(false),
      },
      {
        buffers: streamBuffers(BUFFER_BYTES, BUFFER_BYTES),
        onGone: () => {
          this.sessions.delete(session);
          gone();
        },
      },
    );
    this.sessions.add(session);
    this.most = Math.max(this.most, this.sessions.size);
  }

  private messages(session: Connection, buf: Buffer, from: number, to: number): number {
    let at = from;
    while (to - at >= 4) {
      const bytes = buf.readUInt32BE(at);
      if (bytes > MAX_MESSAGE_BYTES) {
        session.disconnect(`a message of ${bytes} bytes`);
        return to - from;
      }
      if (to - at < 4 + bytes) break;
      if (!session.write(buf, at, 4 + bytes)) {
        // It does not read what it gets: nothing more of it is read.
        session.pause(true);
        break;
      }
      at += 4 + bytes;
    }
    session.flush();
    return at - from;
  }
}

class Peer {
  wrong = 0;
  ended = false;
  /** What must still come back. */
  private readonly expected: Buffer[] = [];
  private at = 0;

  private constructor(readonly socket: Socket) {
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
    });
    socket.on('data', (bytes) => this.hear(bytes));
    open.push({ close: () => socket.destroy() });
  }

  static async dial(where: { path: string } | { port: number; host: string }): Promise<Peer> {
    const socket = connect({ ...where, allowHalfOpen: true });
    const peer = new Peer(socket);
    await new Promise((resolve) => socket.once('connect', resolve));
    return peer;
  }

  say(bytes: number, seed: number): void {
    const message = Buffer.alloc(4 + bytes);
    message.writeUInt32BE(bytes);
    for (let i = 0; i < bytes; i++) message[4 + i] = (i * seed + (i >>> 8)) & 0xff;
    this.expected.push(message);
    this.socket.write(message);
  }

  get done(): boolean {
    return this.expected.length === 0;
  }

  private hear(bytes: Buffer): void {
    for (let from = 0; from < bytes.length; ) {
      const message = this.expected[0];
      const to = Math.min(bytes.length, from + (message?.length ?? 0) - this.at);
      if (message === undefined || bytes.compare(message, this.at, this.at + to - from, from, to) !== 0) this.wrong++;
      if (message === undefined) return;
      this.at += to - from;
      from = to;
      if (this.at < message.length) continue;
      this.expected.shift();
      this.at = 0;
    }
  }
}

requires('addon')('a server of many peers', () => {
  describe.each(['unix', 'tcp'])('%s', (kind) => {
    async function server(maxPeers: number) {
      const made = new Server(kind === 'unix' ? `unix:${join(dir, 's')},server` : 'tcp:127.0.0.1:0,server', maxPeers);
      await made.listener.open();
      const where = kind === 'unix' ? { path: join(dir, 's') } : { port: made.listener.port, host: '127.0.0.1' };
      return { server: made, where };
    }

    test('each hears its own', async () => {
      const { server: s, where } = await server(100);
      const peers = await Promise.all(Array.from({ length: 60 }, () => Peer.dial(where)));
      for (let round = 0; round < 5; round++) {
        for (const [i, peer] of peers.entries())
          peer.say([0, 1, 700, MAX_MESSAGE_BYTES, 4093][(i + round) % 5]!, i + 1);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => peers.every((peer) => peer.done));
      expect([s.most, peers.some((peer) => peer.wrong > 0), s.ends]).toEqual([60, false, []]);
      s.close();
      await until(() => peers.every((peer) => peer.socket.readableEnded || peer.ended));
      expect([s.sessions.size, s.listener.peerCount]).toEqual([0, 0]);
    });

    test('above the bound they wait for their turn, and are served then', async () => {
      const { server: s, where } = await server(5);
      const peers = await Promise.all(Array.from({ length: 30 }, () => Peer.dial(where)));
      for (const [i, peer] of peers.entries()) peer.say(500, i + 1);
      const left = new Set(peers);
      await until(() => {
        for (const peer of left) {
          if (!peer.done) continue;
          peer.socket.destroy();
          left.delete(peer);
        }
        return left.size === 0;
      });
      expect([s.most, peers.some((peer) => peer.wrong > 0), s.listener.counters.full > 5]).toEqual([5, false, true]);
      await until(() => s.listener.peerCount === 0);
    });

    test('lengths that cannot be, an end within a message, a peer that reads nothing: the others do not notice', async () => {
      const { server: s, where } = await server(10);
      const [good, bad, cut, deaf] = (await Promise.all([1, 2, 3, 4].map(() => Peer.dial(where)))) as [
        Peer,
        Peer,
        Peer,
        Peer,
      ];
      deaf.socket.pause();
      // Until the server can send it no more.
      await until(() => {
        for (let i = 0; i < 20; i++) deaf.say(MAX_MESSAGE_BYTES, 4);
        return [...s.sessions].some((session) => session.backlogBytes > 0);
      });
      bad.say(10, 2);
      bad.socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
      cut.socket.write(Buffer.from([0, 0, 0, 9, 1, 2]));
      await new Promise<void>((resolve) => void cut.socket.write(Buffer.from([3]), () => resolve()));
      if (kind === 'tcp') cut.socket.resetAndDestroy();
      else cut.socket.destroy();
      for (let i = 0; i < 50; i++) good.say(1000, 7);
      await until(() => good.done && s.sessions.size === 2);
      expect([good.wrong, good.ended]).toEqual([0, false]);
      expect(s.ends).toContain('a message of 4294967295 bytes');
      expect(s.ends.some((why) => /has closed|ECONNRESET/.test(why))).toBe(true);
      // And the deaf one is served when it listens.
      deaf.socket.resume();
      await until(() => deaf.done);
      expect(deaf.wrong).toBe(0);
    });

    test('one that has ended its sending alone has ended, when all that it said is read', async () => {
      const { server: s, where } = await server(2);
      const peer = await Peer.dial(where);
      peer.say(2000, 3);
      await until(() => peer.done);
      let ended = false;
      peer.socket.on('end', () => {
        ended = true;
      });
      peer.say(3000, 3);
      peer.socket.end();
      await until(() => ended);
      expect([peer.done, peer.wrong, s.ends]).toEqual([true, 0, ['the peer has closed the connection']]);
    });

    test('a dialer and a connection as its client', async () => {
      const { server: s, where } = await server(2);
      let heard = '';
      const client = await new Promise<Connection>((resolve, reject) => {
        const dialer = new Dialer(
          parseEndpoint('path' in where ? `unix:${where.path}` : `tcp:localhost:${where.port}`),
          {
            onPeer: (socket) =>
              resolve(
                new Connection(socket, {
                  onData: (buf, from, to) => {
                    heard += buf.toString('latin1', from, to);
                    return to - from;
                  },
                  onClose: () => {
                    heard += '.';
                  },
                }),
              ),
            onUnreachable: reject,
          },
        );
        dialer.dial();
      });
      open.push(client);
      expect(client.write(Buffer.from('\0\0\0\x05hello'), 0, 9)).toBe(true);
      await until(() => heard === '\0\0\0\x05hello');
      s.close();
      await until(() => heard.endsWith('.'));
      expect(client.closed).toBe(true);
    });
  });
});
