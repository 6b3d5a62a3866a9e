// Ordinary traffic through a protected pair: everything is compared, equal, and arrives.
import { expected } from './guest/content';
import { requires } from './requires';
import { ADDRESSES, GUEST_PORT, Pair } from './support/pair';

jest.setTimeout(180_000);

requires('netns', 'nfqueue')('a protected pair', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 30_000 }, clientBuffer: 6 << 20 });
  });
  afterEach(() => pair?.provenEqual());
  afterAll(() => pair?.destroy());

  /** Packets that were compared while `run` ran. */
  const compared = async (run: () => Promise<void>): Promise<number> => {
    const before = (await pair.stats('primary')).counters.compared_packets!;
    await run();
    return (await pair.stats('primary')).counters.compared_packets! - before;
  };

  describe.each(Object.entries(ADDRESSES))('over %s', (_family, host) => {
    const port = GUEST_PORT;

    test('a download', async () => {
      const bytes = 20_000_000;
      const packets = await compared(async () => {
        const got = await pair.client.run({ op: 'get', host, port, bytes });
        expect(got.sha256).toBe(expected(bytes));
      });
      expect(packets).toBeGreaterThan(bytes / 65536);
    });

    test('an upload', async () => {
      const bytes = 20_000_000;
      const got = await pair.client.run({ op: 'upload', host, port, bytes });
      expect(got).toMatchObject({ bytes, sha256: expected(bytes) });
    });

    test('many requests on one connection', async () => {
      const got = await pair.client.run({ op: 'keepalive', host, port, count: 40 });
      expect(got).toMatchObject({ good: 40, connections: 1 });
    });

    test('UDP datagrams, small and fragmented', async () => {
      const messages = ['one', 'two', 'x'.repeat(1400), 'y'.repeat(5000), 'last'];
      const packets = await compared(async () => {
        expect((await pair.client.run({ op: 'udp', host, port, messages })).answers).toEqual(messages);
      });
      expect(packets).toBeGreaterThanOrEqual(messages.length);
    });

    test.each([56, 4000])('pings of %i bytes', async (bytes) => {
      const packets = await compared(async () => {
        const ping = await pair.lab.exec('client', 'busybox', [
          'ping',
          '-q',
          '-c',
          '5',
          '-W',
          '20',
          '-s',
          `${bytes}`,
          host,
        ]);
        expect(ping.stdout).toContain('5 packets received');
      });
      // Whole packets: fragments would count more.
      expect(packets).toBe(5);
      expect((await pair.stats('primary')).counters).toMatchObject({ primary_fragments: 0, secondary_fragments: 0 });
    });
  });
});
