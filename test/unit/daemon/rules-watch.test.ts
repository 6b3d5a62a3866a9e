// What a flushed rule makes of a node, and when it is put back.

import { type HostRules, RulesWatch } from '../../../src/daemon/rules-watch';

class FakeRules implements HostRules {
  gone = new Map<number, string[]>();
  known = new Set<number>([1]);
  restores = 0;
  fails: string | undefined;
  notice: () => void = () => {};

  async missing() {
    if (this.fails !== undefined) throw new Error(this.fails);
    return new Map(this.gone);
  }
  applied = () => this.known;
  async restore() {
    this.restores++;
    for (const index of this.known) this.gone.delete(index);
    return ['all of it'];
  }
  takeOver = async () => [];
  isolate = async () => [];
  watch(onNotice: () => void) {
    this.notice = onNotice;
    return { close: () => {} };
  }
}

function setup(restores = false) {
  const rules = new FakeRules();
  const changes: [number, string][] = [];
  const said: string[] = [];
  const log = { warn: (_: object, text: string) => said.push(text) } as never;
  const watch = new RulesWatch(rules, [1, 2], restores, (index, missing) => changes.push([index, missing.join()]), log);
  return { rules, changes, said, watch };
}

describe('the watch over the rules', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  test('a notice of the kernel leads to a look: gone, and back', async () => {
    const { rules, changes, watch } = setup();
    watch.start();
    await jest.advanceTimersByTimeAsync(10);
    expect(changes).toEqual([]);
    rules.gone.set(1, ['iptables rules missing']);
    for (let i = 0; i < 100; i++) rules.notice();
    await jest.advanceTimersByTimeAsync(100);
    expect(changes).toEqual([[1, 'iptables rules missing']]);
    expect([watch.missing(1), watch.missing(2), watch.losses]).toEqual([['iptables rules missing'], [], 1]);
    rules.gone.clear();
    rules.notice();
    await jest.advanceTimersByTimeAsync(100);
    expect(changes.slice(1)).toEqual([[1, '']]);
    expect(rules.restores).toBe(0);
  });

  test('what the kernel tells nobody of is found all the same', async () => {
    const { rules, changes, watch } = setup();
    watch.start();
    await jest.advanceTimersByTimeAsync(10);
    rules.gone.set(1, ['no mirror']);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(changes).toEqual([[1, 'no mirror']]);
  });

  test('rules that were never in place, nor applied, are made by hand: their node is not judged until they have been', async () => {
    const { rules, changes, watch } = setup();
    rules.known.clear();
    rules.gone.set(1, ['iptables rules missing']).set(2, ['iptables rules missing']);
    watch.start();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(changes).toEqual([]);
    rules.gone.delete(2);
    await jest.advanceTimersByTimeAsync(10_000);
    rules.gone.set(2, ['no mirror']);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(changes).toEqual([[2, 'no mirror']]);
  });

  test('applied before this process, gone when it starts', async () => {
    const { rules, changes, watch } = setup();
    rules.gone.set(1, ['nft tables missing']);
    watch.start();
    await jest.advanceTimersByTimeAsync(10);
    expect(changes).toEqual([[1, 'nft tables missing']]);
  });

  test('put back where it is wanted, and told', async () => {
    const { rules, changes, said, watch } = setup(true);
    watch.start();
    await jest.advanceTimersByTimeAsync(10);
    rules.gone.set(1, ['iptables rules missing']);
    rules.notice();
    await jest.advanceTimersByTimeAsync(200);
    expect(changes).toEqual([
      [1, 'iptables rules missing'],
      [1, ''],
    ]);
    expect([rules.restores, watch.restored, said]).toEqual([1, 1, ['the rules are put back']]);
  });

  test('rules that were removed on purpose stay away', async () => {
    const { rules, changes, watch } = setup(true);
    watch.start();
    await jest.advanceTimersByTimeAsync(10);
    rules.known.clear();
    rules.gone.set(1, ['iptables rules missing']);
    rules.notice();
    await jest.advanceTimersByTimeAsync(5000);
    expect([changes, rules.restores]).toEqual([[[1, 'iptables rules missing']], 0]);
  });

  test('a look that fails says so once, and does not end the watch', async () => {
    const { rules, changes, said, watch } = setup();
    rules.fails = 'no nft';
    watch.start();
    await jest.advanceTimersByTimeAsync(20_000);
    expect(said).toHaveLength(1);
    rules.fails = undefined;
    rules.gone.set(1, ['no mirror']);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(changes).toEqual([[1, 'no mirror']]);
    watch.close();
    rules.gone.clear();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(changes).toHaveLength(1);
  });
});
