// What /bytes/N sends: a function of the position, the same in both guests and known to the client.
const { createHash } = require('node:crypto');

const BLOCK = Buffer.alloc(1 << 20);
for (let i = 0; i < BLOCK.length; i += 4) BLOCK.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);

/** At most `bytes` bytes from a position on; fewer at the end of the block that repeats. */
function block(position, bytes) {
  const at = position % BLOCK.length;
  return BLOCK.subarray(at, Math.min(BLOCK.length, at + bytes));
}

/** SHA-256 of the first `bytes` bytes. */
function expected(bytes) {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes; at += BLOCK.length) hash.update(BLOCK.subarray(0, Math.min(BLOCK.length, bytes - at)));
  return hash.digest('hex');
}

module.exports = { block, expected };
