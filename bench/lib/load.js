// Load for the end-to-end benchmarks: `serve PORT` (in both guests), `download HOST PORT SECONDS`, `upload HOST PORT
// SECONDS`, `pingpong HOST PORT COUNT`. A client's first byte says what it wants: 'D' endless data, 'U' to send it
// endlessly, 'P' each byte comes back.
const net = require('node:net');

const [what, ...args] = process.argv.slice(2);
const BLOCK = Buffer.alloc(1 << 20, 0x63);
/** Slow start is not measured. */
const WARM_UP_MS = 500;

/** Writes for ever; tells of each block that the kernel has taken. */
function pour(socket, taken = () => {}) {
  const more = () => {
    while (socket.write(BLOCK, taken));
  };
  socket.on('drain', more);
  more();
}

/** Ends the process with what the client saw. */
function measure(seconds, bytes) {
  setTimeout(() => {
    const first = bytes();
    const begin = process.hrtime.bigint();
    setTimeout(() => {
      const gbps = ((bytes() - first) * 8) / Number(process.hrtime.bigint() - begin);
      console.log(JSON.stringify({ gbps, bytes: bytes() }));
      process.exit(0);
    }, seconds * 1000);
  }, WARM_UP_MS);
}

if (what === 'serve') {
  net
    .createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {});
      socket.once('data', (first) => {
        if (first[0] === 0x44) pour(socket);
        else if (first[0] === 0x55) socket.on('data', () => {});
        else socket.on('data', (chunk) => socket.write(chunk));
      });
    })
    .listen(Number(args[0]), '::', () => console.log('ready'));
} else if (what === 'download') {
  let bytes = 0;
  const onread = {
    buffer: Buffer.alloc(4 << 20),
    callback: (n) => {
      bytes += n;
      return true;
    },
  };
  const socket = net.connect({ host: args[0], port: Number(args[1]), onread });
  socket.on('connect', () => {
    socket.write('D');
    measure(Number(args[2]), () => bytes);
  });
} else if (what === 'upload') {
  let bytes = 0;
  const socket = net.connect({ host: args[0], port: Number(args[1]) }, () => {
    socket.write('U', () => {
      pour(socket, () => {
        bytes += BLOCK.length;
      });
      measure(Number(args[2]), () => bytes);
    });
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
