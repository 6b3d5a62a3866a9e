import { LinkHeads, MAX_LINK_HEAD_BYTES } from '../../../src/conntrack/link-heads';
import { PARSE_OK, parseIp } from '../../../src/packet/parse';
import { PacketView, TCP_ACK } from '../../../src/packet/view';
import { buildFrame } from '../../lib/build-frame';
import { buildTcp, buildUdp, type TcpFields } from '../../lib/build-packet';

const TAG = 0x8100_6005;

function heads(maxFlows = 64) {
  const table = new LinkHeads([1, 2], maxFlows);
  const learn = (packet: Buffer, vlan = 0, f = {}): void => {
    const frame = buildFrame(packet, f);
    table.learn(Buffer.concat([frame, Buffer.alloc(8)]), frame.length, vlan);
  };
  const headOf = (f: TcpFields): string | undefined => {
    const packet = buildTcp(f);
    const v = new PacketView();
    expect(parseIp(v, packet, 0, packet.length)).toBe(PARSE_OK);
    const out = Buffer.alloc(MAX_LINK_HEAD_BYTES + 3, 0xa5);
    const at = table.write(v, out, MAX_LINK_HEAD_BYTES);
    expect(out.subarray(MAX_LINK_HEAD_BYTES).toString('hex')).toBe('a5a5a5');
    return at < 0 ? undefined : out.subarray(at, MAX_LINK_HEAD_BYTES).toString('hex');
  };
  return { table, learn, headOf };
}

test.each([
  ['IPv4', 4, 0, '525400abcdef5254001234560800'],
  ['IPv6', 6, 0, '525400abcdef52540012345686dd'],
  ['in a VLAN', 4, TAG, '525400abcdef525400123456810060050800'],
] as const)('%s: a connection has the header of its SYN', (_name, family, vlan, head) => {
  const { learn, headOf } = heads();
  learn(buildTcp({ family, flags: 'SA' }), vlan);
  expect(headOf({ family, payload: 'x' })).toBe(head);
  expect(headOf({ family, dport: 40001 })).toBeUndefined();
  learn(buildTcp({ family, flags: 'S' }), vlan, { dst: '020000000009' });
  expect(headOf({ family })!.slice(0, 12)).toBe('020000000009');
});

test.each([
  ['is no SYN', buildFrame(buildTcp({}))],
  ['is UDP', buildFrame(buildUdp({}))],
  ['is for a group', buildFrame(buildTcp({ flags: 'S' }), { dst: '010000000001' })],
  ['has a second tag', buildFrame(buildTcp({ flags: 'S' }), { vlans: [5] })],
  ['is cut', buildFrame(buildTcp({ flags: 'S' })).subarray(0, 40)],
  ['is a fragment', buildFrame(Buffer.from(buildTcp({ flags: 'S' })).fill(0x20, 6, 7))],
])('nothing is learnt from what %s', (_what, frame) => {
  const { table } = heads();
  table.learn(frame, frame.length, 0);
  expect(table.size).toBe(0);
});

test('where some are missing, of any frame of a connection', () => {
  const { table, headOf } = heads();
  const frame = buildFrame(buildTcp({ flags: 'PA', payload: 'x' }), { dst: '020000000009' });
  table.learn(frame, frame.length, 0, TCP_ACK);
  expect(headOf({})).toBe('0200000000095254001234560800');
});

test('a flood of connections pushes out those that are not in use', () => {
  const { table, learn, headOf } = heads(8);
  learn(buildTcp({ flags: 'SA', dport: 1 }));
  for (let i = 0; i < 100; i++) {
    learn(buildTcp({ flags: 'SA', dport: 1000 + i }));
    expect(headOf({ dport: 1 })).toBeDefined();
  }
  expect(table.size).toBe(8);
  expect(table.forgotten).toBe(93);
});

test('where all are in use, one of them gives way', () => {
  const { table, learn, headOf } = heads(100);
  for (let i = 0; i < 100; i++) {
    learn(buildTcp({ flags: 'SA', dport: 1000 + i }));
    headOf({ dport: 1000 + i });
  }
  learn(buildTcp({ flags: 'SA', dport: 1 }));
  expect(table.forgotten).toBe(1);
  expect(headOf({ dport: 1 })).toBeDefined();
});
