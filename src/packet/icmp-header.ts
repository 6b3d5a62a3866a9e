// Where the fields of ICMP and ICMPv6 headers stand (RFC 792, RFC 4443), as offsets from their beginning.

export const ICMP_HEADER_BYTES = 8;
export const ICMP_CHECKSUM_AT = 2;
/** Four bytes whose meaning is the type's: identifier and sequence number of an echo. */
export const ICMP_REST_AT = 4;
