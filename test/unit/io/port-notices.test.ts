// What rtnetlink's messages say of a port; the kernel's own are in test/netns/qemu-netdev.test.ts.

import { readPortNotices } from '../../../src/io/port-notices';
import { MessageBuilder } from '../../../src/netlink/builder';

const [RTM_NEWLINK, RTM_DELLINK] = [16, 17];
const [IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_PROTINFO] = [3, 4, 10, 12];
const IFLA_BRPORT_STATE = 1;
const AF_BRIDGE = 7;

interface Said {
  type?: number;
  family?: number;
  up?: boolean;
  name?: string;
  master?: number;
  state?: number;
}

function message({ type = RTM_NEWLINK, family = 0, up = true, name = 'tap0', master, state }: Said): Buffer {
  const buf = Buffer.alloc(512);
  const b = new MessageBuilder(buf).begin(type, 0, 1, 4711);
  b.raw(Uint8Array.of(family, 0, 0, 0))
    .rawU32(5)
    .rawU32(up ? 0x11043 : 0x1002)
    .rawU32(0xffffffff);
  b.u32(IFLA_MTU, 1500).text(IFLA_IFNAME, name);
  if (master !== undefined) b.u32(IFLA_MASTER, master);
  if (state !== undefined) {
    const nest = b.beginNest(IFLA_PROTINFO);
    b.u8(9, 1).u8(IFLA_BRPORT_STATE, state).endNest(nest);
  }
  return Buffer.from(b.end().finish());
}

test.each<[string, Said, object[]]>([
  ['switched off', { up: false }, [{ open: false, ofBridge: false, master: 0 }]],
  ['switched on', {}, [{ name: 'tap0', open: true, ofBridge: false, master: 0 }]],
  ['in a bridge', { master: 9 }, [{ open: true, ofBridge: false, master: 9 }]],
  ['a port that learns', { family: AF_BRIDGE, master: 9, state: 2 }, [{ open: false, ofBridge: true, master: 9 }]],
  ['a port that forwards', { family: AF_BRIDGE, master: 9, state: 3 }, [{ open: true, ofBridge: true, master: 9 }]],
  ['one that does and is off', { family: AF_BRIDGE, up: false, master: 9, state: 3 }, [{ open: false }]],
  ['deleted', { type: RTM_DELLINK }, []],
])('%s', (_name, said, notices) => {
  expect(readPortNotices(message(said))).toMatchObject(notices);
});

test('several in a datagram, wherever it is cut', () => {
  const whole = Buffer.concat([message({ name: 'eth0' }), message({ master: 3 })]);
  expect(readPortNotices(whole)).toMatchObject([{ name: 'eth0' }, { name: 'tap0', master: 3 }]);
  for (let bytes = 0; bytes < whole.length; bytes++)
    expect(readPortNotices(whole.subarray(0, bytes)).length).toBeLessThan(2);
});
