// Error numbers that messages carry, and their names. Linux: <errno.h> (asm-generic/errno-base.h, asm-generic/errno.h).

export const Errno = {
  EPERM: 1, // EPERM
  ENOENT: 2, // ENOENT
  EIO: 5, // EIO
  E2BIG: 7, // E2BIG
  EAGAIN: 11, // EAGAIN
  ENOMEM: 12, // ENOMEM
  EACCES: 13, // EACCES
  EBUSY: 16, // EBUSY
  EEXIST: 17, // EEXIST
  ENODEV: 19, // ENODEV
  EINVAL: 22, // EINVAL
  ENOSPC: 28, // ENOSPC
  EPIPE: 32, // EPIPE
  ERANGE: 34, // ERANGE
  EPROTO: 71, // EPROTO
  EMSGSIZE: 90, // EMSGSIZE
  EPROTONOSUPPORT: 93, // EPROTONOSUPPORT
  EOPNOTSUPP: 95, // EOPNOTSUPP
  EADDRINUSE: 98, // EADDRINUSE
  ECONNRESET: 104, // ECONNRESET
  ENOBUFS: 105, // ENOBUFS
  ENOTCONN: 107, // ENOTCONN
  ETIMEDOUT: 110, // ETIMEDOUT
  ECONNREFUSED: 111, // ECONNREFUSED
} as const;
export type Errno = (typeof Errno)[keyof typeof Errno];

const NAMES = new Map<number, string>(Object.entries(Errno).map(([name, value]) => [value, name]));

/** `EEXIST` for 17 and for -17; `errno 200` for a number without a name here. */
export function errnoName(errno: number): string {
  const value = Math.abs(errno);
  return NAMES.get(value) ?? `errno ${value}`;
}
