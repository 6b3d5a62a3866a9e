// Which flags of a flow outlive a new connection of either side and a checkpoint: each flag alone, and all of them
// together.

import { FLAG_LIFE, FlowLife } from '../../../src/compare/flow-life';
import * as words from '../../../src/compare/flow-words';
import { FLOW, Parts } from './stream-parts';

const FLAGS = Object.entries(words).filter(
  (e): e is [string, number] => e[0].startsWith('XF_') && typeof e[1] === 'number' && e[0] !== 'XF_SCALE_SHIFT',
);

function after(flags: number, step: (life: FlowLife) => void): string[] {
  const t = new Parts(5);
  t.w[FLOW + words.X_FLAGS] = flags;
  if ((flags & words.XF_ODD) !== 0) t.w[FLOW + words.X_ODD] = words.XO_PRIMARY_OFFER;
  step(new FlowLife(t.flows, t.stream));
  const now = t.w[FLOW + words.X_FLAGS]!;
  return FLAGS.filter(([, bit]) => (now & bit) !== 0)
    .map(([name]) => name.slice(3))
    .sort();
}

const ALL = FLAGS.reduce((all, [, bit]) => all | bit, 0);
const kept = (step: (life: FlowLife) => void): string[] =>
  FLAGS.filter(([name, bit]) => after(bit, step).includes(name.slice(3)))
    .map(([name]) => name.slice(3))
    .sort();

test('another SYN of the PVM keeps the lists that the flow is in, and the SVM’s SYN that waits with what it said', () => {
  const step = (life: FlowLife): void => life.resetPrimary(FLOW);
  expect(kept(step)).toEqual(['AHEAD', 'PREFIX_NOTED', 'SECONDARY_SYN']);
  expect(after(ALL, step)).toEqual(['AHEAD', 'PREFIX_NOTED', 'SECONDARY_ACK', 'SECONDARY_ISN', 'SECONDARY_SYN']);
});

test('another SYN of the SVM clears its side and the match, and nothing else', () => {
  const step = (life: FlowLife): void => life.resetSecondary(FLOW);
  const gone = [
    'MATCHED',
    'ODD',
    ...FLAGS.map(([name]) => name.slice(3)).filter((name) => /^SECONDARY_(?!PUSHED)/.test(name)),
  ];
  const stays = FLAGS.map(([name]) => name.slice(3)).filter((name) => !gone.includes(name));
  expect([kept(step), after(ALL, step)]).toEqual([stays.sort(), stays.sort()]);
});

test('a checkpoint keeps where the stream began, scale, time and the PVM’s side, and gives the SVM the same', () => {
  const step = (life: FlowLife): void => life.align(FLOW);
  expect(kept(step)).toEqual(
    [
      'BASED',
      'MATCHED',
      'MIDSTREAM',
      'PRIMARY_ACK',
      'PRIMARY_FIN',
      'PRIMARY_ISN',
      'PRIMARY_REFUSED',
      'PRIMARY_RST',
      'SCALE',
      'TSVAL',
    ].sort(),
  );
  expect(after(0, step)).toEqual(['MATCHED']);
  expect(after(words.XF_UNKNOWN, step)).toEqual(['MATCHED']);
  expect(after(words.XF_PRIMARY_ACK, step)).toEqual(['MATCHED', 'PRIMARY_ACK', 'RELEASED', 'SECONDARY_ACK']);
  expect(after(words.XF_PRIMARY_ACK | words.XF_FAR_ACK, step)).toEqual(['MATCHED']);
  expect(after(words.XF_PRIMARY_FIN, step)).toEqual(['MATCHED', 'PRIMARY_FIN', 'SECONDARY_FIN']);
  expect(after(words.XF_PRIMARY_ISN, step)).toEqual(['BASED', 'MATCHED', 'PRIMARY_ISN', 'SECONDARY_ISN']);
});

test('a connection first seen in its middle is matched, or not known', () => {
  expect([after(0, (life) => life.adopt(FLOW, 7)), after(0, (life) => life.adopt(FLOW, -1))]).toEqual([
    ['MATCHED'],
    ['UNKNOWN'],
  ]);
});

test('every flag has one row', () => {
  const scale = 15 << words.XF_SCALE_SHIFT;
  const rows = FLAG_LIFE.map(([flag]) => flag & ~scale);
  expect([...rows].sort((a, b) => a - b)).toEqual(FLAGS.map(([, bit]) => bit).sort((a, b) => a - b));
});
