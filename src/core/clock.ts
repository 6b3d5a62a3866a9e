// Time, for code that may not read it itself: so the simulator can be the clock.

export interface Clock {
  /** Monotonic. */
  nowMs(): number;
  /** Calls the task once, no earlier than in `delayMs`. The result takes it back; after the call it does nothing. */
  after(delayMs: number, task: () => void): () => void;
}
