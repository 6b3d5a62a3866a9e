// Digests of a run of chunks are what GMAC of each is by another way to libcrypto.

import { createCipheriv, randomBytes } from 'node:crypto';
import { NativeDigester } from '../../../src/io/digester';

function gmac(key: Buffer, epoch: number, ports: number, seq: number, bytes: Buffer): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(epoch, 0);
  nonce.writeUInt32BE(ports, 4);
  nonce.writeUInt32BE(seq, 8);
  const cipher = createCipheriv('aes-128-gcm', key, nonce);
  cipher.setAAD(bytes);
  cipher.final();
  return cipher.getAuthTag().subarray(0, 8);
}

test('each chunk has its own, the last what is left', () => {
  const key = randomBytes(16);
  const digester = new NativeDigester(key);
  const buf = randomBytes(70_000);
  for (const [off, bytes, chunk] of [
    [3, 65_160, 1448],
    [0, 1, 64],
    [17, 64, 64],
    [1, 1449, 1448],
    [9, 50_000, 65_535],
  ] as const) {
    const count = Math.ceil(bytes / chunk);
    const out = Buffer.alloc(count * 8 + 10, 0xa5);
    const seq = 0xffff_ff00;
    digester.write(7, 0x0050_1f90, seq, buf, off, bytes, chunk, out, 5);
    const wanted = Array.from({ length: count }, (_, i) => {
      const at = off + i * chunk;
      const end = Math.min(at + chunk, off + bytes);
      return gmac(key, 7, 0x0050_1f90, (seq + i * chunk) >>> 0, buf.subarray(at, end));
    });
    expect(out.subarray(5, 5 + count * 8)).toEqual(Buffer.concat(wanted));
    expect([...out.subarray(0, 5), ...out.subarray(-5)]).toEqual(Array(10).fill(0xa5));
  }
});

test('a key of another length, and what does not lie in its buffer, are refused', () => {
  expect(() => new NativeDigester(Buffer.alloc(15))).toThrow(/16 bytes|do not fit|does not lie/);
  const digester = new NativeDigester(Buffer.alloc(16));
  const buf = Buffer.alloc(100);
  const write = (off: number, bytes: number, chunk: number, outOff: number): void =>
    digester.write(1, 2, 3, buf, off, bytes, chunk, Buffer.alloc(16), outOff);
  for (const [off, bytes, chunk, outOff] of [
    [1, 100, 64, 0],
    [101, 0, 64, 0],
    [0, 100, 0, 0],
    [0, 100, 64, 1],
    [0, 100, 49, 0],
  ] as const) {
    expect(() => write(off, bytes, chunk, outOff)).toThrow(/16 bytes|do not fit|does not lie/);
  }
  expect(() => write(0, 100, 64, 0)).not.toThrow();
});
