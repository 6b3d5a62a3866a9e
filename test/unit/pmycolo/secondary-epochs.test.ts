// Which packets of the SVM an ended epoch has left on their way, and that the engine compares none of them.

import { type SecondaryEpochs, SettledEpochs } from '../../../src/pmycolo/secondary-epochs';
import { buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const packet = buildUdp({ payload: 'said twice' });

test('without a number: what comes within the settle time is of an ended epoch', () => {
  const epochs = new SettledEpochs(5);
  expect(epochs.of(1000)).toBe(0);
  epochs.begins(7, 1000);
  expect([1000, 1004, 1005].map((now) => epochs.of(now) === 7)).toEqual([false, false, true]);
  epochs.begins(8, 1010);
  expect(epochs.of(1012)).not.toBe(8);
});

test('where nothing is on its way, nothing is refused', () => {
  const epochs = new SettledEpochs(0);
  epochs.begins(1, 1000);
  expect(epochs.of(1000)).toBe(1);
});

const ENDS: [string, (h: PrimaryHarness) => void][] = [
  ['a checkpoint', (h) => h.engine.checkpoint(h.now)],
  ['a new pair', (h) => h.engine.forgetPair(h.now)],
];

test.each(ENDS)('%s: what the SVM had sent before it lets nothing out after it', (_, end) => {
  const h = new PrimaryHarness({ epochs: new SettledEpochs(10) });
  end(h);
  const id = h.p(packet);
  h.s(packet);
  expect(h.state(id)).toBe('held');
  h.now += 10;
  h.s(packet);
  expect(h.state(id)).toBe('accept');
});

test.each(ENDS)('%s: a way in that carries a number tells by it, however late the packet comes', (_, end) => {
  let present = 0;
  let mark = 0;
  const marked: SecondaryEpochs = {
    begins: (epoch) => {
      present = epoch;
    },
    of: () => mark,
  };
  const h = new PrimaryHarness({ epochs: marked });
  h.p(buildTcp({ flags: 'SA', seq: 1, ack: 5 }));
  h.s(buildTcp({ flags: 'SA', seq: 1, ack: 5 }));
  end(h);
  const id = h.p(packet);
  h.now += 1000;
  h.s(packet);
  expect(h.state(id)).toBe('held');
  mark = present;
  h.s(packet);
  expect(h.state(id)).toBe('accept');
});
