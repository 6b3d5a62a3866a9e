/** At most `bytes` bytes of the content, from a position on. */
export function block(position: number, bytes: number): Buffer;
/** SHA-256 of the first `bytes` bytes, in hex. */
export function expected(bytes: number): string;
