// Comparing and copying byte ranges. Below a few dozen bytes a loop beats the call into the runtime.

const LOOP_BYTES = 48;

/** True when n bytes of a at aOff equal n bytes of b at bOff. Ranges must lie inside the buffers. */
export function equalBytes(a: Buffer, aOff: number, b: Buffer, bOff: number, n: number): boolean {
  if (n > LOOP_BYTES) return a.compare(b, bOff, bOff + n, aOff, aOff + n) === 0;
  for (let i = 0; i < n; i++) if (a[aOff + i] !== b[bOff + i]) return false;
  return true;
}

/** Index of the first differing byte in [0, n), or n. Only for reports. */
export function firstDifference(a: Buffer, aOff: number, b: Buffer, bOff: number, n: number): number {
  for (let i = 0; i < n; i++) if (a[aOff + i] !== b[bOff + i]) return i;
  return n;
}

export function copyBytes(from: Buffer, fromOff: number, to: Buffer, toOff: number, n: number): void {
  if (n > LOOP_BYTES) {
    from.copy(to, toOff, fromOff, fromOff + n);
    return;
  }
  for (let i = 0; i < n; i++) to[toOff + i] = from[fromOff + i]!;
}
