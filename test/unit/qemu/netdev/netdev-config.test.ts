import { join } from 'node:path';
import { readConfigFile } from '../../../../src/config/file';
import {
  netdevFromFile,
  netdevFromFlags,
  netdevSchema,
  parseDevice,
  parsePort,
} from '../../../../src/qemu/netdev/netdev-config';

const unix = (path: string, over = {}) => ({
  ...{ kind: 'unix', path, host: '', port: 0, server: false, reconnectMs: 0 },
  ...over,
});
const tcp = (host: string, port: number, over = {}) => ({ ...unix(''), kind: 'tcp', host, port, ...over });

test('ports', () => {
  expect(parsePort('none')).toEqual({ kind: 'none' });
  expect(parsePort('tap:tap0')).toEqual({ kind: 'tap', name: 'tap0' });
  expect(parsePort('unix:/a,server')).toEqual({ kind: 'socket', endpoint: unix('/a', { server: true }) });
  for (const name of ['', 'a b', 'a/b', 'sixteen-letters-'])
    expect(() => parsePort(`tap:${name}`)).toThrow('is not a valid name');
  expect(() => parsePort('tap0')).toThrow("endpoint 'tap0'");
});

test.each([
  ['id=c0,unix:/a,server', { id: 'c0', endpoint: unix('/a', { server: true }) }],
  ['id=c0,tcp:[::1]:5,reconnect=2', { id: 'c0', endpoint: tcp('::1', 5, { reconnectMs: 2000 }) }],
  // As in QEMU's own documents.
  [
    'socket,id=mirror0,host=0.0.0.0,port=9003,server=on,wait=off',
    { id: 'mirror0', endpoint: tcp('0.0.0.0', 9003, { server: true }) },
  ],
  [
    'socket,id=red0,host=fe80::1,port=9003,reconnect=1',
    { id: 'red0', endpoint: tcp('fe80::1', 9003, { reconnectMs: 1000 }) },
  ],
  [
    'socket,id=red0,host=h,port=9003,reconnect-ms=1500,nodelay',
    { id: 'red0', endpoint: tcp('h', 9003, { reconnectMs: 1500 }) },
  ],
  ['socket,path=/a,,b,id=c0,server', { id: 'c0', endpoint: unix('/a,b', { server: true }) }],
  ['socket,path=/a,id=c0,server=off', { id: 'c0', endpoint: unix('/a') }],
  ['socket,path=/a,id=c0,server=no', { id: 'c0', endpoint: unix('/a') }],
  ['socket,path=/a,id=c0,server=true', { id: 'c0', endpoint: unix('/a', { server: true }) }],
])('%s', (text, device) => {
  expect(parseDevice(text)).toEqual(device);
});

test.each([
  ['id=0,unix:/a', 'expects an identifier'],
  ['socket,path=/a', 'expects an identifier'],
  ['socket,id=c0,path=/a,telnet=on', "Invalid parameter 'telnet'"],
  ['socket,id=c0,path=/a,server=maybe', "Parameter 'server' expects 'on' or 'off'"],
  ['socket,id=c0', 'the host is missing'],
  ['pipe,id=c0,path=/a', 'is no character device'],
  ['id=c0', 'is no character device'],
])('%s: %s', (text, words) => {
  expect(() => parseDevice(text)).toThrow(words);
});

test('a complaint tells which option it is about', () => {
  const flags = { guest: 'none', host: 'none', chardev: [], filter: [] };
  expect(() => netdevFromFlags({ ...flags, filter: ['mirror,id=m0'] })).toThrow(
    "--filter mirror,id=m0: Parameter 'outdev' is missing",
  );
  expect(() => netdevFromFlags({ ...flags, chardev: ['id=a,x'] })).toThrow("--chardev id=a,x: endpoint 'x'");
  const twice = ['id=a,unix:/a', 'id=a,unix:/b'];
  expect(() => netdevFromFlags({ ...flags, chardev: twice })).toThrow("Duplicate ID 'a' for chardev");
  expect(() => netdevFromFlags({ ...flags, qmp: 'unix:/q' })).toThrow('there is none');
  expect(() =>
    netdevFromFile({ ...flags, chardevs: {}, vnetHeaderBytes: 0, filters: [{ type: 'mirror', id: 'm0' }] }),
  ).toThrow("filters[0]: Parameter 'outdev' is missing");
});

test('the example of the documents is right', () => {
  const file = netdevSchema.parse(readConfigFile(join(__dirname, '../../../../docs/examples/netdev.yaml')).value);
  const config = netdevFromFile(file);
  expect(config.filters.map(({ id, queue, indev, outdev }) => [id, queue, indev ?? outdev])).toEqual([
    ['f1', 'tx', 'red0'],
    ['f2', 'rx', 'red1'],
    ['rew0', 'all', undefined],
  ]);
  expect(config.devices.map(({ id }) => id)).toEqual(['red0', 'red1']);
});
