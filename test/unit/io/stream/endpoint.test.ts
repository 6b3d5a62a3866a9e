import fc from 'fast-check';
import { type Endpoint, formatEndpoint, parseEndpoint } from '../../../../src/io/stream/endpoint';

const UNIX: Endpoint = { kind: 'unix', path: '/run/s', host: '', port: 0, server: false, reconnectMs: 0 };
const TCP: Endpoint = { kind: 'tcp', path: '', host: 'pn', port: 9003, server: false, reconnectMs: 0 };

test.each<[string, Endpoint]>([
  ['unix:/run/s', UNIX],
  ['unix:/run/s,server', { ...UNIX, server: true }],
  ['unix:/run/s,reconnect=1', { ...UNIX, reconnectMs: 1000 }],
  ['unix:/a,,b,server', { ...UNIX, path: '/a,b', server: true }],
  ['unix:./a b:c', { ...UNIX, path: './a b:c' }],
  ['tcp:pn:9003', TCP],
  ['tcp:10.0.0.1:9003,reconnect=0.25', { ...TCP, host: '10.0.0.1', reconnectMs: 250 }],
  ['tcp:[::1]:9003', { ...TCP, host: '::1' }],
  ['tcp:[fe80::1%eth0]:9003,server', { ...TCP, host: 'fe80::1%eth0', server: true }],
  ['tcp::0,server', { ...TCP, host: '', port: 0, server: true }],
])('%s', (text, endpoint) => {
  expect(parseEndpoint(text)).toEqual(endpoint);
  expect(formatEndpoint(endpoint)).toBe(text);
});

test.each([
  ['', 'neither unix: nor tcp:'],
  ['/run/s', 'neither unix: nor tcp:'],
  ['udp:a:1', 'neither unix: nor tcp:'],
  ['unix:', 'path is missing'],
  [`unix:${'a'.repeat(108)}`, 'longer than 107 bytes'],
  [`unix:${'ä'.repeat(54)}`, 'longer than 107 bytes'],
  ['unix:/a\0b', 'NUL'],
  ['unix:/a,', 'ends in a comma'],
  ['unix:/a,server=on', "'server=on' is no option"],
  ['unix:/a,wait=off', "'wait=off' is no option"],
  ['unix:/a,server,reconnect=1', 'a server does not reconnect'],
  ['unix:/a,reconnect=0', "reconnect is '0'"],
  ['unix:/a,reconnect=1e3', "reconnect is '1e3'"],
  ['unix:/a,reconnect=3601', "reconnect is '3601'"],
  ['tcp:pn', 'no HOST:PORT'],
  ['tcp:pn:', "port is ''"],
  ['tcp:pn:http', "port is 'http'"],
  ['tcp:pn:65536', "port is '65536'"],
  ['tcp:pn:0', "port is '0'"],
  ['tcp::1', 'host is missing'],
  ['tcp:::1:9003', 'in brackets'],
  ['tcp:[pn]:9003', '[pn] is no IPv6 address'],
  ['tcp:[::1]', 'no HOST:PORT'],
  ['tcp:a b:1', 'a space'],
])('%j is refused, with what is wrong and what is allowed', (text, what) => {
  expect(() => parseEndpoint(text)).toThrow(
    expect.objectContaining({
      code: 'EENDPOINT',
      message: expect.stringContaining(what),
      hint: expect.stringContaining('unix:PATH or tcp:HOST:PORT'),
    }),
  );
});

test('what is written is read as the same', () => {
  const path = fc.string({ minLength: 1, maxLength: 30, unit: fc.constantFrom(',', '/', 'a', ':', '=', ' ', '[') });
  fc.assert(
    fc.property(path, fc.boolean(), fc.nat(3_600_000), (path, server, ms) => {
      const endpoint: Endpoint = { ...UNIX, path, server, reconnectMs: server ? 0 : ms };
      expect(parseEndpoint(formatEndpoint(endpoint))).toEqual(endpoint);
    }),
  );
});
