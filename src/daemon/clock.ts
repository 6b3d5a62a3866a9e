// The one clock that the engines are fed with: monotonic milliseconds.

export function nowMs(): number {
  return Math.floor(performance.now());
}
