// The guests say different things: what the client's wire had before the checkpoint, and what it has after it.
import { requires } from './requires';
import type { Transfer } from './support/client';
import { ADDRESSES, GUEST_PORT, Pair, SECRETS } from './support/pair';
import { until } from './support/wait';
import { Wire } from './support/wire';

jest.setTimeout(180_000);

const port = GUEST_PORT;

requires('netns', 'nfqueue')('guests that differ', () => {
  let pair: Pair;
  let wire: Wire;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 600_000 } });
    wire = await Wire.listen(pair);
  });
  afterAll(() => pair?.destroy());

  const seen = (text: string): Promise<number> => wire.count(text);

  /**
   * After a checkpoint the SVM would be a copy of the PVM. Here it is not, so it says no more on the connections that
   * it has.
   */
  const silenceSecondary = (): void => {
    const sockets = pair.lab.execSync('svm', 'ss', ['-tnH', `sport = :${port}`]);
    for (const [, peer] of sockets.matchAll(/:(\d+)\s*$/gm)) {
      for (const iptables of ['iptables', 'ip6tables']) {
        pair.lab.execSync('svm', iptables, ['-A', 'OUTPUT', '-p', 'tcp', '--dport', peer!, '-j', 'DROP']);
      }
    }
  };

  const ask = (family: keyof typeof ADDRESSES, protocol: string): Transfer => {
    const host = ADDRESSES[family];
    if (protocol === 'TCP') return pair.client.begin({ op: 'text', host, port, path: '/secret' });
    return pair.client.begin({ op: 'udp', host, port, messages: ['secret'] });
  };

  test.each([
    ['IPv4', 'TCP'],
    ['IPv6', 'TCP'],
    ['IPv4', 'UDP'],
    ['IPv6', 'UDP'],
  ] as const)(
    'over %s and %s: nothing of the answer before the checkpoint, all of it after',
    async (family, protocol) => {
      const { controllers } = pair;
      const before = { notices: controllers.primary.notices, stats: (await pair.stats('primary')).counters };
      const secretsBefore = await seen(SECRETS.primary);

      const question = ask(family, protocol);
      await until('notice', () => controllers.primary.notices > before.notices);
      expect((await controllers.primary.status()).state).toBe('waiting-for-checkpoint');
      expect((await controllers.primary.status()).heldPackets).toBeGreaterThan(0);
      // The client has had the time to see what would have been let out.
      expect(await seen(SECRETS.primary)).toBe(secretsBefore);
      expect(await seen(SECRETS.secondary)).toBe(0);
      expect(question.begun).toBe(false);
      expect(question.outcome).toBeUndefined();
      expect(controllers.primary.notices).toBe(before.notices + 1);

      silenceSecondary();
      await controllers.secondary.checkpoint();
      await controllers.primary.checkpoint();
      const outcome = await pair.client.finish(question);
      if (protocol === 'TCP') expect(outcome.text).toBe(`the secret is ${SECRETS.primary}\n`);
      else expect(outcome.answers).toEqual([SECRETS.primary]);
      expect(await seen(SECRETS.primary)).toBeGreaterThan(secretsBefore);

      const { counters } = await pair.stats('primary');
      expect(counters.divergences).toBe(before.stats.divergences! + 1);
      expect(counters.primary_unprotected).toBe(pair.unprotectedBefore);
    },
  );

  test('the secondary guest was never heard', async () => {
    expect(await seen(SECRETS.secondary)).toBe(0);
    expect(await seen(SECRETS.primary)).toBeGreaterThan(0);
  });
});
