// What both guests have said of a held packet reaches the client although the packet stays held: it leaves by the outer
// bridge as the host's own, is not queued again, and moves no address in the bridge's table.
import { join } from 'node:path';
import { GUEST_MAC } from './lab';
import { requires } from './requires';
import { ADDRESSES, Pair } from './support/pair';
import { until } from './support/wait';

jest.setTimeout(60_000);

const PORT = 8090;
const GUEST = join(__dirname, 'guest');

requires('netns', 'nfqueue')('guests that cut their writes differently', () => {
  let pair: Pair;
  beforeAll(async () => {
    // Over a stream a daemon that was away asks for a checkpoint, and guests in namespaces cannot be made equal.
    pair = await Pair.create({ link: 'ethernet', node: { compareTimeoutMs: 30_000 } });
    await Promise.all(
      (['pvm', 'svm'] as const).map(async (guest) => {
        const how = guest === 'pvm' ? 'joined' : 'apart';
        const server = pair.lab.spawn(guest, process.execPath, [join(GUEST, 'two-writes.js'), `${PORT}`, how]);
        await server.waitFor(/listening/, 60_000);
      }),
    );
  });
  afterAll(() => pair?.destroy());

  const count = async (name: string): Promise<number> => (await pair.stats('primary')).counters[name]!;
  const arrivedFromGuest = (): number =>
    Number(pair.lab.execSync('pn', 'cat', ['/sys/class/net/tap0/statistics/rx_packets']));
  const placesOfGuest = (): string[] =>
    (
      JSON.parse(pair.lab.execSync('pn', 'bridge', ['-j', 'fdb', 'show', 'br', 'br0'])) as {
        mac: string;
        ifname: string;
      }[]
    )
      .filter(({ mac }) => mac === GUEST_MAC)
      .map(({ ifname }) => ifname);

  test.each(Object.entries(ADDRESSES))('%s', async (_family, address) => {
    const before = {
      prefixes: await count('prefixes_sent'),
      queued: await count('primary_packets'),
      arrived: arrivedFromGuest(),
    };
    const client = join(GUEST, 'pipelining.js');
    const { stdout } = await pair.lab.exec('client', process.execPath, [client, address, `${PORT}`, '1', '1', '20'], {
      timeoutMs: 40_000,
    });
    expect(JSON.parse(stdout)).toMatchObject({ answered: 20 });
    expect((await count('prefixes_sent')) - before.prefixes).toBeGreaterThanOrEqual(20);
    expect((await count('primary_packets')) - before.queued).toBe(arrivedFromGuest() - before.arrived);
    expect(placesOfGuest()).toEqual(['tap0']);
    expect([await count('prefix_without_macs'), await count('prefix_send_failures')]).toEqual([0, 0]);
    await pair.provenEqual();
  });

  // The new process has not seen how the connection was opened. Without the header nothing could leave but what the
  // guests retransmit, a segment for each of their timeouts.
  test.each(Object.entries(ADDRESSES))('%s: a connection that is older than the daemon', async (_family, address) => {
    const REQUESTS = 1500;
    const before = await count('prefixes_sent');
    const client = pair.lab.spawn('client', process.execPath, [
      join(GUEST, 'pipelining.js'),
      address,
      `${PORT}`,
      '1',
      '1',
      `${REQUESTS}`,
    ]);
    await until('the connection', async () => (await count('prefixes_sent')) > before + 20);
    await pair.killDaemon('primary');
    await pair.startDaemon('primary');
    await pair.attach('primary');
    await client.waitFor(new RegExp(`"answered":${REQUESTS},`), 30_000);
    expect(await count('prefix_without_macs')).toBeGreaterThan(0);
    expect(await count('prefixes_sent')).toBeGreaterThan(REQUESTS / 2);
    await pair.provenEqual();
  });
});
