import fc from 'fast-check';
import { ReceiveBuffer } from '../../../../src/io/stream/receive-buffer';

test('the bytes are read as they came, and room is made when little is left', () => {
  const step = fc.record({ add: fc.nat(40), take: fc.nat(40), makeRoom: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const input = new ReceiveBuffer(100);
      let written = 0;
      let read = 0;
      for (const { add, take, makeRoom } of steps) {
        const more = Math.min(add, input.room);
        for (let i = 0; i < more; i++) input.buf[input.to + i] = written++ & 0xff;
        input.add(more);
        const less = Math.min(take, input.unread);
        for (let i = 0; i < less; i++) expect(input.buf[input.from + i]).toBe(read++ & 0xff);
        input.take(less);
        if (makeRoom) {
          const { from, room } = input;
          input.makeRoom();
          // Nothing is moved without need.
          if (room >= 25) expect(input.from).toBe(from);
          expect(input.from === 0 || input.room >= 25).toBe(true);
        }
        expect([input.unread, input.to]).toEqual([written - read, input.from + written - read]);
        if (input.unread === 0) expect(input.room).toBe(100);
      }
    }),
  );
});

test('no more is added than there is room for, or taken than there is', () => {
  const input = new ReceiveBuffer(10);
  expect(() => input.add(11)).toThrow('room');
  input.add(10);
  expect(() => input.take(11)).toThrow('takes no more than there is');
  expect(() => input.take(-1)).toThrow('takes no more than there is');
  input.clear();
  expect([input.unread, input.room]).toEqual([0, 10]);
});
