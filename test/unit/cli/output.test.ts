import { tableText } from '../../../src/cli/output';

test('columns without lines, each row one line', () => {
  const rows = [
    ['ok', 'nft', 'version 1'],
    ['MISSING', '', 'no such\n  program'],
  ];
  expect(tableText(['', 'what', 'found'], rows)).toBe('         WHAT  FOUND\nok       nft   version 1\nMISSING        no such program');
  expect(tableText(['a'], [])).toBe('A');
});
