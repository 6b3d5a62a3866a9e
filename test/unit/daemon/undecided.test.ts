// What peers send while the guest's numbers are not known gets a verdict, whoever has begun the failover.

import type { Logger } from '../../../src/daemon/log';
import { Undecided, type WaitingPacket } from '../../../src/daemon/undecided';
import type { SecondaryEngine } from '../../../src/seccolo/engine';

function fixture() {
  const engine = {
    undecided: true,
    decide() {
      this.undecided = false;
    },
    counters: { snapshot: () => ({ checkpoints_missed: 0 }) },
  };
  const handedIn: number[] = [];
  const said: string[] = [];
  const say = (...words: unknown[]): void => void said.push(words.filter((word) => typeof word === 'string').join());
  const undecided = new Undecided(
    engine as unknown as SecondaryEngine,
    // There is no such port: nobody can be asked, and nobody answers.
    'colo-none',
    { warn: say, error: say, info: say } as unknown as Logger,
    ({ id }: WaitingPacket) => handedIn.push(id),
  );
  const packet = (id: number): WaitingPacket => ({ id, bytes: Buffer.alloc(0), partial: false, macHigh: 0, macLow: 0 });
  return { engine, undecided, handedIn, said, packet };
}

test('what waits though nobody has begun to ask is handed in when the guest speaks', () => {
  const { engine, undecided, handedIn, packet } = fixture();
  expect(undecided.hold(packet(7))).toBe(true);
  engine.undecided = false;
  undecided.settle();
  expect(handedIn).toEqual([7]);
  undecided.close();
});

test('and when it does not speak, after a while; once, however often it was begun', async () => {
  const { undecided, handedIn, said, packet } = fixture();
  undecided.hold(packet(7));
  const begun = [undecided.begin(), undecided.begin()];
  undecided.hold(packet(8));
  await Promise.all(begun);
  expect(handedIn).toEqual([7, 8]);
  expect(said.filter((text) => text.startsWith('whether')).length).toBe(1);
  await undecided.begin();
  undecided.close();
});
