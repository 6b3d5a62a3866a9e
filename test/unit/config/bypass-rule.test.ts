import { BypassRules, parseBypassRule } from '../../../src/config/bypass-rule';
import { OperatorError } from '../../../src/core/errors';

test('a rule as people write it', () => {
  expect(parseBypassRule({ protocol: 'tcp', prefix: '10.0.0.0/8', ports: '8000-8080', end: 'peer' }).rule).toEqual({
    protocol: 6,
    family: 4,
    address: [0x0a000000, 0, 0, 0],
    prefixBits: 8,
    firstPort: 8000,
    lastPort: 8080,
    end: 'peer',
  });
  expect(parseBypassRule({ ports: 53 }).rule).toEqual({ firstPort: 53, lastPort: 53, end: 'either' });
  expect(parseBypassRule({ prefix: '2001:db8::/32' }).rule).toMatchObject({ family: 6, prefixBits: 32 });
});

test.each([
  [{}, 'needs a protocol'],
  [{ protocol: 'tpc' }, 'protocol: must be one of icmp, igmp, tcp,'],
  [{ protocol: 300 }, 'or a number from 0 to 255'],
  [{ protocol: 1.5 }, 'or a number from 0 to 255'],
  [{ prefix: '10.0.0.0/33' }, 'prefix'],
  [{ ports: '99-1' }, 'ports: must be a range of ports from low to high'],
  [{ ports: 70000 }, 'ports: must be a port from 0 to 65535, or a range'],
  [{ ports: true }, 'ports: must be a port from 0 to 65535, or a range'],
  [{ ports: '1-70000' }, 'ports: must be a range of ports from low to high'],
  [{ port: 53 }, 'port'],
  [{ protocol: 'sctp', ports: 5000 }, 'ports: must be left out: only tcp and udp have ports'],
  [{ protocol: 1, ports: 8 }, 'ports: must be left out'],
  ['tcp', 'rule'],
])('%j is refused and says why', (value, word) => {
  expect(() => parseBypassRule(value)).toThrow(OperatorError);
  expect(() => parseBypassRule(value)).toThrow(word);
});

test('a set of rules: no doubles, a bound, removal however it was written', () => {
  const rules = new BypassRules([{ ports: 1, end: 'either' }]);
  rules.add({ ports: 1 });
  expect(rules.list().length).toBe(1);
  expect(rules.remove({ ports: 2 })).toBe(false);
  // A file says "22", and the command line says 22.
  rules.add({ ports: '22', protocol: 6 });
  rules.add({ protocol: 'tcp', ports: '22-22' });
  expect(rules.list().length).toBe(2);
  expect(rules.remove({ ports: 22, protocol: 'tcp' })).toBe(true);
  expect(rules.remove({ ports: 1 })).toBe(true);
  for (let i = 0; i < 256; i++) rules.add({ ports: i });
  expect(() => rules.add({ ports: 300 })).toThrow('256');
  rules.clear();
  expect(rules.compiled()).toEqual([]);
});
