// Errors of the kernel become errors that an operator can act on.
import { OperatorError } from '../../../src/core/errors';
import { errnoName, errnoText, netnsHints, systemError } from '../../../src/native/errno';

test('an errno has its name and text', () => {
  expect(errnoName(-1)).toBe('EPERM');
  expect(errnoText(-16)).toMatch(/busy/);
  expect(errnoName(-4000)).toBe('E4000');
  expect(errnoText(-4000)).toBe('error 4000');
});

test('an error says what was tried, why not, and what to do', () => {
  const error = systemError(-1, 'binding NFQUEUE 7', { EPERM: 'run as root', EBUSY: 'wait' });
  expect(error).toBeInstanceOf(OperatorError);
  expect(error).toMatchObject({ code: 'EPERM', hint: 'run as root' });
  expect(error.message).toBe('binding NFQUEUE 7: operation not permitted (EPERM)');
  expect(systemError(-2, 'x').hint).toBeUndefined();
});

test('a namespace is named in the hint, if there is one', () => {
  expect(netnsHints(undefined)).toEqual({});
  expect(netnsHints('pn').ENOENT).toContain("'pn'");
});
