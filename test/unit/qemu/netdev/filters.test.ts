import { BAD_FRAME, FrameReader, MAX_FRAME_BYTES } from '../../../../src/chardev/frame';
import { FlushList, FrameOutput, type OutputFormat } from '../../../../src/chardev/frame-output';
import { FilterChain } from '../../../../src/qemu/netdev/filter-chain';
import { MirrorFilter } from '../../../../src/qemu/netdev/filter-mirror';
import { RedirectorFilter } from '../../../../src/qemu/netdev/filter-redirector';
import { FakeStream } from '../../chardev/fakes';

class Bench {
  readonly flushes = new FlushList();
  readonly guest: string[] = [];
  readonly host: string[] = [];
  readonly chain = new FilterChain(
    (buf, off, len) => this.guest.push(buf.toString('latin1', off, off + len)),
    (buf, off, len) => this.host.push(buf.toString('latin1', off, off + len)),
  );

  output(stream: FakeStream, format: OutputFormat = { vnetWord: false, vnetBytes: 0 }): FrameOutput {
    return new FrameOutput(stream, format, this.flushes);
  }

  tx(text: string): void {
    this.chain.fromHost(Buffer.from(text), 0, text.length, 0);
  }

  rx(text: string): void {
    this.chain.fromGuest(Buffer.from(text), 0, text.length, 0);
  }
}

describe('a mirror', () => {
  test('copies, and the frame goes on', () => {
    const t = new Bench();
    const peer = new FakeStream();
    t.chain.add(new MirrorFilter('m0', 'tx', t.output(peer)));
    t.tx('one');
    t.tx('two');
    t.rx('other way');
    expect(peer.texts()).toEqual([]);
    t.flushes.flush();
    expect([peer.texts(), peer.flushes, t.guest, t.host]).toEqual([['one', 'two'], 1, ['one', 'two'], ['other way']]);
  });

  test('nobody there, or one that does not read: the copy is dropped and counted, the frame goes on', () => {
    const t = new Bench();
    const peer = new FakeStream(20);
    const mirror = new MirrorFilter('m0', 'all', t.output(peer));
    t.chain.add(mirror);
    peer.connected = false;
    t.tx('a');
    peer.connected = true;
    for (const text of ['twelve bytes', 'no', 'room']) t.rx(text);
    t.flushes.flush();
    expect(peer.texts()).toEqual(['twelve bytes']);
    expect(mirror.report()).toMatchObject({ frames: 1, droppedGone: 1, droppedFull: 2 });
    peer.drain();
    t.tx('again');
    t.flushes.flush();
    expect(peer.texts()).toEqual(['again']);
    expect([t.guest, t.host]).toEqual([
      ['a', 'again'],
      ['twelve bytes', 'no', 'room'],
    ]);
  });
});

describe('a redirector', () => {
  test('diverts, in its own direction only', () => {
    const t = new Bench();
    const peer = new FakeStream();
    t.chain.add(new RedirectorFilter('r0', 'rx', t.output(peer), false));
    t.rx('diverted');
    t.tx('not');
    t.flushes.flush();
    expect([peer.texts(), t.guest, t.host]).toEqual([['diverted'], ['not'], []]);
  });

  test.each([
    ['gone', false],
    ['gone', true],
    ['full', false],
    ['full', true],
  ])('outdev %s, fail_open=%s', (state, failOpen) => {
    const t = new Bench();
    const peer = new FakeStream(state === 'full' ? 8 : 100);
    peer.connected = state !== 'gone';
    const redirector = new RedirectorFilter('r0', 'rx', t.output(peer), failOpen);
    t.chain.add(redirector);
    t.rx('unverified');
    t.flushes.flush();
    expect(peer.texts()).toEqual([]);
    expect(t.host).toEqual(failOpen ? ['unverified'] : []);
    expect(redirector.report()).toMatchObject({ held: failOpen ? 0 : 1, failedOpen: failOpen ? 1 : 0 });
  });

  test('without outdev everything passes', () => {
    const t = new Bench();
    t.chain.add(new RedirectorFilter('r0', 'all', undefined, false));
    t.rx('a');
    t.tx('b');
    expect([t.guest, t.host]).toEqual([['b'], ['a']]);
  });
});

describe('virtio-net headers on the way out', () => {
  const header = (flags: number, gso: number, start = 0, offset = 0): number[] => [
    ...[flags, gso, 0, 0, 0, 0],
    ...[start & 255, start >>> 8, offset & 255, offset >>> 8],
  ];
  const send = (format: OutputFormat, frame: number[], vnetBytes: number) => {
    const t = new Bench();
    const peer = new FakeStream();
    const out = t.output(peer, format);
    const sent = out.send(Buffer.from([9, 9, ...frame]), 2, frame.length, vnetBytes);
    t.flushes.flush();
    const [got] = peer.frames(format.vnetWord ? 8 : 4);
    return { sent, got: got && [...got.data], vnet: got?.vnet, counters: out.counters };
  };

  test('with vnet_hdr_support each keeps its own, and the word tells its size', () => {
    expect(send({ vnetWord: true }, [...header(1, 3), 0xaa, 0xbb], 10)).toMatchObject({
      got: [...header(1, 3), 0xaa, 0xbb],
      vnet: 10,
    });
    expect(send({ vnetWord: true }, [0xaa], 0)).toMatchObject({ got: [0xaa], vnet: 0 });
  });

  test('from a size to another: what both have is kept, the rest is zero', () => {
    const ten = header(2, 1, 0x102, 0x304);
    expect(send({ vnetWord: false, vnetBytes: 12 }, [...ten, 0xaa], 10).got).toEqual([...ten, 0, 0, 0xaa]);
    expect(send({ vnetWord: false, vnetBytes: 10 }, [...ten, 7, 7, 0xaa], 12).got).toEqual([...ten, 0xaa]);
    expect(send({ vnetWord: false, vnetBytes: 12 }, [0xaa], 0).got).toEqual([...new Array(12).fill(0), 0xaa]);
  });

  test('taken off: a partial checksum is made whole', () => {
    // Bytes 2 to the end are summed, the field at 2 + 2 holds the pseudo-header's sum.
    const frame = [...header(1, 0, 2, 2), 0xee, 0xee, 0x12, 0x34, 0x00, 0x10, 0x56];
    const sum = ~(0x1234 + 0x0010 + 0x5600) & 0xffff;
    expect(send({ vnetWord: false, vnetBytes: 0 }, frame, 10).got).toEqual([
      0xee,
      0xee,
      0x12,
      0x34,
      sum >>> 8,
      sum & 255,
      0x56,
    ]);
    expect(send({ vnetWord: false, vnetBytes: 0 }, [...header(0, 0, 2, 2), ...frame.slice(10)], 10).got).toEqual(
      frame.slice(10),
    );
  });

  test('taken off: what only hardware could segment, or a checksum outside the frame, is dropped and counted', () => {
    for (const bad of [header(1, 1), header(0, 0x84), header(1, 0, 4, 1), header(1, 0, 0xffff, 0xffff)]) {
      expect(send({ vnetWord: false, vnetBytes: 0 }, [...bad, 1, 2, 3, 4, 5, 6], 10)).toMatchObject({
        sent: false,
        got: undefined,
        counters: { frames: 0, droppedOffload: 1 },
      });
    }
  });
});

describe('the frame reader', () => {
  const read = (bytes: number[] | Buffer, vnetWord = false) => {
    const frames: string[] = [];
    const reader = new FrameReader(vnetWord, (buf, off, len, vnet) =>
      frames.push(`${vnet}:${buf.toString('latin1', off, off + len)}`),
    );
    const buf = Buffer.concat([Buffer.from('xx'), Buffer.from(bytes as number[]), Buffer.from('yy')]);
    return { taken: reader.read(buf, 2, buf.length - 2), frames, fault: reader.fault };
  };
  const word = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

  test('takes whole frames and leaves the rest', () => {
    expect(read([...word(1), 0x61, ...word(2), 0x62, 0x63, ...word(3), 0x64])).toMatchObject({
      taken: 11,
      frames: ['0:a', '0:bc'],
    });
    expect(read([0, 0, 0])).toMatchObject({ taken: 0, frames: [] });
    expect(read([...word(2), ...word(1), 0x61, 0x62, ...word(1), 0, 0], true)).toMatchObject({
      taken: 10,
      frames: ['1:ab'],
    });
  });

  test('lengths of nothing and above the greatest are faults; the frames before them are taken', () => {
    expect(read([...word(1), 0x61, ...word(0)])).toMatchObject({
      taken: BAD_FRAME,
      frames: ['0:a'],
      fault: expect.stringContaining('a frame of 0 bytes'),
    });
    expect(read(word(MAX_FRAME_BYTES + 1)).taken).toBe(BAD_FRAME);
    expect(read(Buffer.concat([Buffer.from(word(MAX_FRAME_BYTES)), Buffer.alloc(MAX_FRAME_BYTES)])).taken).toBe(
      MAX_FRAME_BYTES + 4,
    );
    expect(read([...word(30), ...word(25)], true).taken).toBe(BAD_FRAME);
    expect(read([...word(3), ...word(4)], true).taken).toBe(BAD_FRAME);
  });
});
