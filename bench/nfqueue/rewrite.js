// The same change as rewrite.h makes: one payload byte, and the UDP checksum with it (RFC 1624).
const FLIP = 0x5a;

function rewrite(buf, off, bytes) {
  const last = off + bytes - 1;
  const old = buf[last];
  const now = old ^ FLIP;
  buf[last] = now;
  let sum = (~((buf[off + 26] << 8) | buf[off + 27]) & 0xffff) + (~old & 0xffff) + now;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~sum & 0xffff;
  if (sum === 0) sum = 0xffff;
  buf[off + 26] = sum >> 8;
  buf[off + 27] = sum & 0xff;
}

module.exports = { rewrite };
