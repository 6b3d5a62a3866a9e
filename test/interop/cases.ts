// One small flow for each row of the table, by the row's name: what it says must be seen.

import { Prng } from '../../src/sim/prng';
import { type Carrier, ipFrame, PLAIN4, udpFrame } from './carrier';
import type { Flow, Side } from './flow';
import { FlowBuilder } from './flow-builder';
import { arpFrame, fragments, igmpFrame } from './generate-mixed';
import { Connection } from './generate-tcp';

/** Flow numbers of generated flows are below this. */
const FIRST_NUMBER = 0xff0000;

interface TcpExtra {
  ack?: number;
  fin?: boolean;
  rst?: boolean;
}

class Script {
  readonly b: FlowBuilder;
  private c: Connection;
  private life = 0;
  private fragmentCount = 0;

  constructor(number: number, kind: string, carrier: Carrier) {
    this.b = new FlowBuilder(new Prng(number), number, FIRST_NUMBER + number, kind, carrier, true);
    this.c = new Connection(this.b, 0, 0, 1000);
  }

  /** TCP segments. */
  p(pos: number, text: string, extra: TcpExtra = {}): this {
    return this.tcp('p', pos, text, extra);
  }

  s(pos: number, text: string, extra: TcpExtra = {}): this {
    return this.tcp('s', pos, text, extra);
  }

  /** Both sides' SYN/ACK. */
  open(): this {
    for (const side of ['p', 's'] as const) this.b.deliver(side, [this.c.syn(side, true, '', [])]);
    return this;
  }

  syn(side: Side, options: number[] = []): this {
    this.b.deliver(side, [this.c.syn(side, true, options.join(','), options)]);
    return this;
  }

  /** A further connection with the same ports. */
  reopen(isn: number): this {
    this.c = new Connection(this.b, ++this.life, 0, isn);
    return this.open();
  }

  pad(): this {
    this.c.padding.p = 'zero';
    return this;
  }

  udp(side: Side, text: string, change?: (frame: Buffer) => Buffer): this {
    return this.datagram(side, text, (o) => udpFrame(o, Buffer.from(text)), change);
  }

  ip(side: Side, protocol: number, text: string): this {
    return this.datagram(side, text, (o) => ipFrame(o, protocol, Buffer.from(text)));
  }

  pass(side: Side, frame: Buffer | ((s: Script) => Buffer), asksAddress = false): this {
    const bytes = typeof frame === 'function' ? frame(this) : frame;
    this.b.deliver(side, [this.b.packet(side, bytes, { kind: 'pass', asksAddress })]);
    return this;
  }

  /** A datagram in pieces, or the first few of them. */
  fragments(side: Side, text: string, size: number, pieces?: number): this {
    const all = fragments(this.b, side, this.fragmentCount++, Buffer.from(text), size);
    this.b.deliver(side, all.slice(0, pieces));
    return this;
  }

  checkpoint(): this {
    this.b.checkpoint();
    return this;
  }

  private tcp(side: Side, pos: number, text: string, extra: TcpExtra): this {
    const data = Buffer.from(text);
    this.b.deliver(side, [this.c.segment(side, { pos, bytes: data.length, ack: 0, data, ...extra })]);
    return this;
  }

  private datagram(
    side: Side,
    text: string,
    make: (o: ReturnType<FlowBuilder['outside']>) => Buffer,
    change: (frame: Buffer) => Buffer = (frame) => frame,
  ): this {
    const frame = change(make(this.b.outside(side)));
    this.b.deliver(side, [this.b.packet(side, frame, { kind: 'datagram', compared: Buffer.from(text) })]);
    return this;
  }
}

const VLAN: Carrier = { name: '802.1Q', family: 4, tags: [[0x8100, 7]] };
const IGMP_REPORT = Buffer.from('1600faffef000001', 'hex');

type Case = { row: string; kind: string; carrier?: Carrier; play: (t: Script) => Script };

const CASES: readonly Case[] = [
  {
    row: 'what is no untagged IPv4 passes uncompared',
    kind: 'tcp',
    carrier: VLAN,
    play: (t) => t.p(0, 'secret'),
  },
  {
    row: 'a question of the secondary for an address',
    kind: 'arp',
    play: (t) => t.pass('s', arpFrame(true, 1, 1)).pass('s', arpFrame(true, 1, 1), true),
  },
  {
    row: 'group membership',
    kind: 'igmp',
    play: (t) => t.pass('p', (s) => igmpFrame(s.b.outside('p'), IGMP_REPORT)),
  },
  {
    row: 'fragments are compared one by one',
    kind: 'fragments',
    play: (t) => t.fragments('p', '0123456789abcdefghij', 16).fragments('s', '0123456789abcdefghij', 16, 1),
  },
  {
    row: 'datagrams leave newest first',
    kind: 'udp',
    play: (t) => t.udp('p', 'one').udp('p', 'two').udp('p', 'three'),
  },
  {
    row: 'checksum of a datagram',
    kind: 'udp',
    play: (t) =>
      t.udp('p', 'same').udp('s', 'same', (frame) => {
        frame.writeUInt16BE(0, 14 + 20 + 6);
        return frame;
      }),
  },
  {
    row: 'padding of a datagram',
    kind: 'udp',
    play: (t) =>
      t.udp('p', 'short', (frame) => Buffer.concat([frame, Buffer.alloc(60 - frame.length)])).udp('s', 'short'),
  },
  {
    row: 'headers of other protocols',
    kind: 'gre',
    play: (t) => t.ip('p', 47, '\0\0\x08\0tunnelled').ip('s', 47, '\0\0\x08\0tunnelled'),
  },
  {
    row: 'the newest datagram is the only one that is looked for',
    kind: 'udp',
    play: (t) => t.udp('p', 'one').udp('p', 'two').udp('s', 'one').udp('s', 'two'),
  },
  {
    row: 'datagrams in another order count as equal',
    kind: 'udp',
    play: (t) => t.udp('s', 'two').udp('s', 'one').udp('p', 'one').udp('p', 'two'),
  },
  {
    row: 'a contradiction counts as a repetition',
    kind: 'tcp',
    play: (t) => t.p(0, 'abc').s(0, 'abc').s(3, 'd').p(0, 'xyz'),
  },
  {
    row: 'the ports are used again',
    kind: 'tcp',
    play: (t) => t.open().p(0, 'a').s(0, 'a').reopen(500).p(0, 'unseen').s(0, ''),
  },
  {
    row: 'what is held of a connection that the guest has given up',
    kind: 'tcp',
    play: (t) => t.open().p(0, 'a').reopen(900_000),
  },
  {
    row: 'a repetition of what is held',
    kind: 'tcp',
    play: (t) => t.open().p(0, 'abc').p(0, 'abc').s(0, 'abc').s(3, ''),
  },
  {
    row: 'a gap counts as compared',
    kind: 'tcp',
    play: (t) => t.open().p(3, 'def').s(3, 'def'),
  },
  {
    row: 'equal bytes at different places',
    kind: 'tcp',
    play: (t) => t.open().p(0, 'a').s(1, 'abc'),
  },
  {
    row: 'segments without payload are not compared',
    kind: 'tcp',
    play: (t) => t.p(0, 'a').s(0, 'a').s(1, '').p(1, '', { fin: true }),
  },
  {
    row: 'acknowledgements that the secondary has not given',
    kind: 'tcp',
    play: (t) => t.s(0, '').p(0, '', { ack: 500 }),
  },
  {
    row: 'nothing is compared between a request and its checkpoint',
    kind: 'udp',
    play: (t) => t.udp('p', 'one').udp('s', 'other').udp('p', 'two').udp('s', 'two'),
  },
  {
    row: 'padding counts as payload',
    kind: 'tcp',
    play: (t) => t.pad().p(0, 'a').s(0, 'a'),
  },
  {
    row: 'segments at different places',
    kind: 'tcp',
    play: (t) => t.open().p(0, 'abc').p(3, 'def').s(3, 'def').s(0, 'abc'),
  },
  {
    row: "an acknowledgement ahead of the secondary's",
    kind: 'tcp',
    play: (t) => t.p(0, 'abc', { ack: 500 }).s(0, 'abcdef'),
  },
  {
    row: 'an acknowledgement waits for a packet to pair with',
    kind: 'tcp',
    play: (t) => t.p(0, 'abc', { ack: 50 }).s(0, 'abc', { ack: 50 }).p(3, '', { ack: 50 }),
  },
  {
    row: 'a repetition waits for a packet to pair with',
    kind: 'tcp',
    play: (t) => t.p(0, 'abc').s(0, 'abc').p(0, 'abc'),
  },
  {
    row: 'a segment behind one that waits',
    kind: 'tcp',
    play: (t) => t.open().p(0, 'abcd').s(0, 'ab').p(0, 'ab').s(2, 'xx'),
  },
];

export const EXAMPLES: readonly (readonly [string, () => Flow])[] = CASES.map(({ row, kind, carrier, play }, i) => [
  row,
  () => play(new Script(i + 1, kind, carrier ?? PLAIN4)).b.finish(),
]);
