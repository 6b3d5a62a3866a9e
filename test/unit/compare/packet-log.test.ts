import fc from 'fast-check';
import {
  LOG_HELD,
  LOG_PENDING,
  PacketLog,
  R_COPY,
  R_COPY_BYTES,
  R_NEXT,
  R_PREV,
} from '../../../src/compare/packet-log';

/** Needed records keep their bytes and their neighbours however often the ring turns. */
test('what is needed survives, moved or not', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1024, 2048, 4096),
      fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 300 }), need: fc.boolean(), drop: fc.nat(20) }), {
        minLength: 50,
        maxLength: 400,
      }),
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
            const id = log.append(
              flow,
              Buffer.alloc(300, content),
              0,
              step.bytes,
              step.drop & 1 ? LOG_HELD : LOG_PENDING,
            );
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

test('records of no bytes, or as many as there may be, leave room for others and for a run', () => {
  const none = Buffer.alloc(0);
  const many = new PacketLog(1 << 13, 1 << 10, 1 << 12, 1 << 10);
  for (let i = 0; i < 1 << 10; i++) if (many.hasRoom(0)) many.append(7, none, 0, 0, LOG_PENDING);
  expect(many.usedNeeded).toBe(128);
  expect(many.append(7, none, 0, 0, 0)).toBeGreaterThan(0);
  const few = new PacketLog(1 << 13, 1 << 6, 1 << 12);
  while (few.hasRoom(1)) few.append(7, Buffer.alloc(1), 0, 1, LOG_PENDING);
  expect(few.usedNeeded).toBe(31);
  expect([few.openRun(100, 31), few.openRun(100, 30) >= 0]).toEqual([-1, true]);
});

/** Every record that is alive has the bytes that it was given, the open run's from its end on. */
test('records and runs keep their bytes while the ring goes round, grows, and is full of what is needed', () => {
  const step = fc.record({
    kind: fc.constantFrom('need', 'need', 'history', 'history', 'run', 'run', 'run', 'done', 'done', 'grow', 'epoch'),
    bytes: fc.integer({ min: 0, max: 500 }),
    records: fc.array(fc.record({ skip: fc.nat(60), bytes: fc.integer({ min: 1, max: 120 }) }), { maxLength: 12 }),
    few: fc.nat(11),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(1024, 2048, 4096, 8192),
      fc.constantFrom(64, 128),
      fc.constantFrom(1, 0xffffffe0),
      fc.array(step, { minLength: 50, maxLength: 400 }),
      (firstRingBytes, records, firstId, steps) => {
        const log = new PacketLog(8192, records, 4096, firstRingBytes);
        Object.assign(log, { headId: firstId, tailId: firstId });
        const alive = new Map<number, Buffer>();
        const needed = new Set<number>();
        log.owner = {
          onMove: (_flow, oldId, newId) => {
            alive.set(newId, alive.get(oldId)!);
            alive.delete(oldId);
            expect(needed.delete(oldId)).toBe(true);
            needed.add(newId);
          },
        };
        const flow = 7;
        let serial = 0;
        const content = (bytes: number): Buffer => {
          serial++;
          return Buffer.from(Array.from({ length: bytes }, (_, i) => (serial * 31 + i * (1 + (serial % 7))) & 255));
        };
        for (const { kind, bytes, records: wanted, few } of steps) {
          if (kind === 'need' && log.hasRoom(bytes)) {
            const buf = content(bytes);
            const id = log.append(flow, buf, 0, bytes, few & 1 ? LOG_HELD : LOG_PENDING);
            alive.set(id, buf);
            needed.add(id);
          } else if (kind === 'history') {
            const buf = content(bytes);
            alive.set(log.append(flow, buf, 0, bytes, 0), buf);
          } else if (kind === 'run') {
            const total = wanted.reduce((sum, r) => sum + r.skip + r.bytes, 0);
            const buf = content(total + 40);
            const at = log.openRun(total + 40, wanted.length);
            if (at < 0) continue;
            let from = 0;
            for (const r of wanted.slice(0, few)) {
              from += r.skip;
              alive.set(log.runRecord(flow, at + from, r.bytes, 1), buf.subarray(from, from + r.bytes));
              from += r.bytes;
            }
            log.closeRun(at, buf, 0, from);
          } else if (kind === 'done') {
            for (const id of [...needed].slice(0, few)) {
              log.unneed(id, LOG_HELD | LOG_PENDING);
              needed.delete(id);
            }
          } else if (kind === 'grow' && few === 0) {
            log.grow();
          } else if (kind === 'epoch' && few < 2) {
            for (const id of needed) log.unneed(id, LOG_HELD);
            needed.clear();
            log.newEpoch();
          }
          let bytesNeeded = 0;
          for (const [id, buf] of alive) {
            if (!log.alive(id, flow)) {
              expect(needed.has(id)).toBe(false);
              alive.delete(id);
              continue;
            }
            const r = log.recordIndex(id);
            const at = log.words[r + R_COPY]!;
            if (!log.data.subarray(at, at + log.words[r + R_COPY_BYTES]!).equals(buf))
              throw new Error(`record ${id} has other bytes`);
            if (needed.has(id)) bytesNeeded += buf.length;
          }
          expect([log.neededBytes, log.usedNeeded]).toEqual([bytesNeeded, needed.size]);
        }
      },
    ),
    { numRuns: Number(process.env.COLO_RUNS ?? 100) },
  );
});
