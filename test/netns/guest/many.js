// Many connections of one client at once: node many.js HOST PORT COUNT Opens COUNT connections, asks a few bytes on
// each and keeps it, says "open GOOD"; a line on standard input: asks once more on each, closes them, says "closed
// GOOD". GOOD counts answers that are what they must be.
const net = require('node:net');
const { block } = require('./content.js');

const [host, port, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
/** Handshakes and questions under way at once. */
const WIDTH = 200;
const sockets = [];

/** Asks for n bytes and resolves with whether they came. */
function ask(socket, n) {
  return new Promise((resolve) => {
    let got = Buffer.alloc(0);
    const done = (good) => {
      socket.removeAllListeners();
      socket.on('error', () => {});
      resolve(good);
    };
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      const body = got.indexOf('\r\n\r\n') + 4;
      if (body < 4 || got.length < body + n) return;
      done(got.subarray(body).equals(block(0, n)));
    });
    socket.on('error', (error) => {
      console.error(error.message);
      done(false);
    });
    socket.on('end', () => done(false));
    socket.write(`GET /bytes/${n} HTTP/1.1\r\nHost: guest\r\n\r\n`);
  });
}

function open() {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => {
      console.error(error.message);
      resolve(undefined);
    });
  });
}

async function each(work) {
  let next = 0;
  let good = 0;
  const worker = async () => {
    while (next < count) if (await work(next++)) good++;
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
  return good;
}

async function main() {
  const opened = await each(async (i) => {
    const socket = await open();
    if (socket === undefined) return false;
    sockets[i] = socket;
    return ask(socket, 1 + (i % 64));
  });
  console.log(`open ${opened}`);
  await new Promise((resolve) => process.stdin.once('data', resolve));
  const closed = await each(async (i) => {
    const good = sockets[i] !== undefined && (await ask(sockets[i], 1 + ((i + 7) % 64)));
    sockets[i]?.end();
    return good;
  });
  console.log(`closed ${closed}`);
  process.exit(0);
}
main();
