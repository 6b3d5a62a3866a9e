// What peers send while the guest's numbers are not known gets a verdict, whoever has begun the failover.

import { type QueuedPacket, queuedPacket } from '../../../src/node/ports';
import { Undecided } from '../../../src/node/undecided';
import { FakeClock } from '../../lib/fake-clock';

function fixture(reachable = false) {
  const engine = {
    undecided: true,
    missed: [] as boolean[],
    decide(missed: boolean) {
      this.undecided = false;
      this.missed.push(missed);
    },
    nextToAsk: (base: number) => (base < 0 ? 7 : -1),
    writeQuestion: () => 40,
    counters: { snapshot: () => ({ checkpoints_missed: 0 }) },
  };
  const handedIn: number[] = [];
  const said: string[] = [];
  const asked: number[] = [];
  const say = (_fields: unknown, text: string): void => void said.push(text);
  const clock = new FakeClock();
  const undecided = new Undecided(engine, {
    clock,
    log: { warn: say, error: say, info: say },
    toGuest(ask) {
      if (!reachable) throw new Error('no such port');
      ask((frame) => asked.push(frame.length));
    },
    handIn: ({ id }) => void handedIn.push(id),
  });
  const packet = (id: number): QueuedPacket => ({ ...queuedPacket(), id });
  return { engine, undecided, handedIn, said, asked, clock, packet };
}

test('what waits though nobody has begun to ask is handed in when the guest speaks', () => {
  const { engine, undecided, handedIn, packet } = fixture();
  expect(undecided.hold(packet(7))).toBe(true);
  engine.undecided = false;
  undecided.settle();
  expect(handedIn).toEqual([7]);
});

test('and when it does not speak, after a while; once, however often it was begun', () => {
  const { undecided, handedIn, said, clock, packet } = fixture();
  const told: string[] = [];
  undecided.hold(packet(7));
  undecided.whenDecided(() => told.push('first'));
  undecided.whenDecided(() => told.push('second'));
  undecided.hold(packet(8));
  clock.run(299);
  expect([handedIn, told]).toEqual([[], []]);
  clock.run(1);
  expect([handedIn, told]).toEqual([
    [7, 8],
    ['first', 'second'],
  ]);
  expect(said.filter((text) => text.startsWith('whether')).length).toBe(1);
  undecided.whenDecided(() => told.push('at once'));
  expect([told.at(-1), clock.waiting]).toEqual(['at once', 0]);
});

test('it is asked every 20 ms, and no more when it has answered', () => {
  const { engine, undecided, asked, clock } = fixture(true);
  undecided.begin();
  clock.run(60);
  expect(asked).toEqual([40, 40, 40, 40]);
  engine.undecided = false;
  undecided.settle();
  clock.run(1000);
  expect([asked.length, clock.waiting]).toEqual([4, 0]);
});

test('a node that ends keeps nobody waiting, and asks no more', () => {
  const { undecided, clock } = fixture();
  let told = 0;
  undecided.whenDecided(() => told++);
  undecided.close();
  clock.run(1000);
  expect([told, clock.waiting]).toEqual([1, 0]);
});

test.each([false, true])('what is believed without an answer is what was likely: missed %p', (missed) => {
  const { engine, undecided, clock } = fixture();
  undecided.begin(missed);
  clock.run(300);
  expect(engine.missed).toEqual([missed]);
});
