// Makes pcapng blocks for tests, independent of the reader.

export type Order = 'little' | 'big';

const u16 = (order: Order, value: number): Buffer => {
  const b = Buffer.alloc(2);
  if (order === 'little') b.writeUInt16LE(value);
  else b.writeUInt16BE(value);
  return b;
};

const u32 = (order: Order, value: number): Buffer => {
  const b = Buffer.alloc(4);
  if (order === 'little') b.writeUInt32LE(value);
  else b.writeUInt32BE(value);
  return b;
};

const padded = (b: Buffer): Buffer => Buffer.concat([b, Buffer.alloc(-b.length & 3)]);

export function block(order: Order, type: number, body: Buffer): Buffer {
  const full = padded(body);
  const length = u32(order, full.length + 12);
  return Buffer.concat([u32(order, type), length, full, length]);
}

export function option(order: Order, code: number, value: readonly number[]): Buffer {
  return Buffer.concat([u16(order, code), u16(order, value.length), padded(Buffer.from(value))]);
}

export function pcapng(order: Order) {
  const time = (units: bigint): Buffer =>
    Buffer.concat([u32(order, Number(units >> 32n)), u32(order, Number(units & 0xffffffffn))]);
  const captured = (data: Buffer, original: number): Buffer =>
    Buffer.concat([u32(order, data.length), u32(order, original), padded(data)]);
  return {
    section: (): Buffer =>
      block(
        order,
        0x0a0d0d0a,
        Buffer.concat([u32(order, 0x1a2b3c4d), u16(order, 1), u16(order, 0), Buffer.alloc(8, 0xff)]),
      ),
    interface: (linkType: number, snapLength = 0, options: readonly Buffer[] = []): Buffer =>
      block(order, 1, Buffer.concat([u16(order, linkType), u16(order, 0), u32(order, snapLength), ...options])),
    enhanced: (index: number, units: bigint, data: Buffer, original = data.length): Buffer =>
      block(order, 6, Buffer.concat([u32(order, index), time(units), captured(data, original)])),
    obsolete: (index: number, units: bigint, data: Buffer): Buffer =>
      block(order, 2, Buffer.concat([u16(order, index), u16(order, 3), time(units), captured(data, data.length)])),
    simple: (data: Buffer, original: number): Buffer =>
      block(order, 3, Buffer.concat([u32(order, original), padded(data)])),
    int64: (value: bigint): number[] => {
      const b = Buffer.alloc(8);
      if (order === 'little') b.writeBigInt64LE(value);
      else b.writeBigInt64BE(value);
      return [...b];
    },
  };
}
