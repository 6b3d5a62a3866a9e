import fc from 'fast-check';
import {
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  FRAME_OK,
  FRAME_SHORT,
  FRAME_TAGS,
  FrameView,
  MAX_VLAN_TAGS,
  parseFrame,
  parseFromType,
  writeFrameHeader,
} from '../../../src/packet/ethernet';

const MACS = '0102030405060a0b0c0d0e0f';

function parse(hex: string, off = 0): FrameView {
  const buf = Buffer.concat([Buffer.alloc(off, 0x81), Buffer.from(hex, 'hex')]);
  const v = new FrameView();
  expect(parseFrame(v, buf, off, buf.length - off)).toBe(FRAME_OK);
  return v;
}

test('untagged', () => {
  expect(parse(`${MACS}080045`, 5)).toEqual({
    destination: 5,
    source: 11,
    type: ETH_P_IP,
    network: 19,
    tags: 0,
    outerVlan: -1,
    innerVlan: -1,
  });
});
test.each([
  ['802.1Q', '8100e064', '86dd', { type: ETH_P_IPV6, network: 18, tags: 1, outerVlan: 100, innerVlan: 100 }],
  ['802.1ad', '88a80007', '0806', { type: ETH_P_ARP, network: 18, tags: 1, outerVlan: 7 }],
  ['802.1ad over 802.1Q', '88a80007' + '81000fff', '0800', { network: 22, tags: 2, outerVlan: 7, innerVlan: 4095 }],
  ['stacked in the old way', '91000007' + '81000008', '0800', { network: 22, tags: 2, outerVlan: 7, innerVlan: 8 }],
  ['a priority tag', '8100e000', '0800', { network: 18, outerVlan: 0 }],
])('%s', (_name, tags, type, expected) => {
  expect(parse(MACS + tags + type)).toMatchObject(expected);
});
test('a length is no type', () => {
  expect(parse(`${MACS}0026424203`)).toMatchObject({ type: 0, network: 14 });
  expect(parse(`${MACS}81000001002642`)).toMatchObject({ type: 0, network: 18 });
});
test('a reused view forgets the tags before', () => {
  const v = parse(`${MACS}88a80007810000080800`);
  const plain = Buffer.from(`${MACS}0800`, 'hex');
  expect(parseFrame(v, plain, 0, plain.length)).toBe(FRAME_OK);
  expect(v).toMatchObject({ tags: 0, outerVlan: -1, innerVlan: -1, network: 14 });
});
test.each(['8100000181000001', '0800080008000800'])('cut at every length, with %s behind', (behind) => {
  const frame = Buffer.from(`${MACS}88a80007810000080800`, 'hex');
  for (let n = 0; n < frame.length; n++) {
    const buf = Buffer.concat([frame.subarray(0, n), Buffer.from(behind, 'hex')]);
    expect(parseFrame(new FrameView(), buf, 0, n)).toBe(FRAME_SHORT);
  }
});
test('so many tags, and no more', () => {
  const tagged = (n: number): Buffer => Buffer.from(`${MACS}${'81000001'.repeat(n)}0800`, 'hex');
  const code = (buf: Buffer): number => parseFrame(new FrameView(), buf, 0, buf.length);
  expect(code(tagged(MAX_VLAN_TAGS))).toBe(FRAME_OK);
  expect(code(tagged(MAX_VLAN_TAGS + 1))).toBe(FRAME_TAGS);
});
test('any bytes: an error, or a network layer within the frame', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(4), (bytes, tags) => {
      const frame = Buffer.from(bytes);
      for (let i = 0; i < tags && 14 + i * 4 <= frame.length; i++) frame.writeUInt16BE(0x8100, 12 + i * 4);
      const v = new FrameView();
      if (parseFrame(v, frame, 0, frame.length) !== FRAME_OK) return;
      expect(v.network).toBeGreaterThanOrEqual(14);
      expect(v.network).toBeLessThanOrEqual(frame.length);
    }),
  );
});
test('tags behind the type of another link layer', () => {
  const v = new FrameView();
  expect(parseFromType(v, Buffer.from('810000050800', 'hex'), 0, 6)).toBe(FRAME_OK);
  expect(v).toMatchObject({ type: ETH_P_IP, network: 6, outerVlan: 5 });
});
test('a header is written where it belongs', () => {
  const buf = Buffer.alloc(20, 0xa5);
  expect(
    writeFrameHeader(buf, 2, Uint8Array.of(1, 2, 3, 4, 5, 6), Uint8Array.of(10, 11, 12, 13, 14, 15), ETH_P_IPV6),
  ).toBe(16);
  expect(buf.toString('hex')).toBe(`a5a5${MACS}86dd${'a5'.repeat(4)}`);
});
