// Record of a run: always a hash (two runs of one seed must agree on it), and on request the events as text.

/** FNV-1a over the UTF-16 units. */
export function hashString(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** Number of last events that are kept when not all are asked for. */
export const TRACE_TAIL = 250;

export type TraceMode = 'hash' | 'tail' | 'full';

export class Trace {
  private low = 0x811c9dc5;
  private high = 0x1234567;
  private readonly lines: string[] = [];
  events = 0;

  constructor(readonly mode: TraceMode) {}

  /** True when text is wanted: callers build their texts only then. */
  get recording(): boolean {
    return this.mode !== 'hash';
  }

  /** Adds an event to the hash: `code` is its kind, the numbers distinguish it. */
  mark(timeUs: number, code: number, x: number, y: number): void {
    this.events++;
    this.low = Math.imul(this.low ^ code ^ (timeUs | 0), 0x01000193) ^ (x | 0);
    this.high = Math.imul(this.high ^ (y | 0), 0x85ebca6b) + (this.low >>> 7);
  }

  line(timeUs: number, text: string): void {
    this.lines.push(`${(timeUs / 1000).toFixed(3).padStart(11)} ms  ${text}`);
    if (this.mode === 'tail' && this.lines.length > 4 * TRACE_TAIL) this.lines.splice(0, 3 * TRACE_TAIL);
  }

  get hash(): string {
    return (this.low >>> 0).toString(16).padStart(8, '0') + (this.high >>> 0).toString(16).padStart(8, '0');
  }

  /** The events as text, oldest first: all of them, or the last TRACE_TAIL. */
  text(): readonly string[] {
    return this.mode === 'full' ? this.lines : this.lines.slice(-TRACE_TAIL);
  }
}
