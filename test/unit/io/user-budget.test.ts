import { UserBudget } from '../../../src/io/user-budget';

test('each user has a share of a window, all of them another, root no bound', () => {
  let now = 0;
  const budget = new UserBudget(3, 5, () => now);
  const takes = (uid: number, n: number) => Array.from({ length: n }, () => budget.take(uid)).filter(Boolean).length;
  expect([takes(7, 10), takes(0, 10), takes(8, 10), takes(9, 10)]).toEqual([3, 10, 2, 0]);
  now = 99;
  expect([takes(7, 1), budget.restMs]).toEqual([0, 1]);
  now = 100;
  expect([takes(9, 10), budget.restMs]).toEqual([3, 100]);
});
