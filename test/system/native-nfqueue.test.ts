// NFQUEUE against the real kernel: datagrams leave the left namespace through a queue and arrive, or not, in the right one.
import { NfQueue, type NfQueueOptions } from '../../src/io/nfqueue';
import { NFQ_D_ID, NFQ_D_LENGTH, NFQ_D_OFFSET, NFQ_D_WORDS } from '../../src/native/layout';
import { requires } from '../netns/requires';
import { NativeLab, RIGHT_IP, until } from './native-lab';

const PORT = 4000;
const UDP_PAYLOAD = 28; // IPv4 and UDP headers

requires(
  'netns',
  'nfqueue',
  'addon',
)('NFQUEUE', () => {
  let lab: NativeLab;
  const open: NfQueue[] = [];

  beforeAll(async () => {
    lab = new NativeLab();
    await lab.rightAgent.run((state, port, require) => {
      state.got = [];
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', (message: Buffer) => state.got.push(message.toString('latin1')));
      return new Promise((resolve) => socket.bind(port, '0.0.0.0', resolve as () => void));
    }, PORT);
    await lab.leftAgent.run((state, _args, require) => {
      state.socket = require('node:dgram').createSocket('udp4');
    });
  }, 30_000);

  afterEach(() => {
    for (const queue of open.splice(0)) queue.close();
    lab.flushRules();
  });

  afterAll(() => lab?.close());

  function bind(options: Omit<NfQueueOptions, 'netns'>, onPacket: (queue: NfQueue, base: number) => void): NfQueue {
    const queue: NfQueue = new NfQueue({ ...options, netns: lab.left }, (count) => {
      for (let i = 0; i < count; i++) onPacket(queue, i * NFQ_D_WORDS);
    });
    open.push(queue);
    return queue;
  }

  function payload(queue: NfQueue, base: number): string {
    const off = queue.table[base + NFQ_D_OFFSET]!;
    return queue.arena.toString('latin1', off + UDP_PAYLOAD, off + queue.table[base + NFQ_D_LENGTH]!);
  }

  function send(messages: string[]): Promise<void> {
    return lab.leftAgent.run(
      (state, { messages, port, ip }) =>
        Promise.all(
          messages.map(
            (m: string) => new Promise((resolve) => state.socket.send(Buffer.from(m, 'latin1'), port, ip, resolve)),
          ),
        ),
      { messages, port: PORT, ip: RIGHT_IP },
    );
  }

  function received(): Promise<string[]> {
    return lab.rightAgent.run((state) => state.got);
  }

  test('accepts, drops and rewrites', async () => {
    lab.queueOutput(7, '-p', 'udp');
    const seen: string[] = [];
    const queue = bind({ queue: 7 }, (q, base) => {
      const text = payload(q, base);
      const id = q.table[base + NFQ_D_ID]!;
      seen.push(text);
      if (text === 'drop') return q.drop(id);
      if (text === 'pass') return q.accept(id);
      const off = q.table[base + NFQ_D_OFFSET]!;
      q.arena.write('HELD', off + UDP_PAYLOAD, 'latin1');
      q.acceptRewritten(id, q.arena, off, q.table[base + NFQ_D_LENGTH]!, true);
    });
    await send(['pass', 'drop', 'edit', 'pass']);
    await until(async () => (await received()).length >= 3);
    expect(seen).toEqual(['pass', 'drop', 'edit', 'pass']);
    expect(await received()).toEqual(['pass', 'HELD', 'pass']);
    expect(queue.stats.counters()).toMatchObject({ packets: 4, verdictErrors: 0, malformed: 0 });
  });
});
