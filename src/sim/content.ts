// Contents of the applications' messages: each byte is a function of the message's seed and the byte's place, so both
// guests send the same without storing it, and a receiver can check every byte.

const TABLE_BYTES = 1 << 16;

const table: Buffer = (() => {
  // Doubled, so that a run of up to TABLE_BYTES can be copied from any start.
  const bytes = Buffer.alloc(2 * TABLE_BYTES);
  let x = 0x2545f491;
  for (let i = 0; i < TABLE_BYTES; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x >>> 11;
  }
  bytes.copy(bytes, TABLE_BYTES, 0, TABLE_BYTES);
  return bytes;
})();

function start(seed: number, place: number): number {
  // A prime stride per wrapped table keeps the same bytes from coming back at the next 64 KiB.
  return (Math.imul(seed, 0x9e3779b1) + place + 7919 * Math.floor(place / TABLE_BYTES)) & (TABLE_BYTES - 1);
}

/** The message of equal bytes: at a wrong place in a stream it still looks right. */
export const ALIKE = 0;
const ALIKE_BYTE = 0x78;

/** Writes bytes [place, place + n) of message `seed` to buf at off. */
export function fillContent(seed: number, place: number, buf: Buffer, off: number, n: number): void {
  if (seed === ALIKE) {
    buf.fill(ALIKE_BYTE, off, off + n);
    return;
  }
  while (n > 0) {
    const run = Math.min(n, TABLE_BYTES - (place % TABLE_BYTES));
    const from = start(seed, place);
    table.copy(buf, off, from, from + run);
    place += run;
    off += run;
    n -= run;
  }
}

/** Of the n bytes of buf at off: how many, from the first on, equal message `seed` at `place`. */
export function matchContent(seed: number, place: number, buf: Buffer, off: number, n: number): number {
  let done = 0;
  if (seed === ALIKE) {
    while (done < n && buf[off + done] === ALIKE_BYTE) done++;
    return done;
  }
  while (done < n) {
    const run = Math.min(n - done, TABLE_BYTES - (place % TABLE_BYTES));
    const from = start(seed, place);
    if (buf.compare(table, from, from + run, off + done, off + done + run) !== 0) {
      for (let i = 0; i < run; i++) if (buf[off + done + i] !== table[from + i]) return done + i;
    }
    place += run;
    done += run;
  }
  return n;
}

/** FNV-1a over a range, carried on from `h`. */
export function digest(h: number, buf: Buffer, off: number, n: number): number {
  for (let i = 0; i < n; i++) h = Math.imul(h ^ buf[off + i]!, 0x01000193);
  return h >>> 0;
}
