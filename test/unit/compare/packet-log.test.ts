import fc from 'fast-check';
import { LOG_HELD, LOG_PENDING, PacketLog, R_COPY, R_COPY_BYTES, R_NEXT, R_PREV } from '../../../src/compare/packet-log';

/** Needed records keep their bytes and their neighbours however often the ring turns. */
test('what is needed survives, moved or not', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 300 }), need: fc.boolean(), drop: fc.nat(20) }), { minLength: 50, maxLength: 400 }),
      (steps) => {
        const log = new PacketLog(4096, 64, 2048);
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
