import fc from 'fast-check';
import { nameOf, numberOf } from '../../../src/daemon/split-queue';

test("a name finds the kernel's number again, as long as fewer than 2^31 packets have come since", () => {
  const u32 = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(u32, fc.integer({ min: 0, max: 0x7fffffff }), fc.constantFrom(0, 1), (number, since, part) => {
      const name = nameOf(part as 0 | 1, number);
      expect(name >>> 31).toBe(part);
      expect(numberOf(name, (number + since) >>> 0)).toBe(number);
    }),
  );
});
