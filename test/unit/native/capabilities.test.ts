// Capability numbers are the kernel's (linux/capability.h).
import { existsSync, readFileSync } from 'node:fs';
import { CAPABILITY_NUMBERS } from '../../../src/native/capabilities';

const UAPI = '/usr/include/linux/capability.h';

(existsSync(UAPI) ? test : test.skip)('capability numbers', () => {
  const uapi = readFileSync(UAPI, 'utf8');
  expect(Object.keys(CAPABILITY_NUMBERS).length).toBeGreaterThan(5);
  for (const [name, number] of Object.entries(CAPABILITY_NUMBERS)) {
    expect([name, uapi.match(new RegExp(`#define ${name}\\s+(\\d+)`))?.[1]]).toEqual([name, String(number)]);
  }
});
