// Load for the end-to-end benchmark: `serve PORT` (in both guests), `download HOST PORT SECONDS`, `pingpong HOST PORT
// COUNT`. A client's first byte says what it wants: 'D' endless data, 'P' each byte comes back.
const net = require('node:net');

const [what, ...args] = process.argv.slice(2);
const BLOCK = Buffer.alloc(1 << 20, 0x63);

if (what === 'serve') {
  net
    .createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {});
      socket.once('data', (first) => {
        if (first[0] === 0x44) {
          const pour = () => {
            while (socket.write(BLOCK));
          };
          socket.on('drain', pour);
          pour();
          return;
        }
        socket.on('data', (chunk) => socket.write(chunk));
      });
    })
    .listen(Number(args[0]), '::', () => console.log('ready'));
} else if (what === 'download') {
  const buffer = Buffer.alloc(4 << 20);
  let bytes = 0;
  let begin = 0n;
  const socket = net.connect({
    host: args[0],
    port: Number(args[1]),
    onread: {
      buffer,
      callback: (n) => {
        bytes += n;
        return true;
      },
    },
  });
  socket.on('connect', () => {
    socket.write('D');
    // The first half second is slow start.
    setTimeout(() => {
      bytes = 0;
      begin = process.hrtime.bigint();
      setTimeout(() => {
        console.log(((bytes * 8) / Number(process.hrtime.bigint() - begin)).toFixed(3));
        process.exit(0);
      }, Number(args[2]) * 1000);
    }, 500);
  });
} else if (what === 'pingpong') {
  const count = Number(args[2]);
  const times = [];
  let sent = 0n;
  const socket = net.connect({ host: args[0], port: Number(args[1]), noDelay: true }, () => socket.write('P'));
  const next = () => {
    sent = process.hrtime.bigint();
    socket.write('x');
  };
  socket.on('data', () => {
    times.push(Number(process.hrtime.bigint() - sent) / 1000);
    if (times.length === count) {
      console.log(JSON.stringify(times));
      process.exit(0);
    }
    next();
  });
  setTimeout(next, 200);
}
