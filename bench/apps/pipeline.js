// Pipelined requests: `serve PORT` (in both guests) answers each byte by two writes, a head and a body, as many servers
// do; `ask HOST PORT SECONDS` keeps ten requests on their way on each of eight connections and prints the requests per
// second.
const net = require('node:net');

const [what, ...args] = process.argv.slice(2);
const PIPELINED = 10;
const CONNECTIONS = 8;
const HEAD = Buffer.alloc(40, 0x68);
const BODY = Buffer.alloc(60, 0x62);
const REQUESTS = Buffer.alloc(PIPELINED, 0x72);

if (what === 'serve') {
  net
    .createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (requests) => {
        for (let i = 0; i < requests.length; i++) {
          socket.write(HEAD);
          socket.write(BODY);
        }
      });
    })
    .listen(Number(args[0]), '0.0.0.0', () => console.log('ready'));
} else {
  const [host, port, seconds] = args;
  const answerBytes = HEAD.length + BODY.length;
  let done = 0;
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = net.connect({ host, port: Number(port), noDelay: true }, () => socket.write(REQUESTS));
    let bytes = 0;
    socket.on('data', (chunk) => {
      const before = Math.floor((bytes + BODY.length) / answerBytes);
      bytes += chunk.length;
      const heads = Math.floor((bytes + BODY.length) / answerBytes) - before;
      done += heads;
      // With the head: so the server hears at once that it has arrived, and no delayed acknowledgement makes it wait.
      if (heads > 0) socket.write(REQUESTS.subarray(0, heads));
    });
    socket.on('error', (error) => {
      console.error(error.message);
      process.exit(1);
    });
  }
  setTimeout(() => {
    console.log(done / Number(seconds));
    process.exit(0);
  }, Number(seconds) * 1000);
}
