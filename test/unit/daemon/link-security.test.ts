// What somebody on the network can try at the link: each attempt is refused and counted, and the pair that works goes
// on.

import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, createServer, connect as tlsConnect } from 'node:tls';
import type { Link } from '../../../src/daemon/link';
import type { Channel } from '../../../src/link/channel';
import { encodeHello } from '../../../src/link/hello';
import { RecordType } from '../../../src/link/record';
import { FakeNode, hello, record } from '../link/parts';
import { end, Relay, say, TestLinks, until } from './link-parts';

const KEY = Buffer.alloc(32, 7);
const OTHER_KEY = Buffer.alloc(32, 8);

let links: TestLinks;
let relays: Relay[];
let sockets: Socket[];

beforeEach(() => {
  links = new TestLinks();
  relays = [];
  sockets = [];
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const one of relays) one.close();
  links.close();
});

interface Pair {
  listening: Link;
  primary: Channel;
  secondary: Channel;
  pn: FakeNode;
  sn: FakeNode;
  relay: Relay;
}

/** With a relay between them. */
async function pair(key: Buffer | undefined = KEY, handshakeMs?: number): Promise<Pair> {
  const listening = links.open('tcp:127.0.0.1:0', true, key, handshakeMs);
  await listening.open();
  const relay = new Relay(listening.port);
  relays.push(relay);
  const port = await relay.open();
  const pn = new FakeNode();
  const sn = new FakeNode();
  const primary = listening.channel(end('primary'))(pn);
  const secondary = links.open(`tcp:127.0.0.1:${port}`, false, key).channel(end('secondary'))(sn);
  await until(() => primary.up && secondary.up);
  return { listening, primary, secondary, pn, sn, relay };
}

async function works({ primary, secondary, pn, sn }: Pair): Promise<void> {
  const [before, after] = [pn.happened.length, sn.happened.length];
  say(primary, RecordType.CLIENT_FRAME, 'ping');
  say(secondary, RecordType.GUEST_FRAME, 'pong');
  await until(() => pn.happened.length === before + 2 && sn.happened.length === after + 2);
  expect(pn.happened.slice(before)).toEqual(['17 5 pong', 'batch']);
  expect(sn.happened.slice(after)).toEqual(['16 5 ping', 'batch']);
}

function raw(port: number, bytes?: Uint8Array): Socket {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  socket.resume();
  if (bytes !== undefined) socket.write(bytes);
  return socket;
}

function gone(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once('close', () => resolve()));
}

function tls(port: number, options: ConnectionOptions): Socket {
  const socket = tlsConnect({ port, host: '127.0.0.1', checkServerIdentity: () => undefined, ...options });
  sockets.push(socket);
  socket.on('error', () => {});
  return socket;
}

test.each([
  ['plain text', 'link_bad_tls', (port: number) => raw(port, Buffer.from('GET / HTTP/1.1\r\n\r\n'))],
  [
    'a HELLO without encryption',
    'link_bad_tls',
    (port: number) => raw(port, record(RecordType.HELLO, encodeHello(hello()))),
  ],
  ['TLS without a key', 'link_no_key', (port: number) => tls(port, { rejectUnauthorized: false })],
  [
    'the key under another name',
    'link_no_key',
    (port: number) => tls(port, { pskCallback: () => ({ psk: KEY, identity: 'other' }) }),
  ],
  [
    'another key',
    'link_other_key',
    (port: number) => tls(port, { pskCallback: () => ({ psk: OTHER_KEY, identity: 'colo' }) }),
  ],
  [
    'an older TLS with the key',
    'link_bad_tls',
    (port: number) =>
      tls(port, {
        maxVersion: 'TLSv1.2',
        ciphers: 'PSK-AES128-GCM-SHA256',
        pskCallback: () => ({ psk: KEY, identity: 'colo' }),
      }),
  ],
])('%s is refused, and the pair goes on', async (_what, counter, attack) => {
  const t = await pair();
  await gone(attack(t.listening.port));
  await until(() => t.listening.counters()[counter] === 1);
  expect(links.said.some((line) => line.startsWith('link: a connection has ended in its handshake'))).toBe(true);
  await works(t);
});

test('two hosts with different keys are told so, on both', async () => {
  const listening = links.open('tcp:127.0.0.1:0', true, KEY);
  await listening.open();
  const primary = listening.channel(end('primary'))(new FakeNode());
  const secondary = links.open(`tcp:127.0.0.1:${listening.port}`, false, OTHER_KEY).channel(end('secondary'))(
    new FakeNode(),
  );
  await until(() => links.said.length >= 2);
  expect(links.said.every((line) => line.includes('see that both hosts have the same key file'))).toBe(true);
  expect([primary.up, secondary.up, listening.counters().link_other_key! > 0]).toEqual([false, false, true]);
});

test('a listener that shows a certificate in place of the key is refused', async () => {
  const server = createServer({ cert: CERTIFICATE, key: CERTIFICATE_KEY, minVersion: 'TLSv1.3' });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => void links.said.push('heard'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const secondary = links.open(`tcp:127.0.0.1:${port}`, false, KEY).channel(end('secondary'))(new FakeNode());
  await until(() => secondary.counters!.snapshot().link_unreachable! >= 2);
  server.close();
  expect([secondary.up, links.said.includes('heard')]).toEqual([false, false]);
});

test('a session that was recorded and is played again says nothing to anybody', async () => {
  const t = await pair();
  say(t.secondary, RecordType.GUEST_FRAME, 'once');
  await until(() => t.pn.happened.length === 3);
  const recorded = Buffer.concat(t.relay.recorded[0]!);
  await gone(raw(t.listening.port, recorded));
  await until(() => t.listening.counters().link_bad_tls === 1);
  expect(t.pn.happened).toEqual(['up', '17 5 once', 'batch']);
  await works(t);
});

test('altered bytes end the connection; nothing of them is handed on, and it comes again', async () => {
  const t = await pair();
  t.relay.up = (bytes) => {
    const altered = Buffer.from(bytes);
    altered[altered.length - 1]! ^= 1;
    return altered;
  };
  say(t.secondary, RecordType.GUEST_FRAME, 'altered');
  await until(() => !t.primary.up);
  expect(t.pn.happened.slice(1)).toEqual([expect.stringMatching(/^down: what came was altered on the way/)]);
  t.relay.up = (bytes) => bytes;
  await until(() => t.primary.up && t.secondary.up);
  await works(t);
});

test('a record that is cut off is not handed on', async () => {
  const t = await pair();
  t.relay.up = (bytes) => {
    t.relay.up = () => undefined;
    return bytes.subarray(0, bytes.length - 5);
  };
  say(t.secondary, RecordType.GUEST_FRAME, 'cut');
  say(t.secondary, RecordType.GUEST_FRAME, 'off');
  await until(() => t.pn.happened.length === 2);
  expect(t.pn.happened[1]).toMatch(/^down: /);
  t.relay.up = (bytes) => bytes;
  await until(() => t.primary.up && t.secondary.up);
  await works(t);
});

test.each([
  ['plain', undefined],
  ['TLS', KEY],
])('who does not say in time who it is, is disconnected, whatever it does say: %s', async (_what, key) => {
  const t = await pair(key, 100);
  const silent = raw(t.listening.port);
  const slow = raw(t.listening.port);
  const drip = setInterval(() => slow.write(Buffer.from([0])), 20);
  await Promise.all([gone(silent), gone(slow)]);
  clearInterval(drip);
  expect(t.listening.counters().link_slow).toBe(2);
  await works(t);
});

test.each([
  ['plain', undefined],
  ['TLS', KEY],
])('a thousand connections that say nothing keep nobody out: %s', async (_what, key) => {
  const t = await pair(key);
  for (let i = 0; i < 1000; i++) raw(t.listening.port);
  await until(() => t.listening.counters().link_crowded! >= 1000 - 64);
  await works(t);
  t.secondary.disconnect('a test');
  await until(() => t.primary.up && t.secondary.up);
  await works(t);
  expect(t.listening.counters().link_accepted).toBeGreaterThanOrEqual(1002);
});

test('another process that is alive, too, does not get the channel; when the first has gone it does', async () => {
  const t = await pair();
  const other = new FakeNode();
  const second = links.open(`tcp:127.0.0.1:${t.listening.port}`, false, KEY).channel(end('secondary'))(other);
  await until(() => second.counters!.snapshot().link_refused_there === 1);
  expect(t.primary.counters!.snapshot()).toMatchObject({ link_refused_busy: 1, link_ups: 1 });
  await works(t);
  t.secondary.close();
  await until(() => second.up);
  expect(other.happened).toEqual(['up']);
});

test('a process that is silent loses its channel to one that is not', async () => {
  const t = await pair();
  // Nothing of the first is carried on any more, and nobody is told.
  t.relay.up = () => Buffer.alloc(0);
  const second = links.open(`tcp:127.0.0.1:${t.listening.port}`, false, KEY).channel(end('secondary'))(new FakeNode());
  await until(() => second.up);
  expect(t.primary.counters!.snapshot()).toMatchObject({ link_replaced: 1, link_ups: 2, link_downs: 1 });
});

test('a connection that carries nothing any more ends by its beats', async () => {
  const listening = links.open('tcp:127.0.0.1:0', true);
  await listening.open();
  const relay = new Relay(listening.port);
  relays.push(relay);
  const port = await relay.open();
  const beats = { periodMs: 20, dead: 3 };
  const primary = listening.channel(end('primary', { beats }))(new FakeNode());
  const secondary = links.open(`tcp:127.0.0.1:${port}`, false).channel(end('secondary', { beats }))(new FakeNode());
  await until(() => primary.up && secondary.up);
  relay.up = () => Buffer.alloc(0);
  await until(() => primary.counters!.snapshot().link_silent === 1);
  relay.up = (bytes) => bytes;
  await until(() => primary.up && secondary.up);
});

/** Made for these tests, proves nothing. */
const CERTIFICATE_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQggVwADETIkxkawzti
foZungJ9It/Uz34fVEYptIlpHXehRANCAAQOF6Arz61cuOSk/Ndt2VEfIBMeOqWK
rj4tv6cQ0v8r5HuMH88wtO1BT9mSeboIehauZYaGlypFFCXbJujaeQ6N
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUE/pK/xoXwP2tCizto+XxIgmlzbcwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEY29sbzAgFw0yNjExMzAyMDA0MTRaGA8yMTI2MTEwNjIwMDQx
NFowDzENMAsGA1UEAwwEY29sbzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABA4X
oCvPrVy45KT8123ZUR8gEx46pYquPi2/pxDS/yvke4wfzzC07UFP2ZJ5ugh6Fq5l
hoaXKkUUJdsm6Np5Do2jUzBRMB0GA1UdDgQWBBQYwghfPROSD1+8snF+8/79mPht
NjAfBgNVHSMEGDAWgBQYwghfPROSD1+8snF+8/79mPhtNjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQCyAq50/3K+8ihbb2D4mRO7YXn5AiTQyexx
V9bw0++nMAIgXcdEc2h/zPGPNrPDMZvMGFezkvylA4FtehWyUgxzHFU=
-----END CERTIFICATE-----`;
