// This project's consumer in the comparison: the built library, as the daemon uses it. ours.js QUEUE
const { NfQueue } = require('../../dist/io/nfqueue');
const { NFQ_D_ID, NFQ_D_LENGTH, NFQ_D_OFFSET, NFQ_D_WORDS } = require('../../dist/native/layout');
const { rewrite } = require('./rewrite');

const queue = new NfQueue({ queue: Number(process.argv[2]) }, (count) => {
  const { arena, table } = queue;
  for (let i = 0, base = 0; i < count; i++, base += NFQ_D_WORDS) {
    const off = table[base + NFQ_D_OFFSET];
    const bytes = table[base + NFQ_D_LENGTH];
    rewrite(arena, off, bytes);
    queue.acceptRewritten(table[base + NFQ_D_ID], arena, off, bytes, false);
  }
});
console.log('ready');
