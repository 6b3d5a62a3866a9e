// Where the fields of a UDP header stand (RFC 768), as offsets from its beginning.

export const UDP_HEADER_BYTES = 8;
export const UDP_SOURCE_AT = 0;
export const UDP_DESTINATION_AT = 2;
export const UDP_LENGTH_AT = 4;
export const UDP_CHECKSUM_AT = 6;
