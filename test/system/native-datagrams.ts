// Datagrams from the left namespace of a NativeLab to the right one, with queues in between.
import { NfQueue, type NfQueueOptions } from '../../src/io/nfqueue';
import { NFQ_D_ID, NFQ_D_LENGTH, NFQ_D_OFFSET, NFQ_D_WORDS } from '../../src/native/layout';
import { NativeLab, RIGHT_IP, until } from './native-lab';

const PORT = 4000;
const IP_HEAD_BYTES = 20;
/** IPv4 and UDP headers. */
export const UDP_HEAD_BYTES = 28;

export class Datagrams {
  readonly lab = new NativeLab();
  private readonly open: NfQueue[] = [];

  static async create(): Promise<Datagrams> {
    const net = new Datagrams();
    await net.lab.rightAgent.run((state, port, require) => {
      state.got = [];
      const socket = require('node:dgram').createSocket({ type: 'udp4', recvBufferSize: 1 << 21 });
      socket.on('message', (message: Buffer) => state.got.push(message.toString('latin1')));
      return new Promise((resolve) => socket.bind(port, '0.0.0.0', resolve as () => void));
    }, PORT);
    await net.lab.leftAgent.run((state, _args, require) => {
      state.socket = require('node:dgram').createSocket({ type: 'udp4', sendBufferSize: 1 << 21 });
    });
    return net;
  }

  /** Binds a queue in the left namespace; closed by reset(). */
  bind(options: Omit<NfQueueOptions, 'netns'>, onPacket: (queue: NfQueue, base: number) => void): NfQueue {
    const queue: NfQueue = new NfQueue({ ...options, netns: this.lab.left }, (count) => {
      for (let i = 0; i < count; i++) onPacket(queue, i * NFQ_D_WORDS);
    });
    this.open.push(queue);
    return queue;
  }

  /** The datagram's text. */
  payload(queue: NfQueue, base: number): string {
    const off = queue.table[base + NFQ_D_OFFSET]!;
    return queue.arena.toString('latin1', off + UDP_HEAD_BYTES, off + queue.table[base + NFQ_D_LENGTH]!);
  }

  /** A packet like the last one that came, with another text. */
  packetOf(queue: NfQueue, text: string, base = 0): Buffer {
    const off = queue.table[base + NFQ_D_OFFSET]!;
    const packet = Buffer.alloc(UDP_HEAD_BYTES + text.length);
    queue.arena.copy(packet, 0, off, off + UDP_HEAD_BYTES);
    packet.write(text, UDP_HEAD_BYTES, 'latin1');
    packet.writeUInt16BE(packet.length, 2);
    packet.writeUInt16BE(packet.length - IP_HEAD_BYTES, 24);
    packet.writeUInt16BE(0, 10);
    let sum = 0;
    for (let i = 0; i < IP_HEAD_BYTES; i += 2) sum += packet.readUInt16BE(i);
    sum = (sum & 0xffff) + (sum >>> 16);
    packet.writeUInt16BE(~(sum + (sum >>> 16)) & 0xffff, 10);
    return packet;
  }

  /**
   * Lets the packet go with another text. With `complete` its checksum is computed by the addon, else its field stays
   * as it is.
   */
  acceptAs(queue: NfQueue, base: number, text: string, complete: boolean, mark?: number): void {
    const packet = this.packetOf(queue, text, base);
    queue.acceptRewritten(queue.table[base + NFQ_D_ID]!, packet, 0, packet.length, complete, mark);
    // The bytes were taken at once.
    packet.fill(0xa5);
  }

  send(messages: string[]): Promise<void> {
    return this.lab.leftAgent.run(
      async (state, { messages, port, ip }) => {
        for (const text of messages) {
          await new Promise((resolve) => state.socket.send(Buffer.from(text, 'latin1'), port, ip, resolve));
        }
      },
      { messages, port: PORT, ip: RIGHT_IP },
    );
  }

  received(): Promise<string[]> {
    return this.lab.rightAgent.run((state) => state.got);
  }

  /** Waits for as many datagrams and compares; a datagram that should not be there stands in front of a later one. */
  async arrives(texts: string[]): Promise<void> {
    await until(async () => (await this.received()).length >= texts.length);
    expect(await this.received()).toEqual(texts);
  }

  /** Closes the queues, removes the rules and forgets what has arrived. */
  async reset(): Promise<void> {
    for (const queue of this.open.splice(0)) queue.close();
    this.lab.flushRules();
    await this.lab.rightAgent.run((state) => {
      state.got = [];
    });
  }

  close(): void {
    this.lab.close();
  }
}
