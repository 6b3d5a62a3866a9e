// 10,000 connections at once through a pair: each is opened, answered, kept while the others come, and answered again.

import { join } from 'node:path';
import { requires } from './requires';
import { ADDRESSES, GUEST_PORT, Pair } from './support/pair';

const CONNECTIONS = 10_000;

jest.setTimeout(300_000);

requires('netns', 'nfqueue')('many connections', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 60_000 } });
  });
  afterAll(() => pair?.destroy());

  test(`${CONNECTIONS} at once, each answered twice`, async () => {
    const program = join(__dirname, 'guest/many.js');
    const many = pair.lab.spawn('client', process.execPath, [program, ADDRESSES.IPv4, String(GUEST_PORT), String(CONNECTIONS)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await many.waitFor(new RegExp(`open ${CONNECTIONS}\\b`), 200_000);
    const primary = await pair.provenEqual();
    expect(primary.gauges.flows).toBeGreaterThanOrEqual(CONNECTIONS);
    expect((await pair.stats('secondary')).gauges.flows).toBeGreaterThanOrEqual(CONNECTIONS);
    many.child.stdin!.write('go\n');
    await many.waitFor(new RegExp(`done ${CONNECTIONS}\\b`), 100_000);
    await pair.provenEqual();
  });
});
