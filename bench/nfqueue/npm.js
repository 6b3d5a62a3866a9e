// The npm package `nfqueue` in the comparison, as its README uses it, with the larger socket buffer that it advises.
// npm.js QUEUE
const nfq = require('./peer/node_modules/nfqueue');
const { rewrite } = require('./rewrite');

nfq.createQueueHandler(Number(process.argv[2]), 32 << 20, (packet) => {
  const payload = packet.payload;
  rewrite(payload, 0, payload.length);
  packet.setVerdict(nfq.NF_ACCEPT, null, payload);
});
console.log('ready');
