// Many connections at once: node many.js HOST PORT COUNT. Opens them, a bounded number under way at a time, has one answered on
// each, keeps all open, says `open N`, and after a line on standard input asks once more on each and says `done N`.
const net = require('node:net');

const [host, port, count] = process.argv.slice(2);
const UNDER_WAY = 100;
const sockets = [];
let begun = 0;

/** One request and its whole answer: headers, then five bytes. */
function ask(socket) {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0 || text.length < end + 4 + 5) return;
      socket.off('data', onData);
      if (text.startsWith('HTTP/1.1 200')) resolve();
      else reject(new Error(text));
    };
    socket.on('data', onData);
    socket.write('GET /bytes/5 HTTP/1.1\r\nHost: guest\r\n\r\n');
  });
}

async function open() {
  while (begun < Number(count)) {
    begun++;
    const socket = net.connect(Number(port), host);
    socket.on('error', (error) => {
      console.log(`error ${error.message}`);
      process.exit(1);
    });
    await new Promise((resolve) => socket.once('connect', resolve));
    await ask(socket);
    sockets.push(socket);
  }
}

async function again() {
  for (let i; (i = next++) < sockets.length; ) await ask(sockets[i]);
}
let next = 0;

(async () => {
  await Promise.all(Array.from({ length: UNDER_WAY }, open));
  console.log(`open ${sockets.length}`);
  await new Promise((resolve) => process.stdin.once('data', resolve));
  await Promise.all(Array.from({ length: UNDER_WAY }, again));
  console.log(`done ${sockets.length}`);
  for (const socket of sockets) socket.destroy();
  process.exit(0);
})();
