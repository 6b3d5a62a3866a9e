import fc from 'fast-check';
import { BAD_FRAME, FrameReader, type FrameSink, MAX_FRAME_BYTES, writeFrame } from '../../../src/chardev/frame';

function readAll(bytes: Buffer, vnetWord: boolean): { frames: string[]; taken: number; fault: string } {
  const frames: string[] = [];
  const reader = new FrameReader(vnetWord, (buf, off, len, vnetBytes) => {
    frames.push(`${vnetBytes}:${buf.toString('hex', off, off + len)}`);
  });
  return { taken: reader.read(bytes, 0, bytes.length), frames, fault: reader.fault };
}

class ArraySink implements FrameSink {
  readonly out = Buffer.alloc(256, 0xa5);
  used = 0;
  reserve(bytes: number): number {
    return this.used + bytes > this.out.length ? -1 : this.used;
  }
  commit(bytes: number): void {
    this.used += bytes;
  }
}

test('golden bytes of both header forms', () => {
  const sink = new ArraySink();
  expect(writeFrame(sink, false, 0, Buffer.from('xabcx'), 1, 3)).toBe(4);
  expect(writeFrame(sink, true, 10, Buffer.from('0123456789frame'), 0, 15)).toBe(15);
  expect(sink.out.toString('latin1', 0, sink.used)).toBe('\0\0\0\x03abc\0\0\0\x0f\0\0\0\x0a0123456789frame');
  expect(readAll(sink.out.subarray(0, 7), false).frames).toEqual([`0:${Buffer.from('abc').toString('hex')}`]);
  expect(readAll(sink.out.subarray(7, sink.used), true).frames).toEqual([
    `10:${Buffer.from('0123456789frame').toString('hex')}`,
  ]);
});

test('a sink without room gets nothing', () => {
  const sink = new ArraySink();
  expect(writeFrame(sink, false, 0, Buffer.alloc(253), 0, 253)).toBe(-1);
  expect(sink.used).toBe(0);
});

test.each([
  ['no bytes', 0, false],
  ['one byte', 1, true],
  ['the most', MAX_FRAME_BYTES, true],
  ['one more', MAX_FRAME_BYTES + 1, false],
  ['a sign bit', 0x80000000, false],
  ['all ones', 0xffffffff, false],
])('a frame of %s', (_name, len, good) => {
  const bytes = Buffer.alloc(4 + (good ? len : 0));
  bytes.writeUInt32BE(len);
  const result = readAll(bytes, false);
  expect(result.taken).toBe(good ? bytes.length : BAD_FRAME);
  expect(result.frames).toHaveLength(good ? 1 : 0);
  if (!good) expect(result.fault).toContain(`${len} bytes`);
});

test('a bad length is found before the rest of its frame has come, and what came before it counts', () => {
  const result = readAll(Buffer.from('00000001ff00000000', 'hex'), false);
  expect(result).toMatchObject({ taken: BAD_FRAME, frames: ['0:ff'] });
});

test.each([
  [0, 1, true],
  [10, 10, true],
  [20, 30, true],
  [24, 30, true],
  [25, 30, false],
  [11, 10, false],
  [0x52540012, 30, false],
])('a virtio-net header of %d bytes in a frame of %d', (vnetBytes, len, good) => {
  const bytes = Buffer.alloc(8 + len);
  bytes.writeUInt32BE(len);
  bytes.writeUInt32BE(vnetBytes, 4);
  const result = readAll(bytes, true);
  expect(result.taken).toBe(good ? bytes.length : BAD_FRAME);
  if (!good) expect(result.fault).toContain('vnet_hdr_support');
});

const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 12 });

test.each([false, true])('every way to cut the stream gives the same frames (second word: %s)', (vnetWord) => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(30)), (bodies, cuts) => {
      const words = bodies.map((body) => {
        const w = Buffer.alloc(vnetWord ? 8 : 4);
        w.writeUInt32BE(body.length);
        return Buffer.concat([w, body]);
      });
      const whole = Buffer.concat(words);
      const seen: string[] = [];
      const reader = new FrameReader(vnetWord, (buf, off, len) => seen.push(buf.toString('hex', off, off + len)));
      let rest = Buffer.alloc(0);
      let at = 0;
      for (const cut of [...cuts, whole.length]) {
        const end = Math.min(whole.length, at + cut);
        const buf = Buffer.concat([rest, whole.subarray(at, end)]);
        rest = Buffer.from(buf.subarray(reader.read(buf, 0, buf.length)));
        at = end;
      }
      expect(seen).toEqual(bodies.map((body) => Buffer.from(body).toString('hex')));
      expect(rest).toHaveLength(0);
    }),
  );
});
