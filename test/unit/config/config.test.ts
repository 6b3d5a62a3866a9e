import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import fc from 'fast-check';
import { addConfigOptions, checkConfig, loadConfig } from '../../../src/config/config';
import { nearest } from '../../../src/config/errors';
import { parseConfig } from '../../../src/config/file';
import { DEFAULTS } from '../../../src/config/schema';
import { OperatorError } from '../../../src/core/errors';
import { formatEndpoint, parseEndpoint } from '../../../src/io/stream/endpoint';

const MINIMAL = { role: 'primary', nodes: [{ index: 1, guestPort: 'tap0', forwardPort: 'fwd0' }] };

function complaint(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).code).toBe('ECONFIG');
    return (error as Error).message;
  }
  throw new Error('was accepted');
}

const refused = (value: unknown) => complaint(() => checkConfig(value));
const node = (more: object) => ({ ...MINIMAL, nodes: [{ ...MINIMAL.nodes[0], ...more }] });

describe('defaults', () => {
  test('a minimal configuration is complete', () => {
    const config = checkConfig(MINIMAL);
    expect(config.nodes[0]).toMatchObject({
      name: 'vm1',
      outerBridge: 'br0',
      forwardBridge: 'colobr0',
      guestQueue: 100,
      forwardQueue: 101,
      guestUdpQueue: 102,
      forwardUdpQueue: 103,
      compareTimeoutMs: 'auto',
      maxCompareTimeoutMs: 3000,
      minCheckpointIntervalMs: 100,
      onControllerLoss: 'release',
      queueBypass: false,
      queueLength: 32768,
      stateDir: '/run/colo',
    });
    expect(config.nodes[0]!.limits).toEqual({
      ...DEFAULTS.limits,
      keptConnections: undefined,
      queueLength: undefined,
      receiveBufferBytes: undefined,
    });
    expect(config.control).toEqual({ netlinkPort: 28, unixPath: '/run/colo/primary.sock', allowUids: [] });
  });

  test('the second node has queues and a bridge of its own', () => {
    const config = checkConfig({
      ...MINIMAL,
      nodes: [MINIMAL.nodes[0], { index: 2, guestPort: 'tap1', forwardPort: 'fwd1' }],
    });
    expect(config.nodes[1]).toMatchObject({
      guestQueue: 110,
      forwardQueue: 111,
      guestUdpQueue: 112,
      forwardUdpQueue: 113,
      forwardBridge: 'colobr1',
      name: 'vm2',
    });
  });

  test("a node's limits go before the common ones", () => {
    const config = checkConfig({
      ...node({ limits: { maxFlows: 500 } }),
      limits: { maxFlows: 1000, queueLength: 20000 },
    });
    expect(config.nodes[0]!.limits.maxFlows).toBe(500);
    expect(config.nodes[0]!.queueLength).toBe(20000);
    expect(config.nodes[0]!.keptConnections).toBe(65536);
    expect(checkConfig(node({ limits: { keptConnections: 200_000 } })).nodes[0]!.keptConnections).toBe(200_000);
  });

  test('sizes may have a unit', () => {
    expect(checkConfig(node({ limits: { logBytes: '128MiB', maxHeldBytes: '4m' } })).nodes[0]!.limits).toMatchObject({
      logBytes: 128 << 20,
      maxHeldBytes: 4 << 20,
    });
  });

  test('the example files are accepted, and the documented defaults are the real ones', () => {
    const examples = join(__dirname, '../../../docs/examples');
    const primary = loadConfig({ config: join(examples, 'primary.yaml') });
    expect(primary).toEqual(checkConfig(MINIMAL));
    const secondary = loadConfig({ config: join(examples, 'secondary.yaml') });
    expect(secondary).toEqual(checkConfig({ ...MINIMAL, role: 'secondary' }));
    const link = { listen: '0.0.0.0:9780', connect: '192.0.2.1:9780', key: '/etc/colo/link.key' };
    for (const role of ['primary', 'secondary'] as const) {
      const stream = loadConfig({ config: join(examples, 'stream.yaml') }, role);
      expect(stream).toEqual(checkConfig({ role, nodes: [{ index: 1, guestPort: 'tap0' }], link }));
    }
  });
});

describe('refusals name the key and what is allowed', () => {
  test.each<[string, unknown, RegExp]>([
    ['no role', { nodes: MINIMAL.nodes }, /^role is missing: it must be one of primary, secondary$/],
    ['a wrong role', { ...MINIMAL, role: 'master' }, /^role must be one of primary, secondary, not "master"$/],
    ['no nodes', { role: 'primary' }, /^nodes is missing: it must be a list with one entry per virtual machine$/],
    ['an empty list', { role: 'primary', nodes: [] }, /^nodes must name at least one virtual machine, not \[\]$/],
    [
      'no way to the other host',
      { role: 'primary', nodes: [{ index: 1, guestPort: 'tap0' }] },
      /^nodes\[0\]\.forwardPort is missing: name the port to the other host, or say at link where that is$/,
    ],
    [
      'a queue out of range',
      node({ queues: { guest: 70000 } }),
      /^nodes\[0\]\.queues\.guest must be a whole number from 0 to 65535, not 70000$/,
    ],
    [
      'half a number',
      node({ index: 1.5 }),
      /^nodes\[0\]\.index must be a whole number from 0 to 4294967295, not 1\.5$/,
    ],
    [
      'a text for a number',
      node({ compareTimeoutMs: '3s' }),
      /^nodes\[0\]\.compareTimeoutMs must be auto or a whole number from 10 to 600000, not "3s"$/,
    ],
    [
      'a wildcard for a port',
      node({ guestPort: 'tap+' }),
      /guestPort must be the name of a network interface .*not "tap\+"/,
    ],
    ['a long name', node({ guestPort: 'a123456789012345' }), /guestPort must be the name of a network interface/],
    ['a flag for a port', node({ guestPort: '-j' }), /guestPort must be the name of a network interface/],
    ['a name the kernel keeps', node({ guestPort: 'all' }), /guestPort must be the name of a network interface/],
    [
      'an unknown way',
      node({ onControllerLoss: 'panic' }),
      /onControllerLoss must be one of release, hold, drop, not "panic"/,
    ],
    ['a relative path', { ...MINIMAL, stateDir: 'run' }, /^stateDir must be an absolute path, not "run"$/],
    ['a text for a flag', node({ queueBypass: 'yes' }), /queueBypass must be true or false, not "yes"/],
    [
      'a log that is too small',
      node({ limits: { logBytes: '32M' } }),
      /limits\.maxHeldBytes must be at most half of logBytes \(33554432\)/,
    ],
    [
      'a queue that is too short',
      node({ limits: { queueLength: 100 } }),
      /limits\.queueLength must be at least maxHeldPackets \(16384\), not 100/,
    ],
    ['dropping without nft', { ...MINIMAL, nftables: false }, /otherProtocols must be pass when nftables is false/],
    [
      'an odd number of records',
      node({ limits: { logRecords: 1000 } }),
      /limits\.logRecords must be a power of two, not 1000/,
    ],
    [
      'a bypass rule without content',
      node({ bypass: [{ end: 'peer' }] }),
      /^nodes\[0\]\.bypass\[0\] needs a protocol, a prefix or ports/,
    ],
    [
      'a bypass rule with ports that are none',
      node({ bypass: [{ ports: '9-8' }] }),
      /^nodes\[0\]\.bypass\[0\]\.ports must be a range of ports from low to high, at most 65535, not "9-8"$/,
    ],
  ])('%s', (_what, value, message) => {
    expect(refused(value)).toMatch(message);
  });

  test.each<[string, unknown, string]>([
    ['at the top', { ...MINIMAL, contorl: {} }, 'contorl is not a key (did you mean control?)'],
    ['in a node', node({ guestport: 'tap0' }), 'nodes[0].guestport is not a key (did you mean guestPort?)'],
    [
      'in the limits',
      node({ limits: { maxFlow: 1 } }),
      'nodes[0].limits.maxFlow is not a key (did you mean maxFlows?)',
    ],
    [
      'in a bypass rule',
      node({ bypass: [{ protocol: 'tcp', port: 1 }] }),
      'nodes[0].bypass[0].port is not a key (did you mean ports?)',
    ],
    [
      'like nothing known',
      { ...MINIMAL, control: { xyzzy: 1 } },
      'control.xyzzy is not a key (known here: netlinkPort, unixPath, allowUids)',
    ],
  ])('an unknown key %s', (_where, value, message) => {
    expect(refused(value)).toBe(message);
  });

  test.each<[string, object, string]>([
    ['index', { index: 1, name: 'other' }, 'nodes[1].index is 1, but so is nodes[0].index: each needs its own'],
    ['name', { name: 'vm1' }, 'nodes[1].name is vm1, but so is nodes[0].name: each needs its own'],
    [
      'queue',
      { queues: { guest: 101 } },
      'nodes[1].queues.guest is 101, but so is nodes[0].queues.forward: each needs its own',
    ],
    ['port', { forwardPort: 'tap0' }, 'nodes[1].forwardPort is tap0, but so is nodes[0].guestPort: each needs its own'],
    [
      'bridge',
      { forwardBridge: 'br0' },
      'nodes[1].forwardBridge is br0, but so is nodes[1].outerBridge: each needs its own',
    ],
  ])('two nodes with the same %s', (_what, more, message) => {
    const second = { index: 2, guestPort: 'tap1', forwardPort: 'fwd1', ...more };
    expect(refused({ ...MINIMAL, nodes: [MINIMAL.nodes[0], second] })).toBe(message);
  });

  test('all complaints come at once, up to ten', () => {
    expect(refused({ ...node({ index: -1, queueBypass: 3 }), logLevel: 'loud' }).split('\n')).toHaveLength(3);
    const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`q${i}`, 1]));
    expect(
      refused({ ...MINIMAL, ...many })
        .split('\n')
        .at(-1),
    ).toBe('and 20 more');
  });

  test('nothing that can be written as JSON is answered by anything but a complaint or a configuration', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('role', 'nodes', 'control', 'limits', 'stateDir'), (value, key) => {
        for (const candidate of [
          value,
          { ...MINIMAL, [key]: value },
          node({ bypass: value }),
          node({ limits: value }),
        ]) {
          try {
            checkConfig(candidate);
          } catch (error) {
            expect(error).toBeInstanceOf(OperatorError);
          }
        }
      }),
    );
  });
});

describe('the stream link', () => {
  const NODE = { index: 1, guestPort: 'tap0' };
  const stream = (role: string, link: object, more: object = {}, top: object = {}) => ({
    role,
    nodes: [{ ...NODE, ...more }],
    link: { key: '/etc/colo/key', listen: '0.0.0.0:9000', connect: 'pn.example:9000', ...link },
    ...top,
  });
  const settings = { key: '/etc/colo/key', insecure: false, digests: true, bufferBytes: DEFAULTS.link.bufferBytes };

  test('each role takes its end of it', () => {
    const primary = checkConfig(stream('primary', {}));
    expect(primary.link).toEqual({ ...settings, endpoint: 'tcp:0.0.0.0:9000,server' });
    expect(primary.nodes[0]).toMatchObject({ forwardPort: undefined, forwardBridge: undefined });
    expect(checkConfig(stream('secondary', {})).link).toEqual({ ...settings, endpoint: 'tcp:pn.example:9000' });
    for (const config of [
      primary.link!,
      checkConfig(stream('secondary', { connect: 'unix:/run/a,b', key: undefined })).link!,
    ]) {
      expect(formatEndpoint(parseEndpoint(config.endpoint))).toBe(config.endpoint);
    }
  });

  test('what a node with a forward port has stays as it was, and the link unused', () => {
    const plain = checkConfig(MINIMAL);
    expect(plain.link).toBeUndefined();
    expect(checkConfig({ ...MINIMAL, link: { listen: '[::1]:9' } })).toEqual(plain);
    const both = checkConfig({
      ...MINIMAL,
      nodes: [MINIMAL.nodes[0], { index: 2, guestPort: 'tap1' }],
      link: { listen: '[::1]:9' },
    });
    expect(both.nodes.map(({ forwardBridge }) => forwardBridge)).toEqual(['colobr0', undefined]);
    expect(both.link).toEqual({ ...settings, key: undefined, endpoint: 'tcp:[::1]:9,server' });
  });

  test.each([
    ['unix:/run/colo/link', true],
    ['127.0.0.5:1', true],
    ['[::1]:1', true],
    ['localhost:1', true],
    ['0.0.0.0:1', false],
    ['[::]:1', false],
    ['192.0.2.1:1', false],
    ['127.0.0.1.example:1', false],
    ['localhost.example:1', false],
  ])('without a key at %s: %p', (listen, taken) => {
    const value = stream('primary', { key: undefined, listen });
    if (taken) expect(checkConfig(value).link).toMatchObject({ key: undefined, insecure: false });
    else {
      expect(refused(value)).toMatch(/^link\.key is missing: without one .* only loopback and unix: are taken, not /);
      expect(checkConfig(stream('primary', { key: undefined, listen, insecure: true })).link).toMatchObject({
        insecure: true,
      });
    }
  });

  test.each<[string, unknown, RegExp]>([
    [
      'a primary that does not listen',
      stream('primary', { listen: undefined }),
      /^link\.listen is missing: a primary listens$/,
    ],
    [
      'a secondary that does not dial',
      stream('secondary', { connect: undefined }),
      /^link\.connect is missing: a secondary connects$/,
    ],
    [
      'a key for a socket',
      stream('primary', { listen: 'unix:/run/x' }),
      /^link\.key must be left out at unix:\/run\/x: /,
    ],
    ['a key and none', stream('primary', { insecure: true }), /^link\.insecure must be left out where there is a key$/],
    [
      'no port number',
      stream('primary', { listen: '0.0.0.0' }),
      /^link\.listen must be HOST:PORT .*, not "0\.0\.0\.0"$/,
    ],
    ['a port number that is none', stream('primary', { listen: '0.0.0.0:70000' }), /^link\.listen must be HOST:PORT/],
    ['an address without brackets', stream('primary', { listen: '::1:9000' }), /^link\.listen must be HOST:PORT/],
    ['a relative socket', stream('primary', { listen: 'unix:link' }), /^link\.listen must be HOST:PORT/],
    ['a relative key', stream('primary', { key: 'key' }), /^link\.key must be an absolute path, not "key"$/],
    [
      'digests of another kind',
      stream('primary', { digests: 'md5' }),
      /^link\.digests must be one of on, off, not "md5"$/,
    ],
    ['an unknown key', stream('primary', { port: 1 }), /^link\.port is not a key/],
    [
      'a bridge for nothing',
      stream('primary', {}, { forwardBridge: 'colobr0' }),
      /^nodes\[0\]\.forwardBridge goes with a forwardPort, which is not given: leave it out$/,
    ],
    [
      'a time to settle',
      stream('secondary', {}, { forwardSettleMs: 3 }),
      /^nodes\[0\]\.forwardSettleMs goes with a forwardPort/,
    ],
    [
      'a queue for nothing',
      stream('primary', {}, { queues: { forward: 5 } }),
      /^nodes\[0\]\.queues\.forward goes with a forwardPort/,
    ],
    [
      'a secondary without nft',
      stream('secondary', {}, {}, { nftables: false }),
      /^nftables must be true where a secondary has no forwardPort/,
    ],
  ])('refuses %s', (_what, value, message) => {
    expect(refused(value)).toMatch(message);
  });

  test("queues that a primary has no use for are nobody's, a secondary uses one", () => {
    expect(checkConfig(stream('primary', {}, { queues: { guest: 101 } })).nodes[0]!.guestQueue).toBe(101);
    expect(refused(stream('secondary', {}, { queues: { guest: 101 } }))).toMatch(/so is nodes\[0\]\.queues\.guest/);
    expect(checkConfig(stream('secondary', {}, { queues: { forward: 7 } })).nodes[0]!.forwardQueue).toBe(7);
  });
});

describe('files', () => {
  const dir = mkdtempSync(join(tmpdir(), 'colo-config-'));
  const file = join(dir, 'c.yaml');
  afterAll(() => rmSync(dir, { recursive: true }));
  const load = (text: string, flags: object = {}, role?: 'primary' | 'secondary') => {
    writeFileSync(file, text);
    return loadConfig({ config: file, ...flags }, role);
  };
  const YAML = 'role: primary\nnodes:\n  - index: 1\n    guestPort: tap0\n    forwardPort: fwd0\n';

  test('complaints say in which line', () => {
    expect(complaint(() => load(`${YAML}    queues: { guest: nine }\n`))).toBe(
      `${file}:6: nodes[0].queues.guest must be a whole number from 0 to 65535, not "nine"`,
    );
    expect(complaint(() => load(`${YAML}    gestPort: x\n`))).toMatch(`${file}:6: nodes[0].gestPort is not a key`);
    // A missing key is complained about where it should have been.
    expect(complaint(() => load('role: primary\nnodes:\n  - index: 1\n    guestPort: tap0\n'))).toMatch(
      `${file}:3: nodes[0].forwardPort is missing`,
    );
  });

  test('what is no YAML is refused with its place', () => {
    expect(complaint(() => load('role: [primary\nnodes: {'))).toMatch(/c\.yaml:2:\d+: /);
    expect(complaint(() => load('role: primary\nrole: secondary\n'))).toMatch(/c\.yaml:2:1: .*unique/);
    expect(complaint(() => load('- 1\n'))).toMatch(/must be a mapping/);
    expect(complaint(() => loadConfig({ config: join(dir, 'none') }))).toMatch(/cannot read the configuration: ENOENT/);
  });

  test('JSON is read too', () => {
    expect(load(JSON.stringify(MINIMAL))).toEqual(checkConfig(MINIMAL));
  });

  test('the command and the file must agree about the role', () => {
    expect(load(YAML, {}, 'primary').role).toBe('primary');
    expect(complaint(() => load(YAML, {}, 'secondary'))).toBe(
      `${file}:1: role is primary, but the command is secondary`,
    );
    expect(load(YAML.replace('role: primary\n', ''), {}, 'secondary').role).toBe('secondary');
  });

  test('flags go before the file', () => {
    const config = load(YAML, { guestPort: 'tap7', logLevel: 'debug' });
    expect(config.nodes[0]!.guestPort).toBe('tap7');
    expect(config.logLevel).toBe('debug');
  });

  test('a flag for one VM is refused when the file has two', () => {
    const two = `${YAML}  - { index: 2, guestPort: tap1, forwardPort: fwd1 }\n`;
    expect(complaint(() => load(two, { guestPort: 'tap7' }))).toMatch(
      /--guest-port belongs to one virtual machine, and the file names 2/,
    );
  });

  test('any text is answered by a configuration or a complaint', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab:-[]{}#\n "\'*&|>%@!1 ') }), (text) => {
        try {
          parseConfig(text, 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(OperatorError);
        }
      }),
    );
  });
});

describe('flags', () => {
  const flags = (...args: string[]) => {
    const command = addConfigOptions(new Command('primary').exitOverride());
    command.parse(args, { from: 'user' });
    return loadConfig(command.opts(), 'primary');
  };

  test('the link can be described by flags', () => {
    const ends = '--link-listen [::]:9780 --link-key /k --link-digests off --link-buffer-bytes 2097152';
    expect(flags('--index', '3', '--guest-port', 'tap3', ...ends.split(' ')).link).toEqual({
      endpoint: 'tcp:[::]:9780,server',
      key: '/k',
      insecure: false,
      digests: false,
      bufferBytes: 2 << 20,
    });
    expect(complaint(() => flags('--index', '3', '--guest-port', 'tap3'))).toMatch(/^--forward-port: .* is missing/);
    expect(complaint(() => flags('--index', '3', '--guest-port', 'tap3', '--link-connect', '[::1]:9'))).toBe(
      '--link-listen: link.listen is missing: a primary listens',
    );
  });

  test('one VM can be described by flags alone', () => {
    const args =
      '--index 3 --guest-port tap3 --forward-port fwd3 --guest-queue 5 --forward-queue 6 --guest-udp-queue 7 --forward-udp-queue 8 --queue-bypass --no-announce';
    const config = flags(...args.split(' '), ...'--allow-uid 5 6 --metrics-port 9000 --state-dir /run/x'.split(' '));
    expect(config.nodes[0]).toMatchObject({
      index: 3,
      guestPort: 'tap3',
      guestQueue: 5,
      forwardQueue: 6,
      guestUdpQueue: 7,
      forwardUdpQueue: 8,
      queueBypass: true,
      announceOnFailover: false,
      moveTapOnFailover: true,
    });
    expect(config.control).toMatchObject({ allowUids: [5, 6], unixPath: '/run/x/primary.sock' });
    expect(config.metricsPort).toBe(9000);
  });

  test('complaints name the flag', () => {
    expect(complaint(() => flags())).toBe('no virtual machine is named');
    expect(complaint(() => flags('--index', 'one', '--guest-port', 'tap0', '--forward-port', 'fwd0'))).toBe(
      '--index: nodes[0].index must be a whole number from 0 to 4294967295, not "one"',
    );
    expect(complaint(() => flags('--index', '1', '--guest-port', 'tap0'))).toMatch(
      /^--forward-port: nodes\[0\]\.forwardPort is missing/,
    );
  });
});

test('the nearest name is the one meant, or none', () => {
  expect(nearest('guesPort', ['guestPort', 'forwardPort'])).toBe('guestPort');
  expect(nearest('FORWARDPORT', ['guestPort', 'forwardPort'])).toBe('forwardPort');
  expect(nearest('zzzzzz', ['guestPort', 'forwardPort'])).toBeUndefined();
});

test("UDP's queues are the primary's alone, and no other's there", () => {
  const queues = { guest: 7, forward: 8, guestUdp: 7 };
  expect(refused(node({ queues }))).toContain('nodes[0].queues.guestUdp is 7, but so is nodes[0].queues.guest');
  const secondary = { ...node({ queues: { guest: 102 } }), role: 'secondary' };
  expect(checkConfig(secondary).nodes[0]!.guestQueue).toBe(102);
});
