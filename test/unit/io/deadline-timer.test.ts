import { DeadlineTimer } from '../../../src/io/deadline-timer';

let fired: number[];
let timer: DeadlineTimer;
let start: number;
const now = () => Math.floor(performance.now()) - start;

beforeEach(() => {
  jest.useFakeTimers();
  start = Math.floor(performance.now());
  fired = [];
  timer = new DeadlineTimer(now, () => fired.push(now()));
});
afterEach(() => jest.useRealTimers());

test('one timer: an earlier deadline replaces it, a later one waits until it is asked for again', () => {
  timer.arm(50);
  timer.arm(20);
  timer.arm(80);
  expect(jest.getTimerCount()).toBe(1);
  jest.advanceTimersByTime(200);
  expect(fired).toHaveLength(1);
  expect(fired[0]!).toBeGreaterThanOrEqual(20);
  expect(fired[0]!).toBeLessThan(50);
  timer.arm(300);
  jest.advanceTimersByTime(200);
  expect(fired).toHaveLength(2);
  expect(fired[1]!).toBeGreaterThanOrEqual(300);
});

test('never is no timer, and a past deadline is one at once', () => {
  timer.arm(Number.POSITIVE_INFINITY);
  expect(jest.getTimerCount()).toBe(0);
  timer.arm(-5);
  jest.advanceTimersByTime(2);
  expect(fired).toHaveLength(1);
});

test('closed, it keeps quiet', () => {
  timer.arm(10);
  timer.close();
  timer.arm(5);
  jest.advanceTimersByTime(100);
  expect([fired, jest.getTimerCount()]).toEqual([[], 0]);
});
