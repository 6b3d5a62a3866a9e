// What runs in each of the two guests: the same program, the same answers, unless it is asked to differ.
// node server.js PORT SECRET     SECRET is what only this guest knows.
//   GET  /bytes/N         N bytes, a function of their position
//   GET  /secret          an answer that contains SECRET (a divergence), of the same length in both guests
//   GET  /dial/PORT/N     opens a connection from local port PORT to the client's port PORT and sends N bytes there
//   POST /upload          answers with the body's length and SHA-256
//   UDP PORT: echoes; a datagram "secret" is answered with SECRET
const http = require('node:http');
const net = require('node:net');
const dgram = require('node:dgram');
const { createHash } = require('node:crypto');
const { block } = require('./content.js');

const port = Number(process.argv[2]);
const secret = process.argv[3];

/** Writes N bytes at the receiver's pace. */
function pour(stream, total) {
  let sent = 0;
  const more = () => {
    while (sent < total) {
      const piece = block(sent, Math.min(64 << 10, total - sent));
      sent += piece.length;
      if (!stream.write(piece)) return stream.once('drain', more);
    }
    stream.end();
  };
  more();
}

const server = http.createServer((request, response) => {
  response.sendDate = false;
  const [, what, a, b] = request.url.split('/');
  if (what === 'bytes') {
    response.writeHead(200, { 'content-length': Number(a) });
    pour(response, Number(a));
  } else if (what === 'secret') {
    const body = `the secret is ${secret}\n`;
    response.writeHead(200, { 'content-length': body.length, connection: 'close' });
    response.end(body);
  } else if (what === 'dial') {
    const client = request.socket.remoteAddress.replace(/^::ffff:/, '');
    const socket = net.connect({ host: client, port: Number(a), localPort: Number(a) });
    socket.on('connect', () => pour(socket, Number(b)));
    socket.on('error', () => {});
    response.end('dialling\n');
  } else if (what === 'upload') {
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    request.on('end', () => response.end(`${bytes} ${hash.digest('hex')}\n`));
  } else {
    response.writeHead(404);
    response.end();
  }
});
server.keepAliveTimeout = 600_000;
server.listen({ port, host: '::', backlog: 4096 }, () => console.log('listening'));

for (const [type, address] of [['udp4', '0.0.0.0'], ['udp6', '::']]) {
  const socket = dgram.createSocket({ type, ipv6Only: type === 'udp6' });
  socket.on('message', (message, from) => {
    const answer = message.toString() === 'secret' ? Buffer.from(secret) : message;
    socket.send(answer, from.port, from.address);
  });
  socket.bind(port, address);
}
process.on('uncaughtException', (error) => console.error(error));
