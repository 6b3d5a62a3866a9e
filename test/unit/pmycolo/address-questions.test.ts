import fc from 'fast-check';
import { ADDRESS_QUESTIONS } from '../../../src/core/limits';
import { AddressQuestions, WAIT_MS } from '../../../src/pmycolo/address-questions';
import { SettledEpochs } from '../../../src/pmycolo/secondary-epochs';
import { buildIp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

/** What happens, and whether an address is found lost by it. */
type Step = ['svm' | 'pvm' | 'answer' | 'wait' | 'checkpoint', number?];

/** The ms at which an address was found lost. */
function play(steps: readonly (readonly [number, Step[0], number?])[], q = new AddressQuestions()): number[] {
  const lost: number[] = [];
  for (const [at, what, target = 1] of steps) {
    if (q.tick(at)) lost.push(at);
    q.about(0, 4, target);
    if (what === 'svm' && q.secondaryAsks(at)) lost.push(at);
    else if (what === 'pvm') q.primaryAsks(at);
    else if (what === 'answer') q.answered(at);
    else if (what === 'checkpoint') q.clear();
  }
  return lost;
}

describe('a question of the SVM', () => {
  test.each<[string, [number, Step[0], number?][], number[]]>([
    [
      'that the PVM puts next is none',
      [
        [0, 'svm'],
        [40, 'pvm'],
        [5000, 'wait'],
      ],
      [],
    ],
    [
      'that the PVM has put before is none',
      [
        [0, 'pvm'],
        [900, 'svm'],
        [5000, 'wait'],
      ],
      [],
    ],
    [
      'that the PVM does not put within a second tells of a loss',
      [
        [0, 'svm'],
        [WAIT_MS - 1, 'wait'],
        [WAIT_MS, 'wait'],
      ],
      [WAIT_MS],
    ],
    [
      'that is repeated first tells of it at once',
      [
        [0, 'svm'],
        [300, 'svm'],
        [5000, 'wait'],
      ],
      [300],
    ],
    [
      'for another address is another question',
      [
        [0, 'svm', 1],
        [300, 'svm', 2],
        [320, 'pvm', 1],
        [330, 'pvm', 2],
        [5000, 'wait'],
      ],
      [],
    ],
    [
      'for a neighbour that is not there is put by both, again and again',
      [
        [0, 'svm'],
        [30, 'pvm'],
        [1000, 'svm'],
        [1030, 'pvm'],
        [2000, 'svm'],
        [2030, 'pvm'],
        [9000, 'wait'],
      ],
      [],
    ],
    [
      'whose answer only the PVM got is put again, by it alone',
      [
        [0, 'svm'],
        [30, 'pvm'],
        [1000, 'svm'],
        [2000, 'wait'],
        [9000, 'wait'],
      ],
      [2000],
    ],
    [
      'that the PVM put long before is one of its own',
      [
        [0, 'pvm'],
        [WAIT_MS, 'svm'],
        [2 * WAIT_MS, 'wait'],
      ],
      [2 * WAIT_MS],
    ],
    [
      'one question of the PVM answers for one of the SVM',
      [
        [0, 'pvm'],
        [10, 'svm'],
        [20, 'svm'],
        [2000, 'wait'],
      ],
      [2000],
    ],
    [
      'that is answered is settled',
      [
        [0, 'svm'],
        [500, 'answer'],
        [5000, 'wait'],
      ],
      [],
    ],
    [
      'that its answer has overtaken is settled',
      [
        [0, 'answer'],
        [10, 'svm'],
        [2000, 'wait'],
      ],
      [],
    ],
    [
      'from before a checkpoint is forgotten',
      [
        [0, 'svm'],
        [500, 'checkpoint'],
        [5000, 'wait'],
      ],
      [],
    ],
  ])('%s', (_, steps, lost) => {
    expect(play(steps)).toEqual(lost);
  });
  test('times are looked at modulo 2^32', () => {
    const late = 2 ** 32 - 500;
    expect(
      play([
        [late, 'svm'],
        [late + 900, 'wait'],
        [late + WAIT_MS, 'wait'],
      ]),
    ).toEqual([late + WAIT_MS]);
  });
  test('zones, families and all words of an address tell questions apart', () => {
    const q = new AddressQuestions();
    const addresses: [number, 4 | 6, number, number, number, number][] = [
      [0, 6, 1, 2, 3, 4],
      [1, 6, 1, 2, 3, 4],
      [0, 6, 1, 2, 3, 5],
      [0, 6, 1, 2, 9, 4],
      [0, 6, 9, 2, 3, 4],
      [0, 4, 1, 0, 0, 0],
      [0xffff, 4, 0xffffffff, 0, 0, 0],
    ];
    expect(addresses.map((one) => q.about(...one).secondaryAsks(0))).toEqual(addresses.map(() => false));
    expect(q.count).toBe(addresses.length);
    expect(addresses.map((one) => q.about(...one).secondaryAsks(1))).toEqual(addresses.map(() => true));
    expect(q.count).toBe(0);
  });
});

test('the table is bounded: a new question takes the place of the PVM’s oldest, or is left out and counted', () => {
  const q = new AddressQuestions();
  for (let i = 0; i < ADDRESS_QUESTIONS; i++) q.about(0, 4, i).primaryAsks(i < 10 ? 5 : 1);
  q.about(0, 4, 10).primaryAsks(0);
  q.about(0, 4, 5000).secondaryAsks(2);
  expect([q.count, q.overflows]).toEqual([ADDRESS_QUESTIONS, 1]);
  expect(q.about(0, 4, 5000).secondaryAsks(3)).toBe(true);
  for (let i = 0; i < 2 * ADDRESS_QUESTIONS; i++) q.about(1, 4, i).secondaryAsks(10);
  expect(q.count).toBe(ADDRESS_QUESTIONS);
  expect(q.tick(10 + WAIT_MS)).toBe(true);
  expect(q.count).toBe(0);
});

/** An account of what is right, without a table: the open questions, and those of the PVM that await one. */
function account(steps: readonly (readonly [number, Step[0], number?])[]): number[] {
  const open = new Map<number, number>();
  const asked = new Map<number, number>();
  const lost: number[] = [];
  for (const [at, what, target = 1] of steps) {
    const overdue = [...open].filter(([, since]) => at - since >= WAIT_MS);
    if (overdue.length > 0) lost.push(at);
    for (const [one] of overdue) open.delete(one);
    for (const [one, since] of [...asked]) if (at - since >= WAIT_MS) asked.delete(one);
    if (what === 'svm') {
      if (asked.delete(target)) continue;
      if (open.delete(target)) lost.push(at);
      else open.set(target, at);
    } else if (what === 'pvm' || what === 'answer') {
      if (!open.delete(target)) asked.set(target, at);
    } else if (what === 'checkpoint') {
      open.clear();
      asked.clear();
    }
  }
  return lost;
}

test('any course of questions ends as the account says', () => {
  const step = fc.tuple(
    fc.integer({ min: 0, max: 700 }),
    fc.constantFrom<Step[0]>('svm', 'svm', 'pvm', 'pvm', 'answer', 'wait', 'checkpoint'),
    fc.integer({ min: 1, max: 4 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 2 ** 33 }), (gaps, start) => {
      let now = start;
      const steps = gaps.map(([gap, what, target]) => {
        now += gap;
        return [now, what, target] as const;
      });
      expect(play(steps)).toEqual(account(steps));
    }),
    { numRuns: 500 },
  );
});

describe('in the engine', () => {
  const target = (last: number): number[] => [...Array(15).fill(0xfe), last];
  const solicitation = (type: number, last: number, source = 1): Buffer => {
    const l4 = Buffer.alloc(type === 133 ? 8 : source === 0 || type === 136 ? 24 : 32);
    l4[0] = type;
    if (type !== 133) Buffer.from(target(last)).copy(l4, 8);
    if (l4.length === 32) l4.set([1, 1, 2, 0, 0, 0, 0, 1], 24);
    const group =
      type === 135 ? [...Array(9).fill(0), 1, 0xff, 0xfe, 0xfe, last] : [...Array(13).fill(0), type === 133 ? 2 : 1];
    return buildIp(6, Array(16).fill(source), [0xff, 2, ...group], 58, l4, 255);
  };
  const tick = (h: PrimaryHarness, now: number): string[] => {
    h.now = now;
    h.engine.tick(now);
    return h.requests;
  };
  const LOST = ['secondary_address_request'];

  test('a router solicitation is no question for an address', () => {
    const h = new PrimaryHarness();
    h.s(solicitation(133, 5));
    h.s(solicitation(133, 5));
    expect(tick(h, 9000)).toEqual([]);
  });
  test('nor is a solicitation without a source', () => {
    const h = new PrimaryHarness();
    h.s(solicitation(135, 5, 0));
    expect(tick(h, 9000)).toEqual([]);
  });
  test('what both put in either order asks for nothing, what the SVM alone puts does after a second, without a pause', () => {
    const h = new PrimaryHarness();
    h.s(solicitation(135, 5));
    h.p(solicitation(135, 6));
    h.now += 40;
    expect(h.state(h.p(solicitation(135, 5)))).toBe('accept');
    h.s(solicitation(135, 6));
    h.s(solicitation(135, 7));
    expect(tick(h, 2039)).toEqual([]);
    expect(tick(h, 2040)).toEqual(LOST);
    const id = h.p(buildUdp({ payload: 'x' }));
    h.s(buildUdp({ payload: 'x' }));
    expect(h.state(id)).toBe('accept');
  });
  test('an advertisement that comes with the SVM’s packets answers it', () => {
    const h = new PrimaryHarness();
    h.s(solicitation(135, 5));
    h.s(solicitation(136, 5));
    expect(tick(h, 9000)).toEqual([]);
  });
  test('ARP is told by who hears it', () => {
    const h = new PrimaryHarness();
    h.engine.addressQuestion(false, 0, 4, 1000, 0x0a000001);
    h.engine.addressQuestion(true, 0, 4, 1030, 0x0a000001);
    expect(tick(h, 3000)).toEqual([]);
    h.engine.addressQuestion(false, 0, 4, 3000, 0x0a000001);
    h.engine.addressAnswer(0, 4, 3050, 0x0a000001);
    h.engine.addressQuestion(false, 0, 4, 3100, 0x0a000001);
    h.engine.addressQuestion(false, 0, 4, 3200, 0x0a000001);
    expect(h.requests).toEqual(LOST);
  });
  test('a pair whose SVM asks 20 to 40 ms before the PVM, at every checkpoint, asks for none', () => {
    const h = new PrimaryHarness({ minCheckpointIntervalMs: 100 });
    for (let turn = 0; turn < 50; turn++) {
      h.engine.checkpoint(h.now);
      const asks = [5, 6, 7, 8].map((last) => solicitation(135, last));
      for (const one of asks) h.s(one);
      h.s(solicitation(133, 0));
      tick(h, h.now + 20 + (turn % 21));
      for (const one of asks) h.p(one);
      h.p(solicitation(133, 0));
      for (let i = 0; i < 6; i++) tick(h, h.now + 50);
    }
    expect(h.requests).toEqual([]);
  });
  test.each<[string, (h: PrimaryHarness) => void]>([
    ['unprotected', (h) => h.engine.setProtected(false)],
    ['paused', (h) => h.engine.boundExhausted()],
    ['just after a checkpoint', (h) => h.engine.checkpoint(h.now)],
  ])('%s, what the SVM asks is of no account', (_, prepare) => {
    const h = new PrimaryHarness({ epochs: new SettledEpochs(10) });
    prepare(h);
    h.s(solicitation(135, 5));
    h.s(solicitation(135, 5));
    expect(tick(h, 9000).filter((cause) => cause.includes('address'))).toEqual([]);
  });
});
