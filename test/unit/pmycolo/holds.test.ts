import * as holds from '../../../src/pmycolo/holds';

test('no two flags of a held packet are one, and none stands where its head bytes do', () => {
  const named = Object.entries(holds).filter(([name]) => name.startsWith('HF_') && name !== 'HF_HEAD_SHIFT');
  let taken = 0xff << holds.HF_HEAD_SHIFT;
  for (const [name, bits] of named) {
    expect([name, taken & (bits as number)]).toEqual([name, 0]);
    taken |= bits as number;
  }
});
