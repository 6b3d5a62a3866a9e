// What the guests ask for on their link: both the same, the SVM alone what the PVM was answered before, the SVM alone
// what nobody was.
import { requires } from './requires';
import { Pair } from './support/pair';
import { sleep, until } from './support/wait';

jest.setTimeout(120_000);

/** How long a question of the SVM may go without the PVM's, and a margin. */
const SETTLED_MS = 1500;

requires('netns', 'nfqueue')('questions for neighbours', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 600_000 } });
    for (const address of ['10.77.0.8/24', '10.77.0.9/24'])
      pair.lab.execSync('client', 'ip', ['addr', 'add', address, 'dev', 'lan0']);
    for (const address of ['fd77::8/64', 'fd77::9/64']) {
      pair.lab.execSync('client', 'ip', ['addr', 'add', address, 'dev', 'lan0', 'nodad']);
    }
  });
  afterAll(() => pair?.destroy());

  const ask = (guest: 'pvm' | 'svm', address: string): void => {
    pair.lab.execSync(guest, 'ip', ['neigh', 'flush', 'to', address]);
    pair.lab.execSync(guest, 'ip', ['neigh', 'replace', address, 'dev', 'eth0', 'use']);
  };
  const knows = (guest: 'pvm' | 'svm', address: string): boolean =>
    pair.lab.execSync(guest, 'ip', ['neigh', 'show', address]).includes('lladdr');
  const requests = async (): Promise<number> => (await pair.stats('primary')).requests.secondary_address_request!;
  const answers = async (): Promise<number> => (await pair.stats('secondary')).counters.neighbour_answers!;

  test.each([
    ['IPv4', '10.77.0.8', '10.77.0.9'],
    ['IPv6', 'fd77::8', 'fd77::9'],
  ])('%s', async (_, both, alone) => {
    const before = await requests();
    // The SVM first, as after a checkpoint.
    ask('svm', both);
    await sleep(40);
    ask('pvm', both);
    await until('answer for both', () => knows('pvm', both) && knows('svm', both));
    const given = await answers();
    pair.lab.execSync('svm', 'ip', ['neigh', 'flush', 'to', both]);
    ask('svm', both);
    await until('answer of the secondary node', () => knows('svm', both));
    expect(await answers()).toBeGreaterThan(given);
    await sleep(SETTLED_MS);
    expect(await requests()).toBe(before);

    ask('svm', alone);
    await until('request for a checkpoint', async () => (await requests()) > before);
    // A copy of the PVM would ask no more.
    pair.lab.execSync('svm', 'ip', ['neigh', 'flush', 'to', alone, 'nud', 'all']);
    await pair.checkpoint();
  });
});
