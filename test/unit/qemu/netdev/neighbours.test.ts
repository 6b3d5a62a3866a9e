// What the SVM behind a netdev asks for: answered with what the PVM was answered, and then not put to the comparison.

import type { Chardev } from '../../../../src/io/stream/chardev';
import { arpReplyFrame, arpRequestFrame, gratuitousArpFrame } from '../../../../src/packet/arp';
import { taggedFrame } from '../../../../src/packet/ethernet';
import { solicitedNaFrame } from '../../../../src/packet/neighbour';
import { Netdev } from '../../../../src/qemu/netdev/netdev';
import { netdevFromFlags } from '../../../../src/qemu/netdev/netdev-config';
import { buildIp } from '../../../lib/build-packet';
import { FrameStream } from './frame-stream';

const GUEST = Buffer.from('525400000001', 'hex');
const ROUTER = Buffer.from('525400000099', 'hex');
const GUEST_IP = 0x0a000005;
const ROUTER_IP = 0x0a000001;
const GUEST_6 = Buffer.from('fe800000000000000000000000000005', 'hex');
const ROUTER_6 = Buffer.from('fe800000000000000000000000000001', 'hex');
const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const arpAnswer = arpReplyFrame(ROUTER, ROUTER_IP, GUEST, GUEST_IP);
const arpQuestion = arpRequestFrame(GUEST, GUEST_IP, ROUTER_IP);
const naAnswer = solicitedNaFrame(GUEST, GUEST_6, ROUTER, ROUTER_6, true, false);

function solicitation(): Buffer {
  const l4 = Buffer.alloc(32);
  l4[0] = 135;
  l4.set(ROUTER_6, 8);
  l4.set([1, 1, ...GUEST], 24);
  const group = [0xff, 2, ...Array(9).fill(0), 1, 0xff, ...ROUTER_6.subarray(13)];
  const ip = buildIp(6, [...GUEST_6], group, 58, l4, 255);
  return Buffer.concat([
    Buffer.from([0x33, 0x33, 0xff, ...ROUTER_6.subarray(13)]),
    GUEST,
    Buffer.from([0x86, 0xdd]),
    ip,
  ]);
}

class Bench {
  now = 1000;
  readonly netdev: Netdev;
  readonly streams = new Map<string, FrameStream>();
  private readonly vnet: Buffer;

  constructor({ rewriter = true, vnetBytes = 0 } = {}) {
    this.vnet = Buffer.alloc(vnetBytes);
    // With virtio-net headers the chardevs have them too.
    const word = vnetBytes > 0 ? ',vnet_hdr_support=on' : '';
    const config = netdevFromFlags({
      ...{ guest: 'unix:/guest', host: 'unix:/host', vnetHeaderBytes: String(vnetBytes) },
      chardev: ['id=red0,unix:/red0', 'id=red1,unix:/red1'],
      filter: [
        ...[`redirector,id=f1,queue=tx,indev=red0${word}`, `redirector,id=f2,queue=rx,outdev=red1${word}`],
        ...(rewriter ? ['rewriter,id=rew0,max_flows=64'] : []),
      ],
    });
    this.netdev = new Netdev(config, QUIET, {
      clock: () => this.now,
      openStream: (endpoint, events): Chardev => {
        const name = endpoint.kind === 'unix' ? endpoint.path : '';
        const stream = new FrameStream(events, vnetBytes > 0 && name.startsWith('/red') ? vnetBytes : undefined);
        this.streams.set(name, stream);
        return stream.asChardev;
      },
    });
  }

  at(name: 'guest' | 'host' | 'red0' | 'red1'): FrameStream {
    return this.streams.get(`/${name}`)!;
  }

  /** By the primary's mirror. */
  mirrored(frame: Uint8Array): void {
    this.at('red0').says(Buffer.concat([this.vnet, frame]));
  }

  /** What the SVM is told when it says this, and what the comparison is shown of it. */
  asks(frame: Uint8Array): { told: Buffer[]; shown: number } {
    const [told, shown] = [this.at('guest').frames.length, this.at('red1').frames.length];
    this.at('guest').says(Buffer.concat([this.vnet, frame]));
    return {
      told: this.at('guest')
        .frames.slice(told)
        .map((one) => one.subarray(this.vnet.length)),
      shown: this.at('red1').frames.length - shown,
    };
  }
}

const KINDS: [string, Uint8Array, Uint8Array][] = [
  ['ARP', arpQuestion, arpAnswer],
  ['neighbour discovery', solicitation(), naAnswer],
  ['ARP in a VLAN', taggedFrame(arpQuestion, [0x81000007]), taggedFrame(arpAnswer, [0x81000007])],
];

describe.each(KINDS)('%s', (_name, question, answer) => {
  test.each([0, 12])('answered once the PVM was, virtio-net header %i', (vnetBytes) => {
    const t = new Bench({ vnetBytes });
    // Nobody was answered: the comparison has to know.
    expect(t.asks(question)).toEqual({ told: [], shown: 1 });
    t.mirrored(answer);
    // That very frame, once, is what the SVM has waited for.
    expect(t.at('guest').frames).toHaveLength(1);
    expect(t.asks(question)).toEqual({ told: [Buffer.from(answer)], shown: 0 });
    expect(t.netdev.report().neighbours).toEqual({ questions: 2, answers: 2 });
    t.now += 30_000;
    expect(t.asks(question)).toEqual({ told: [], shown: 1 });
    t.netdev.close();
  });

  test('not after a failover: the guest asks its network', () => {
    const t = new Bench();
    t.mirrored(answer);
    t.netdev.failover();
    const before = t.at('host').frames.length;
    expect(t.asks(question)).toEqual({ told: [], shown: 0 });
    expect(t.at('host').frames).toHaveLength(before + 1);
    t.netdev.close();
  });

  test('nor by what came to the host’s port, nor where no secondary is', () => {
    const t = new Bench();
    t.at('host').says(Buffer.from(answer));
    expect(t.asks(question)).toEqual({ told: [], shown: 1 });
    t.netdev.close();
    const plain = new Bench({ rewriter: false });
    plain.mirrored(answer);
    expect(plain.asks(question)).toEqual({ told: [], shown: 1 });
    plain.netdev.close();
  });
});

test('a question for an address that the guest has claimed is never answered', () => {
  const t = new Bench();
  t.asks(gratuitousArpFrame(GUEST, ROUTER_IP));
  t.mirrored(arpReplyFrame(GUEST, ROUTER_IP, GUEST, GUEST_IP));
  expect(t.asks(arpQuestion)).toEqual({ told: [], shown: 1 });
  t.netdev.close();
});

test('a probe is never answered', () => {
  const t = new Bench();
  t.mirrored(arpAnswer);
  expect(t.asks(arpRequestFrame(GUEST, 0, ROUTER_IP))).toEqual({ told: [], shown: 1 });
  t.netdev.close();
});
