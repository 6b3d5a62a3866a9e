// Ten thousand connections through one pair at the same time.
import { join } from 'node:path';
import { GUEST_IP } from './lab';
import { requires } from './requires';
import { GUEST_PORT, Pair } from './support/pair';
import { until } from './support/wait';

jest.setTimeout(400_000);

const COUNT = 10_000;

requires('netns', 'nfqueue')(`${COUNT} connections at once`, () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 300_000 } });
  });
  afterAll(() => pair?.destroy());

  test('each is answered rightly, twice, and all are known at the same time', async () => {
    const program = join(__dirname, 'guest', 'many.js');
    const client = pair.lab.spawn('client', process.execPath, [program, GUEST_IP, `${GUEST_PORT}`, `${COUNT}`], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const [, opened] = await client.waitFor(/open (\d+)/, 180_000).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await pair.account()}`);
    });
    expect(Number(opened)).toBe(COUNT);
    expect((await pair.stats('primary')).gauges.flows).toBeGreaterThanOrEqual(COUNT);
    expect((await pair.stats('secondary')).gauges.flows).toBeGreaterThanOrEqual(COUNT);
    client.child.stdin!.write('go on\n');
    const [, closed] = await client.waitFor(/closed (\d+)/, 180_000);
    expect(Number(closed)).toBe(COUNT);
    const { counters } = await pair.provenEqual();
    expect(counters.compared_packets).toBeGreaterThanOrEqual(2 * COUNT);
    await until('nothing held', async () => (await pair.stats('primary')).gauges.held_packets === 0, 60_000);
  });
});
