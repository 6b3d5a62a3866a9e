// A client that has so many requests open on each of so many connections at a time, and reads the answers of
// two-writes.js. usage: pipelining.js HOST PORT CONNECTIONS OPEN REQUESTS; says how many were answered, and in how many
// ms
const net = require('node:net');

const [host, port, connections, open, requests] = process.argv.slice(2);
const began = performance.now();
let answered = 0;
let left = Number(connections);
for (let i = 0; i < Number(connections); i++) {
  let sent = 0;
  let got = 0;
  const socket = net.connect({ host, port: Number(port), noDelay: true });
  const ask = () => {
    const n = Math.min(Number(open) - (sent - got), Number(requests) - sent);
    sent += n;
    if (n > 0) socket.write('go\n'.repeat(n));
  };
  socket.on('connect', ask);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n')) {
      if (text.slice(0, at) !== 'first second') throw new Error(`not an answer: ${JSON.stringify(text.slice(0, at))}`);
      text = text.slice(at + 1);
      got++;
      answered++;
    }
    if (got === Number(requests)) socket.end();
    else ask();
  });
  socket.on('close', () => {
    if (--left === 0) console.log(JSON.stringify({ answered, ms: performance.now() - began }));
  });
}
