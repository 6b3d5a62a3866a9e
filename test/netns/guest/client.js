// The client's program: one process for many transfers, told on standard input what to do, one JSON object a line.
//   {id, op: "get", host, port, bytes, rate}        GET /bytes/N          rate in bytes/s, none: as fast as it goes
//   {id, op: "dial", host, port, local, bytes, rate} listens on `local`; the guest calls it from its own `local`
//   {id, op: "upload", host, port, bytes, rate}     POST /upload; sha256 is the guest's answer
//   {id, op: "keepalive", host, port, count}        several requests on one connection
//   {id, op: "text", host, port, path}              the body as text
//   {id, op: "udp", host, port, messages}           one after the other, each repeated every 5 s until it is answered
//   {id, op: "send", host, port, text}              one UDP datagram, nothing awaited
// Answers: {id, event: "begun"} at the first byte; {id, event: "done", bytes, sha256, ...} or
// {id, event: "failed", error}.
const http = require('node:http');
const net = require('node:net');
const dgram = require('node:dgram');
const { createHash } = require('node:crypto');
const { createInterface } = require('node:readline');
const { block, expected } = require('./content.js');

const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

/** Reads a stream to its end, at most `rate` bytes/s; the client's own buffers are kept small by the laboratory. */
function drink(id, stream, rate, done) {
  const hash = createHash('sha256');
  let bytes = 0;
  let gapMs = 0;
  let last = 0;
  stream.on('data', (chunk) => {
    const now = performance.now();
    if (bytes === 0) say({ id, event: 'begun' });
    else gapMs = Math.max(gapMs, now - last);
    last = now;
    hash.update(chunk);
    bytes += chunk.length;
    if (!rate) return;
    stream.pause();
    setTimeout(() => {
      last = Math.max(last, performance.now() - 1);
      stream.resume();
    }, (chunk.length / rate) * 1000);
  });
  stream.on('end', () => done({ bytes, sha256: hash.digest('hex'), gapMs: Math.round(gapMs) }));
}

const hostText = (host) => (host.includes(':') ? `[${host}]` : host);

// A guest that was killed is dead to its client, but not to the kernel that plays it: what it left open there would
// meet a new connection from the same port. So no port comes again for long, and none is one that the kernel gives to
// others.
const FIRST_PORT = 3000;
const PORTS = 6000;
let ports = 0;
const own = () => ({ agent: false, localPort: FIRST_PORT + (ports++ % PORTS) });

const operations = {
  get({ id, host, port, bytes, rate }, done, fail) {
    const request = http.get({ host, port, path: `/bytes/${bytes}`, ...own() }, (response) => {
      response.on('error', fail);
      drink(id, response, rate, (got) => done({ ...got, local: request.socket?.localPort }));
    });
    request.on('error', fail);
  },

  dial({ id, host, port, local, bytes, rate }, done, fail) {
    const server = net.createServer((socket) => {
      server.close();
      socket.on('error', fail);
      drink(id, socket, rate, (got) => {
        socket.end();
        done(got);
      });
    });
    server.on('error', fail);
    server.listen(local, () => {
      http
        .get({ host, port, path: `/dial/${local}/${bytes}`, ...own() }, (response) => response.resume())
        .on('error', fail);
    });
  },

  upload({ id, host, port, bytes, rate }, done, fail) {
    const headers = { 'content-length': bytes };
    const request = http.request({ host, port, path: '/upload', method: 'POST', headers, ...own() }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('error', fail);
      response.on('end', () => {
        const [count, sha256] = text.trim().split(' ');
        done({ bytes: Number(count), sha256 });
      });
    });
    request.on('error', fail);
    let sent = 0;
    const more = () => {
      if (sent === bytes) {
        request.end();
        return;
      }
      const piece = block(sent, Math.min(rate ? 16 << 10 : 256 << 10, bytes - sent));
      const fits = request.write(piece);
      if (sent === 0) say({ id, event: 'begun' });
      sent += piece.length;
      const next = () => (rate ? setTimeout(more, (piece.length / rate) * 1000) : setImmediate(more));
      if (fits) next();
      else request.once('drain', next);
    };
    more();
  },

  keepalive({ host, port, count }, done, fail) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set();
    let good = 0;
    const next = (n) => {
      if (n === count) {
        agent.destroy();
        done({ good, connections: ports.size });
        return;
      }
      const bytes = 1 + n * 997;
      const request = http.get({ host, port, path: `/bytes/${bytes}`, agent }, (response) => {
        const hash = createHash('sha256');
        ports.add(request.socket.localPort);
        response.on('data', (chunk) => hash.update(chunk));
        response.on('error', fail);
        response.on('end', () => {
          if (hash.digest('hex') === expected(bytes)) good++;
          next(n + 1);
        });
      });
      request.on('error', fail);
    };
    next(0);
  },

  text({ host, port, path }, done, fail) {
    const request = http.get({ host, port, path, ...own() }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('error', fail);
      response.on('end', () => done({ text }));
    });
    request.on('error', fail);
  },

  send({ host, port, text }, done, fail) {
    const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.send(text, port, host, (error) => {
      socket.close();
      if (error) fail(error);
      else done({});
    });
  },

  udp({ host, port, messages }, done, fail) {
    const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const answers = [];
    let timer;
    const send = () => {
      clearInterval(timer);
      if (answers.length === messages.length) {
        socket.close();
        done({ answers });
        return;
      }
      const shoot = () => socket.send(messages[answers.length], port, host);
      shoot();
      timer = setInterval(shoot, 5000);
    };
    socket.on('message', (message) => {
      // The answer to a repetition that was not needed.
      if (answers.length > 0 && answers.at(-1) === message.toString()) return;
      answers.push(message.toString());
      send();
    });
    socket.on('error', fail);
    send();
  },
};

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order = JSON.parse(line);
    let over = false;
    const end = (event) => {
      if (over) return;
      over = true;
      say({ id: order.id, ...event });
    };
    operations[order.op](
      order,
      (result) => end({ event: 'done', ...result }),
      (error) => end({ event: 'failed', error: `${order.op} ${hostText(order.host)}: ${error.message}` }),
    );
  })
  .on('close', () => process.exit(0));
say({ event: 'ready' });
