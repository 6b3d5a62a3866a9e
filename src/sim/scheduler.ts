// Virtual time: events run in order of their time, and in order of their making where times are equal.

export class Scheduler {
  /** Virtual time in microseconds; integers, so that sums are exact. */
  nowUs = 0;
  private readonly times: number[] = [];
  private readonly orders: number[] = [];
  private readonly tasks: (() => void)[] = [];
  private made = 0;

  get pending(): number {
    return this.times.length;
  }

  /** Runs the task after delayUs (rounded down, at least 0). */
  after(delayUs: number, task: () => void): void {
    this.at(this.nowUs + Math.max(0, Math.floor(delayUs)), task);
  }

  at(timeUs: number, task: () => void): void {
    const time = Math.max(timeUs, this.nowUs);
    const order = this.made++;
    let i = this.times.length;
    this.times.push(time);
    this.orders.push(order);
    this.tasks.push(task);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (this.times[parent]! < time || (this.times[parent] === time && this.orders[parent]! < order)) break;
      this.move(parent, i);
      i = parent;
    }
    this.put(i, time, order, task);
  }

  /** Runs the next event; false when there is none. */
  step(): boolean {
    const n = this.times.length;
    if (n === 0) return false;
    const task = this.tasks[0]!;
    this.nowUs = this.times[0]!;
    const time = this.times.pop()!;
    const order = this.orders.pop()!;
    const last = this.tasks.pop()!;
    if (n > 1) this.sink(time, order, last, n - 1);
    task();
    return true;
  }

  private sink(time: number, order: number, task: () => void, n: number): void {
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= n) break;
      if (child + 1 < n && this.before(child + 1, child)) child++;
      if (time < this.times[child]! || (time === this.times[child] && order < this.orders[child]!)) break;
      this.move(child, i);
      i = child;
    }
    this.put(i, time, order, task);
  }

  private before(a: number, b: number): boolean {
    return this.times[a]! < this.times[b]! || (this.times[a] === this.times[b] && this.orders[a]! < this.orders[b]!);
  }

  private move(from: number, to: number): void {
    this.times[to] = this.times[from]!;
    this.orders[to] = this.orders[from]!;
    this.tasks[to] = this.tasks[from]!;
  }

  private put(i: number, time: number, order: number, task: () => void): void {
    this.times[i] = time;
    this.orders[i] = order;
    this.tasks[i] = task;
  }
}
