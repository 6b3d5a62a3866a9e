// Where the fields of a TCP header stand (RFC 9293 section 3.1), as offsets from its beginning.

/** Without options. */
export const TCP_HEADER_BYTES = 20;
export const TCP_SOURCE_AT = 0;
export const TCP_DESTINATION_AT = 2;
export const TCP_SEQ_AT = 4;
export const TCP_ACK_AT = 8;
/** Its upper four bits are the header's length in words. */
export const TCP_LENGTH_AT = 12;
export const TCP_FLAGS_AT = 13;
export const TCP_WINDOW_AT = 14;
export const TCP_CHECKSUM_AT = 16;
export const TCP_URGENT_AT = 18;

/** Of the timestamp option (RFC 7323 section 3.2): the echo, from the value on. */
export const TSECR_FROM_TSVAL = 4;

/** Bytes of the header that begins at l4, with its options. */
export function tcpHeaderBytes(buf: Uint8Array, l4: number): number {
  return (buf[l4 + TCP_LENGTH_AT]! >>> 4) << 2;
}
