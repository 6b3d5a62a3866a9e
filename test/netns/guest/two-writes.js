// A server that answers every line by two small writes, with Nagle's algorithm on: `joined` in one system call, `apart`
// in two.
// usage: two-writes.js PORT joined|apart
const net = require('node:net');

const [port, how] = process.argv.slice(2);
net
  .createServer((socket) => {
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('data', (chunk) => {
      for (const byte of chunk) {
        if (byte !== 10) continue;
        if (how === 'joined') socket.cork();
        socket.write('first ');
        socket.write('second\n');
        if (how === 'joined') socket.uncork();
      }
    });
  })
  .listen(Number(port), '::', () => console.log('listening'));
