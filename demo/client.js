// The client of the demonstration: one HTTP download over one TCP connection, at a steady pace, with the SHA-256 and
// the longest silence. node client.js HOST PATH BYTES_PER_SECOND; prints `first`, progress in MB, and one JSON line at
// the end.
const net = require('node:net');
const { createHash } = require('node:crypto');

const [host, path, rate] = process.argv.slice(2);
const hash = createHash('sha256');
const started = Date.now();
let last = started;
let gap = 0;
let bytes = 0;
let head = '';
let inBody = false;
let printed = 0;

const socket = net.connect({ host, port: 80 }, () => socket.write(`GET ${path} HTTP/1.0\r\nHost: ${host}\r\n\r\n`));
socket.on('data', (chunk) => {
  const now = Date.now();
  if (inBody) gap = Math.max(gap, now - last);
  last = now;
  if (!inBody) {
    head += chunk.toString('latin1');
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    chunk = Buffer.from(head.slice(end + 4), 'latin1');
    inBody = true;
    console.log('first');
  }
  hash.update(chunk);
  bytes += chunk.length;
  if (bytes >> 22 > printed) {
    printed = bytes >> 22;
    console.log(`${(bytes / 1e6).toFixed(0)} MB`);
  }
  const ahead = (bytes / Number(rate)) * 1000 - (now - started);
  if (ahead > 5) {
    socket.pause();
    setTimeout(() => socket.resume(), ahead);
  }
});
socket.on('error', (error) => console.log(JSON.stringify({ error: error.message, bytes })));
socket.on('close', () => {
  if (inBody) console.log(JSON.stringify({ bytes, sha256: hash.digest('hex'), longestSilenceMs: gap }));
});
