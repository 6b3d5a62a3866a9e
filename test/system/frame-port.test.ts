// Frame ports between two network namespaces: this process is the cable. What passes it is whole, with its
// virtio-net headers and tags, in the right direction, and a port that is full, down or gone is told.

import { randomBytes } from 'node:crypto';
import { emptyPort, FRAME_PORT_HEADER_BYTES, FramePort, type FramePortOptions } from '../../src/io/frame-port';
import { Tap } from '../../src/io/tap';
import { buildFrame, vnetHeader } from '../lib/build-frame';
import { buildTcp, onesComplementSum } from '../lib/build-packet';
import { requires } from '../netns/requires';
import { NativeLab, sh, until } from './native-lab';

const BYTES = 4 << 20;
const MTU = 1500;
const GSO_TYPE_AT = 1;
const GSO_SIZE_AT = 4;
const ETHERTYPE_AT = FRAME_PORT_HEADER_BYTES + 12;

requires(
  'root',
  'netns',
  'addon',
)('a frame port', () => {
  let lab: NativeLab;
  let middle: string;
  const open: { close(): void }[] = [];

  beforeAll(async () => {
    lab = new NativeLab();
    middle = `${lab.left}-m`;
    sh('ip', 'netns', 'add', middle);
    sh('ip', 'netns', 'exec', middle, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1');
    for (const [side, ns, last] of [
      ['a', lab.left, 1],
      ['b', lab.right, 2],
    ] as const) {
      const inside = (...words: string[]) => sh('ip', '-n', ns, ...words);
      sh('ip', '-n', middle, 'link', 'add', `${side}1`, 'type', 'veth', 'peer', 'name', `${side}0`, 'netns', ns);
      sh('ip', '-n', middle, 'link', 'set', `${side}1`, 'up');
      inside('link', 'set', `${side}0`, 'up');
      inside('address', 'add', `10.78.0.${last}/24`, 'dev', `${side}0`);
      inside('address', 'add', `fd78::${last}/64`, 'dev', `${side}0`, 'nodad');
    }
    // Answers each connection with how many bytes came, and a sum of them that knows their order.
    await lab.rightAgent.run((state, _args, require) => {
      state.server = require('node:net').createServer({ allowHalfOpen: true }, (socket: import('node:net').Socket) => {
        const hash = require('node:crypto').createHash('sha256');
        let total = 0;
        socket.on('data', (chunk: Buffer) => {
          total += chunk.length;
          hash.update(chunk);
        });
        socket.on('end', () => socket.end(`${total} ${hash.digest('hex')}`));
      });
      return new Promise((resolve) => state.server.listen(5001, '::', resolve as () => void));
    });
  });
  afterEach(() => {
    for (const port of open.splice(0)) port.close();
  });
  afterAll(() => {
    if (middle !== undefined) sh('ip', 'netns', 'del', middle);
    lab?.close();
  });

  function attach(options: Partial<FramePortOptions>, onFrame: (port: FramePort, off: number, bytes: number) => void) {
    let ended: string | undefined;
    const port: FramePort = new FramePort(
      { interface: 'a1', direction: 'incoming', netns: middle, ...options },
      {
        onFrames: (count) => {
          for (let i = 0; i < count; i++) onFrame(port, port.offset(i), port.bytes(i));
        },
        onClose: (error) => {
          ended = error.code;
        },
      },
    );
    open.push(port);
    return { port, ended: () => ended };
  }

  /** What the server says of random bytes, and what it has to say. */
  function transfer(host: string): Promise<{ answer: string; expected: string }> {
    return lab.leftAgent.run(
      (_state, { host, bytes }, require) =>
        new Promise((resolve, reject) => {
          const data = require('node:crypto').randomBytes(bytes);
          const expected = `${bytes} ${require('node:crypto').createHash('sha256').update(data).digest('hex')}`;
          const socket = require('node:net').connect(5001, host);
          let answer = '';
          socket.on('error', reject);
          socket.on('data', (chunk: Buffer) => {
            answer += chunk;
          });
          socket.on('end', () => resolve({ answer, expected }));
          socket.end(data);
        }),
      { host, bytes: BYTES },
    );
  }

  test.each([
    [4, '10.78.0.2', 0x0800, 1],
    [6, 'fd78::2', 0x86dd, 4],
  ])('carries large segments whole between two veths, over IPv%i', async (_family, host, ethertype, gsoType) => {
    let large = 0;
    const gso = { types: new Set<number>(), sizes: new Set<number>() };
    const left = attach({ interface: 'a1' }, (port, off, bytes) => {
      if (bytes > MTU + FRAME_PORT_HEADER_BYTES + 18 && port.arena.readUInt16BE(off + ETHERTYPE_AT) === ethertype) {
        large++;
        gso.types.add(port.arena[off + GSO_TYPE_AT]!);
        gso.sizes.add(port.arena.readUInt16LE(off + GSO_SIZE_AT));
      }
      right.port.send(port.arena, off, bytes);
    });
    const right = attach({ interface: 'b1' }, (port, off, bytes) => left.port.send(port.arena, off, bytes));
    const { answer, expected } = await transfer(host);
    expect(answer).toBe(expected);
    expect(large).toBeGreaterThan(50);
    expect([...gso.types]).toEqual([gsoType]);
    for (const size of gso.sizes) expect(size).toBeLessThan(MTU);
    expect(left.port.counters).toMatchObject({ droppedBusy: 0, droppedDown: 0, droppedInvalid: 0 });
    expect(left.port.counters.framesOut).toBe(right.port.counters.framesIn);
    expect(left.port.lost + right.port.lost).toBe(0);
  });

  test('sees one direction, and nothing of what ports have sent', async () => {
    const tap = new Tap({ name: 'ways0', netns: middle, vnetHeaderBytes: 10 }, { onFrames: () => {} });
    open.push(tap);
    sh('ip', '-n', middle, 'link', 'set', 'ways0', 'up', 'arp', 'on');
    sh('ip', '-n', middle, 'address', 'add', '10.79.0.1/24', 'dev', 'ways0');
    const seen = { incoming: new Set<number>(), outgoing: new Set<number>() };
    const { incoming, outgoing } = Object.fromEntries(
      (['incoming', 'outgoing'] as const).map((direction) => [
        direction,
        attach({ interface: 'ways0', direction }, (port, off) =>
          seen[direction].add(port.arena.readUInt16BE(off + ETHERTYPE_AT)),
        ).port,
      ]),
    ) as { incoming: FramePort; outgoing: FramePort };
    const frame = (type: number) => buildFrame(Buffer.alloc(100), { type, vnet: vnetHeader(10) });
    const sent = frame(0x88b5);
    for (const port of [incoming, outgoing]) expect(port.send(sent, 0, sent.length)).toBe(true);
    const written = frame(0x88b6);
    expect(tap.write(written, 0, written.length)).toBe(true);
    // The host's own stack asks for the address.
    sh('ip', 'netns', 'exec', middle, 'bash', '-c', 'echo > /dev/udp/10.79.0.2/9');
    incoming.drain();
    outgoing.drain();
    expect([...seen.incoming]).toEqual([0x88b6]);
    expect([...seen.outgoing]).toEqual([0x0806]);
  });

  test('large segments keep their tag and their header, both ways', () => {
    const came: string[] = [];
    const tap = new Tap({ name: 'tags0', netns: middle, vnetHeaderBytes: 10 }, { onFrames: () => {} });
    open.push(tap);
    sh('ip', '-n', middle, 'link', 'set', 'tags0', 'up');
    const note = (port: FramePort, off: number, bytes: number) => {
      if (port.arena.readUInt16BE(off + ETHERTYPE_AT) === 0x8100)
        came.push(port.arena.toString('hex', off, off + bytes));
    };
    const ofTap = attach({ interface: 'tags0' }, note).port;
    const toVeth = attach({ interface: 'b1' }, note).port;
    const ofVeth = attach({ interface: 'b0', netns: lab.right }, note).port;
    const payload = randomBytes(5000);
    const packet = buildTcp({ seq: 1, payload });
    // The sum of the pseudo-header, as the rest is left to do.
    const pseudo = Buffer.concat([packet.subarray(12, 20), Buffer.from([0, 6, 0, 0])]);
    pseudo.writeUInt16BE(packet.length - 20, 10);
    packet.writeUInt16BE(onesComplementSum([pseudo]), 20 + 16);
    const vnet = vnetHeader(10, { flags: 1, gsoType: 1, gsoSize: 1000, tags: 1 });
    // hdr_len goes as far as TCP's header, on the way out of the kernel
    vnet.writeUInt16LE(14 + 4 + 40, 2);
    const frame = buildFrame(packet, { vnet, vlans: [5] });

    expect(tap.write(frame, 0, frame.length)).toBe(true);
    ofTap.drain();
    expect(came.splice(0)).toEqual([frame.toString('hex')]);
    expect(toVeth.send(frame, 0, frame.length)).toBe(true);
    ofVeth.drain();
    expect(came).toEqual([frame.toString('hex')]);
    // This tap's reader has not said that it takes large segments, and past the queueing discipline nobody cuts them.
    expect(ofTap.send(frame, 0, frame.length)).toBe(false);
    expect(ofTap.counters.droppedBusy).toBe(1);
  });

  test('says when a tap is full, and empties it', async () => {
    const tap = new Tap({ name: 'full0', netns: middle, vnetHeaderBytes: 10 }, { onFrames: () => {} });
    open.push(tap);
    tap.pause(true);
    sh('ip', '-n', middle, 'link', 'set', 'full0', 'up');
    const { port } = attach({ interface: 'full0' }, () => {});
    const frame = buildFrame(Buffer.alloc(100), { type: 0x88b5, vnet: vnetHeader(10) });
    let taken = 0;
    while (taken < 5000 && port.send(frame, 0, frame.length)) taken++;
    expect(taken).toBeLessThan(5000);
    expect(port.counters).toMatchObject({ framesOut: taken, droppedBusy: 1, droppedDown: 0, droppedInvalid: 0 });
    emptyPort('full0', middle);
    tap.drain();
    expect(tap.counters.framesIn).toBe(0);
    expect(port.send(frame, 0, frame.length)).toBe(true);
    tap.drain();
    expect(tap.counters.framesIn).toBe(1);
  });

  test('counts what it has lost, and drains to the end of what has come', async () => {
    const tap = new Tap({ name: 'lossy0', netns: middle, vnetHeaderBytes: 10 }, { onFrames: () => {} });
    open.push(tap);
    sh('ip', '-n', middle, 'link', 'set', 'lossy0', 'up');
    let ours = 0;
    const count = (port: FramePort, off: number) => {
      if (port.arena.readUInt16BE(off + ETHERTYPE_AT) === 0x88b5) ours++;
    };
    const small = attach({ interface: 'lossy0', receiveBufferBytes: 1 << 16 }, count).port;
    const frame = buildFrame(Buffer.alloc(100), { type: 0x88b5, vnet: vnetHeader(10) });
    for (let i = 0; i < 2000; i++) expect(tap.write(frame, 0, frame.length)).toBe(true);
    small.drain();
    expect(ours).toBeGreaterThan(0);
    expect(small.lost).toBeGreaterThan(0);
    expect(ours + small.lost).toBe(2000);
    expect(small.lost).toBe(2000 - ours);
    ours = 0;
    small.close();
    const large = attach({ interface: 'lossy0' }, count).port;
    for (let i = 0; i < 2000; i++) tap.write(frame, 0, frame.length);
    large.drain();
    expect(ours).toBe(2000);
    expect(large.lost).toBe(0);
  });

  test('tells its end, and what is wrong', async () => {
    sh('ip', '-n', middle, 'link', 'add', 'gone0', 'type', 'veth', 'peer', 'name', 'gone1');
    sh('ip', '-n', middle, 'link', 'set', 'gone0', 'up');
    const { port, ended } = attach({ interface: 'gone0' }, () => {});
    sh('ip', '-n', middle, 'link', 'del', 'gone0');
    const frame = buildFrame(Buffer.alloc(100), { vnet: vnetHeader(10) });
    expect(port.send(frame, 0, frame.length)).toBe(false);
    expect(port.counters.droppedDown).toBe(1);
    await until(() => ended() !== undefined);
    expect(ended()).toBe('ENETDOWN');
    expect(port.closed).toBe(true);
    expect(port.send(frame, 0, frame.length)).toBe(false);
    expect(() => attach({ interface: 'gone0' }, () => {})).toThrow(
      expect.objectContaining({ code: 'ENODEV', hint: expect.stringContaining('ip link') }),
    );
    expect(() => attach({ netns: 'no-such-netns' }, () => {})).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => emptyPort('gone0', middle)).toThrow(expect.objectContaining({ code: 'ENODEV' }));
  });
});
