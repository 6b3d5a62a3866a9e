// TCP in bulk through a queue that takes large packets whole: what is rewritten, whole or in segments, arrives
// rewritten.

import { NfQueue } from '../../src/io/nfqueue';
import {
  NFQ_D_ID,
  NFQ_D_LENGTH,
  NFQ_D_OFFSET,
  NFQ_D_SKB_INFO,
  NFQ_D_WORDS,
  NFQA_SKB_CSUMNOTREADY,
} from '../../src/native/layout';
import { requires } from '../netns/requires';
import { NativeLab, RIGHT_IP, RIGHT_IP6 } from './native-lab';

const BYTES = 4 << 20;
const MTU = 1500;

requires(
  'netns',
  'nfqueue',
  'addon',
)('large packets', () => {
  let lab: NativeLab;
  let queue: NfQueue | undefined;

  beforeAll(async () => {
    lab = new NativeLab();
    // Answers each connection with how many bytes came, and how many of them were not 'A'.
    await lab.rightAgent.run((state, _args, require) => {
      state.server = require('node:net').createServer({ allowHalfOpen: true }, (socket: import('node:net').Socket) => {
        let total = 0;
        let other = 0;
        socket.on('data', (chunk: Buffer) => {
          total += chunk.length;
          for (const byte of chunk) if (byte !== 0x41) other++;
        });
        socket.on('end', () => socket.end(`${total} ${other}`));
      });
      return new Promise((resolve) => state.server.listen(5001, '::', resolve as () => void));
    });
  });
  afterEach(() => {
    queue?.close();
    lab.flushRules();
  });
  afterAll(() => lab?.close());

  /** Sends BYTES times `letter`; what the server says of it. */
  function transfer(host: string, letter: string): Promise<string> {
    return lab.leftAgent.run(
      (_state, { host, letter, bytes }, require) =>
        new Promise((resolve, reject) => {
          const socket = require('node:net').connect(5001, host);
          let answer = '';
          socket.on('error', reject);
          socket.on('data', (chunk: Buffer) => {
            answer += chunk;
          });
          socket.on('end', () => resolve(answer));
          socket.end(Buffer.alloc(bytes, letter));
        }),
      { host, letter, bytes: BYTES },
    );
  }

  function bind(onPacket: (queue: NfQueue, base: number) => void): void {
    const bound: NfQueue = new NfQueue({ queue: 11, gso: true, netns: lab.left }, (count) => {
      for (let i = 0; i < count; i++) onPacket(bound, i * NFQ_D_WORDS);
    });
    queue = bound;
  }

  test('arrive when accepted', async () => {
    let largest = 0;
    lab.queueOutput(11, '-p', 'tcp');
    bind((q, base) => {
      largest = Math.max(largest, q.table[base + NFQ_D_LENGTH]!);
      q.accept(q.table[base + NFQ_D_ID]!);
    });
    expect(await transfer(RIGHT_IP, 'A')).toBe(`${BYTES} 0`);
    expect(largest).toBeGreaterThan(8 * MTU);
    expect(queue!.settings.gso).toBe(true);
  }, 20_000);

  test.each([
    ['IPv4', RIGHT_IP],
    ['IPv6', RIGHT_IP6],
  ])(
    'arrive rewritten over %s, with checksums that the receiver takes',
    async (_name, host) => {
      let partial = 0;
      let large = 0;
      lab.queueOutput(11, '-p', 'tcp');
      lab.queueOutput6(11, '-p', 'tcp');
      bind((q, base) => {
        const off = q.table[base + NFQ_D_OFFSET]!;
        const length = q.table[base + NFQ_D_LENGTH]!;
        const isPartial = (q.table[base + NFQ_D_SKB_INFO]! & NFQA_SKB_CSUMNOTREADY) !== 0;
        const ipHead = q.arena[off]! >> 4 === 4 ? 20 : 40;
        const payload = off + ipHead + (q.arena[off + ipHead + 12]! >> 4) * 4;
        if (isPartial) partial++;
        if (length > MTU) large++;
        // Every packet is partial here, so that the whole checksum is computed again.
        q.arena.fill('A', payload, off + length);
        q.acceptRewritten(q.table[base + NFQ_D_ID]!, q.arena, off, length, isPartial);
      });
      expect(await transfer(host, 'x')).toBe(`${BYTES} 0`);
      expect(partial).toBe(queue!.stats.counters().packets);
      expect(large).toBeGreaterThan(10);
      expect(queue!.stats.counters()).toMatchObject({ checksumFailures: 0, verdictErrors: 0, malformed: 0 });
    },
    20_000,
  );
});
