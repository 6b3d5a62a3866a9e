import fc from 'fast-check';
import { LOG_HELD, LOG_PENDING, PacketLog, R_COPY, R_COPY_BYTES, R_NEXT, R_PREV } from '../../../src/compare/packet-log';

/** Needed records keep their bytes and their neighbours however often the ring turns. */
test('what is needed survives, moved or not', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1024, 2048, 4096),
      fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 300 }), need: fc.boolean(), drop: fc.nat(20) }), { minLength: 50, maxLength: 400 }),
      (firstRingBytes, steps) => {
        const log = new PacketLog(4096, 64, 2048, firstRingBytes);
        const live = new Map<number, number>(); // id -> content
        const order: number[] = [];
        log.owner = {
          onMove: (_flow, oldId, newId) => {
            const content = live.get(oldId);
            if (content === undefined) return;
            live.delete(oldId);
            live.set(newId, content);
            order[order.indexOf(oldId)] = newId;
          },
        };
        const flow = 7;
        let content = 0;
        for (const step of steps) {
          if (step.need && log.hasRoom(step.bytes)) {
            content = (content + 1) & 255;
            const id = log.append(flow, Buffer.alloc(300, content), 0, step.bytes, step.drop & 1 ? LOG_HELD : LOG_PENDING);
            live.set(id, content);
            const last = order.at(-1);
            if (last !== undefined) {
              log.words[log.recordIndex(id) + R_PREV] = last;
              log.words[log.recordIndex(last) + R_NEXT] = id;
            }
            order.push(id);
          } else {
            log.append(flow, Buffer.alloc(300, 0xee), 0, step.bytes, 0);
          }
          if (order.length > 3 && step.drop < 10) {
            // The oldest is done with.
            const id = order.shift()!;
            log.unneed(id, LOG_HELD | LOG_PENDING);
            live.delete(id);
          }
          order.forEach((id, i) => {
            expect(log.alive(id, flow)).toBe(true);
            const r = log.recordIndex(id);
            const at = log.words[r + R_COPY]!;
            const bytes = log.data.subarray(at, at + log.words[r + R_COPY_BYTES]!);
            expect(bytes.every((b) => b === live.get(id))).toBe(true);
            if (i + 1 < order.length) expect(log.words[r + R_NEXT]).toBe(order[i + 1]);
            if (i > 0) expect(log.words[r + R_PREV]).toBe(order[i - 1]);
          });
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('the ring stays in the first part of its memory until more is needed, or asked for', () => {
  const log = new PacketLog(1 << 16, 1 << 10, 1 << 15, 1 << 12);
  const bytes = Buffer.alloc(100, 1);
  const reach = (): number => {
    let most = 0;
    for (let i = 0; i < 2000; i++) {
      const id = log.append(7, bytes, 0, bytes.length, 0);
      most = Math.max(most, log.words[log.recordIndex(id) + R_COPY]! + bytes.length);
    }
    return most;
  };
  expect(reach()).toBeLessThanOrEqual(1 << 12);
  log.grow();
  const twice = reach();
  expect(twice).toBeGreaterThan(1 << 12);
  expect(twice).toBeLessThanOrEqual(1 << 13);
  for (let i = 0; i < 40; i++) log.append(7, bytes, 0, bytes.length, LOG_PENDING);
  expect(reach()).toBeGreaterThan(1 << 13);
  for (let i = 0; i < 9; i++) log.grow();
  expect(reach()).toBeLessThanOrEqual(1 << 16);
});
