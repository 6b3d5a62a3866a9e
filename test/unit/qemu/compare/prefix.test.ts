// The verified beginning of a held packet as a frame of its own: with the held frame's headers, and nothing left for
// hardware to do.

import { buildFrame, vnetHeader } from '../../../lib/build-frame';
import { buildTcp, checksumsAreRight, type TcpFields } from '../../../lib/build-packet';
import { fragmentOf, pieces } from '../../../lib/fragments';
import { FrameHarness } from '../../../lib/frame-harness';

const ISN = 1000;
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;

function open(h: FrameHarness, vlans: number[], vnetBytes: number, family: 4 | 6 = 4) {
  const frame = (at: number, f: TcpFields, vnet = vnetHeader(vnetBytes)) =>
    buildFrame(buildTcp({ family, seq: ISN + 1 + at, ack: 1, flags: 'PA', ...f }), { vlans, vnet });
  const syn = frame(-1, { flags: 'SA' });
  h.s(syn, vnetBytes).p(syn, vnetBytes).left();
  return { frame, head: vnetBytes + 14 + 4 * vlans.length };
}

test.each([
  ['plain', [], 0, 4],
  ['IPv6', [], 0, 6],
  ['in a VLAN', [5], 0, 4],
  ['in two VLANs', [5, 6], 0, 6],
] as [string, number[], number, 4 | 6][])(
  '%s: it has the frame headers of its packet',
  (_name, vlans, vnetBytes, family) => {
    const h = new FrameHarness();
    const { frame, head } = open(h, vlans, vnetBytes, family);
    const held = frame(0, { payload: 'abcdef' });
    h.p(held).s(frame(0, { payload: 'abc' }));
    h.endBatch();
    const l4 = head + (family === 4 ? 20 : 40);
    const texts = (frames: Buffer[]): string[] =>
      frames.map((one) => {
        expect(one.subarray(0, head)).toEqual(held.subarray(0, head));
        expect(checksumsAreRight(one.subarray(head))).toBe(true);
        return one.subarray(l4 + 20).toString();
      });
    expect(texts(h.left())).toEqual(['a', 'bc']);
    h.s(frame(3, { payload: 'def' }));
    expect(texts(h.left())).toEqual(['d', 'ef']);
  },
);

test.each([10, 12, 20])('a virtio-net header of %d bytes says that nothing is left to do', (vnetBytes) => {
  const h = new FrameHarness(true);
  const { frame, head } = open(h, [], vnetBytes);
  const offloads = vnetHeader(vnetBytes, { flags: NEEDS_CSUM, gsoType: GSO_TCPV4, gsoSize: 1448 });
  const payload = 'x'.repeat(5000);
  const held = frame(0, { payload }, offloads);
  h.p(held, vnetBytes).s(frame(0, { payload: payload.slice(0, 1400) }), vnetBytes);
  h.endBatch();
  const left = h.leftWithSizes();
  expect(left.map(({ vnetBytes: size }) => size)).toEqual([vnetBytes, vnetBytes, vnetBytes]);
  for (const { frame: one } of left) {
    expect([...one.subarray(0, 10)]).toEqual(Array(10).fill(0));
    expect(one.subarray(10, vnetBytes)).toEqual(held.subarray(10, vnetBytes));
    expect(checksumsAreRight(one.subarray(head))).toBe(true);
    expect(one.length - head).toBeLessThanOrEqual(1280);
  }
  expect(left.reduce((sum, { frame: one }) => sum + one.length - head - 40, 0)).toBe(1400);
  h.s(frame(1400, { payload: payload.slice(1400) }), vnetBytes);
  expect(h.left()).toEqual([held]);
});

test('frames of both sides that are looked at together', () => {
  const h = new FrameHarness();
  const { frame } = open(h, [], 0);
  const wire = (...frames: Buffer[]): Buffer =>
    Buffer.concat(frames.flatMap((one) => [Buffer.from([0, 0, one.length >> 8, one.length & 255]), one]));
  h.together(wire(frame(0, { payload: 'abcdef' })), wire(frame(0, { payload: 'abc' })));
  h.endBatch();
  expect(h.left().map((one) => one.subarray(54).toString())).toEqual(['a', 'bc']);
  h.together(wire(frame(6, { payload: 'ghi' })), wire(frame(3, { payload: 'defghi' })));
  h.endBatch();
  expect(h.left().map((one) => one.subarray(54).toString())).toEqual(['d', 'ef', 'ghi']);
});

test('a packet that came in fragments is not cut', () => {
  const h = new FrameHarness();
  const { frame } = open(h, [], 0);
  const packet = buildTcp({ seq: ISN + 1, ack: 1, payload: 'x'.repeat(600) });
  for (const piece of pieces(packet.length - 20, [40])) h.p(buildFrame(fragmentOf(packet, piece, 7)));
  expect(h.comparison.engine.heldPackets).toBe(1);
  h.s(frame(0, { payload: 'x'.repeat(300) }));
  h.endBatch();
  expect(h.left()).toEqual([]);
  expect(h.count('prefixes_unsent')).toBe(1);
});

test('without a peer at outdev it counts as not sent', () => {
  const h = new FrameHarness();
  const { frame } = open(h, [], 0);
  h.p(frame(0, { payload: 'abcdef' }));
  h.sink.connected = false;
  h.s(frame(0, { payload: 'abc' }));
  h.endBatch();
  expect(h.count('prefixes_unsent')).toBe(1);
  h.sink.connected = true;
  h.s(frame(3, { payload: 'd' }));
  h.endBatch();
  expect(h.left().map((one) => one.subarray(54).toString())).toEqual(['a', 'bcd']);
});
