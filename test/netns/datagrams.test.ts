// How a guest packs its datagrams is its own affair: many in one send, or each alone. Where one ends is not: the client
// sees it.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { requires } from './requires';
import { ADDRESSES, Pair } from './support/pair';
import { until } from './support/wait';

jest.setTimeout(120_000);

/** Asks once, and prints the lengths of what comes until so many bytes have come, or for the time given. */
const ASK = `
const [host, port, question, bytes, ms] = process.argv.slice(1);
const socket = require('node:dgram').createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
const lengths = [];
let right = true;
let sum = 0;
const end = () => { console.log(JSON.stringify({ lengths, right })); process.exit(0); };
socket.on('message', (message) => {
  lengths.push(message.length);
  for (let i = 0; i < message.length; i++) right &&= message[i] === (sum + i) % 251;
  sum += message.length;
  if (sum >= Number(bytes)) end();
});
socket.send(question, Number(port), host);
setTimeout(end, Number(ms));
`;

requires(
  'netns',
  'nfqueue',
  'gcc',
)('datagrams and how they are packed', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 600_000 } });
    const program = `${pair.lab.dir}/datagrams`;
    execFileSync('gcc', ['-O2', '-Wall', '-Werror', '-o', program, join(__dirname, 'support', 'datagrams.c')]);
    const servers = [
      pair.lab.spawn('pvm', program, ['4433', 'gso']),
      pair.lab.spawn('svm', program, ['4433', 'singly']),
      pair.lab.spawn('pvm', program, ['4434', 'singly']),
      pair.lab.spawn('svm', program, ['4434', 'gso']),
      pair.lab.spawn('pvm', program, ['4435', 'gso']),
      pair.lab.spawn('svm', program, ['4435', 'whole']),
      pair.lab.spawn('pvm', program, ['4436', 'whole']),
      pair.lab.spawn('svm', program, ['4436', 'whole']),
    ];
    for (const server of servers) await server.waitFor(/listening/);
  });
  afterAll(() => pair?.destroy());

  async function ask(host: string, port: number, bytes: number, size: number, ms: number) {
    const args = ['-e', ASK, host, `${port}`, `${bytes} ${size}`, `${bytes}`, `${ms}`];
    const { stdout } = await pair.lab.exec('client', process.execPath, args);
    return JSON.parse(stdout) as { lengths: number[]; right: boolean };
  }

  test.each([
    ['IPv4', 4433],
    ['IPv6', 4433],
    ['IPv4', 4434],
    ['IPv6', 4434],
  ] as const)(
    'over %s, to port %i: one guest sends eight in one go, the other one by one, and all arrive at once',
    async (family, port) => {
      const got = await ask(ADDRESSES[family], port, 8 * 1200 - 100, 1200, 20_000);
      expect(got).toEqual({ lengths: [...new Array<number>(7).fill(1200), 1100], right: true });
      await pair.provenEqual();
    },
  );

  test('two datagrams of one guest are not one of the other with the same bytes', async () => {
    const asked = (await pair.stats('primary')).requests.length!;
    const question = ask(ADDRESSES.IPv4, 4435, 1200, 600, 1_000);
    await until('notice', async () => (await pair.stats('primary')).requests.length! > asked);
    expect(await question).toEqual({ lengths: [], right: true });
    await pair.checkpoint();
  });

  test('errors that only one guest gives are dropped after a while, and ask for nothing', async () => {
    const before = await pair.stats('primary');
    // The one answers each datagram to a closed port, the other by its rate limit.
    pair.lab.execSync('pvm', 'sysctl', ['-qw', 'net.ipv4.icmp_ratelimit=0']);
    const flood = `const s = require('node:dgram').createSocket('udp4');
      let n = 40;
      const next = () => s.send('x', 9, '${ADDRESSES.IPv4}', () => (--n > 0 ? setImmediate(next) : s.close()));
      next();`;
    await pair.lab.exec('client', process.execPath, ['-e', flood]);
    await until('errors without their like', async () => {
      const { counters } = await pair.stats('primary');
      return counters.primary_answers_dropped! > 0;
    });
    expect((await pair.stats('primary')).requests).toEqual(before.requests);
  });

  test.each(['IPv4', 'IPv6'] as const)(
    'over %s: the largest datagram, of which a queue does not show all, leaves by one checkpoint',
    async (family) => {
      const bytes = 65_507;
      // Over a stream link the SVM's comes in its fragments, and is whole.
      const opaque = ['primary_opaque', ...(pair.isStream ? [] : ['secondary_opaque'])];
      /** What the client has got of it, when it has left by one checkpoint. */
      const once = async () => {
        const before = await pair.stats('primary');
        const question = ask(ADDRESSES[family], 4436, bytes, bytes, 8_000);
        const now = () => pair.stats('primary');
        await until('both guests', async () => {
          const { counters, requests } = await now();
          // The one request may come later: the guest runs for a while between two checkpoints.
          const asked = requests.not_comparable! > before.requests.not_comparable!;
          return asked && opaque.every((name) => counters[name]! > before.counters[name]!);
        });
        const { counters, requests, gauges } = await now();
        expect(gauges.held_packets).toBe(1);
        expect(requests.not_comparable).toBe(before.requests.not_comparable! + 1);
        await pair.checkpoint();
        const got = await question;
        for (const name of opaque) expect(counters[name]).toBe(before.counters[name]! + 1);
        return got;
      };
      // One of its 45 fragments may find a full buffer on a busy machine: then there is no datagram, and none is asked
      // for again.
      let got = await once();
      if (got.lengths.length === 0) got = await once();
      expect(got).toEqual({ lengths: [bytes], right: true });
    },
  );
});
