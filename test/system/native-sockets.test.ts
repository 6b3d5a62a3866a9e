// The message sockets against the real kernel: borders, credentials, ends, bounds.
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapFile } from '../../src/io/map-file';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_USERSOCK, NetlinkSocket } from '../../src/io/netlink-socket';
import { ETH_P_ARP, PacketSocket } from '../../src/io/packet-socket';
import type { Sender } from '../../src/io/sender';
import {
  connectSeqpacket,
  SEQPACKET_MAX_BYTES,
  type SeqpacketConnection,
  SeqpacketServer,
  type SeqpacketServerOptions,
} from '../../src/io/seqpacket';
import { requires } from '../netns/requires';
import { LEFT_IP, NativeLab, RIGHT_IP, sh, until } from './native-lab';
import { RunningScene, scene } from './native-process';

const NOBODY = 65534;
const SELF = { pid: process.pid, uid: process.geteuid!(), gid: process.getegid!() };

let dir: string;
const open: { close(): void }[] = [];

function keep<T extends { close(): void }>(socket: T): T {
  open.push(socket);
  return socket;
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-native-'));
});
afterEach(() => {
  for (const each of open.splice(0)) each.close();
  rmSync(dir, { recursive: true });
});

requires('addon')('Unix SEQPACKET', () => {
  /** A server that writes down what it hears. */
  function listen(options: Partial<SeqpacketServerOptions> = {}) {
    const heard: { text: string; sender: Sender; connection: SeqpacketConnection }[] = [];
    const ends: (string | undefined)[] = [];
    const connections: SeqpacketConnection[] = [];
    const path = join(dir, 's');
    const server = keep(
      new SeqpacketServer({ path, ...options }, (connection) => {
        connections.push(connection);
        connection.handle({
          onMessage: (buf, sender) => heard.push({ text: buf.toString(), sender, connection }),
          onClose: (error) => ends.push(error?.code),
        });
      }),
    );
    return { path, server, heard, ends, connections };
  }

  function connect(path: string) {
    const heard: string[] = [];
    const ends: (string | undefined)[] = [];
    const connection = keep(
      connectSeqpacket(path, {
        onMessage: (buf) => heard.push(buf.toString()),
        onClose: (error) => ends.push(error?.code),
      }),
    );
    return { connection, heard, ends };
  }

  test('carries messages with their borders and credentials, both ways, and tells of the end', async () => {
    const { path, heard, ends, connections } = listen({ mode: 0o640 });
    expect(statSync(path).mode & 0o777).toBe(0o640);
    const client = connect(path);
    for (const text of ['one', '', 'three']) client.connection.send(Buffer.from(text));
    await until(() => heard.length === 3);
    expect(heard.map((each) => each.text)).toEqual(['one', '', 'three']);
    for (const { sender } of heard) expect(sender).toMatchObject(SELF);
    expect(connections[0]!.peer).toMatchObject(SELF);
    connections[0]!.send(Buffer.from('answer'));
    await until(() => client.heard.length === 1);
    expect(client.heard).toEqual(['answer']);
    client.connection.close();
    await until(() => ends.length === 1);
    expect(ends).toEqual([undefined]);
    expect(connections[0]!.closed).toBe(true);
    expect(connections[0]!.send(Buffer.from('late'))).toBe(false);
  });

  test('names a foreign user, at the connection and at each message', async () => {
    chmodSync(dir, 0o755);
    const { path, heard, connections } = listen({ mode: 0o666 });
    const child = new RunningScene('sendSeqpacketAsNobody', path);
    child.started.catch(() => {});
    await until(() => heard.length === 1);
    expect(heard[0]!.sender).toMatchObject({ uid: NOBODY, gid: NOBODY, pid: child.pid });
    expect(connections[0]!.peer).toMatchObject({ uid: NOBODY, gid: NOBODY, pid: child.pid });
    connections[0]!.close();
    expect((await child.ended).status).toBe(0);
  });

  test('keeps strangers out by the mode of its file', () => {
    chmodSync(dir, 0o755);
    const { path } = listen();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(JSON.parse(scene('connectSeqpacketAsNobody', [path]).stdout)).toMatchObject({ code: 'EACCES' });
  });

  test('replaces what a killed server left, but neither a living one nor a file', async () => {
    const path = join(dir, 's');
    const child = new RunningScene('serve', path);
    await child.started;
    expect(() => new SeqpacketServer({ path }, () => {})).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
    await child.kill();
    expect(existsSync(path)).toBe(true);
    expect(() => connectSeqpacket(path, { onMessage: () => {}, onClose: () => {} })).toThrow(
      expect.objectContaining({ code: 'ECONNREFUSED', hint: expect.stringContaining('daemon') }),
    );
    const { server } = listen();
    server.close();
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, 'x');
    expect(() => new SeqpacketServer({ path }, () => {})).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(() => new SeqpacketServer({ path: join(dir, 'no', 's') }, () => {})).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
  });

  test('closes a connection whose message is too long', async () => {
    const { path, heard, ends } = listen();
    const client = connect(path);
    client.connection.send(Buffer.alloc(SEQPACKET_MAX_BYTES));
    client.connection.send(Buffer.alloc(SEQPACKET_MAX_BYTES + 1));
    await until(() => ends.length === 1 && client.ends.length === 1);
    expect(heard.map((each) => each.text.length)).toEqual([SEQPACKET_MAX_BYTES]);
    expect(ends).toEqual(['EMSGSIZE']);
  });

  test('keeps a bounded number of messages for a peer that is slow, and closes when it does not read at all', async () => {
    const { path, connections, ends } = listen();
    const client = connect(path);
    await until(() => connections.length === 1);
    const server = connections[0]!;
    const text = Buffer.alloc(4000, 'x');
    // All in one turn: the client cannot read meanwhile, so some must wait.
    for (let i = 0; i < 200; i++) expect(server.send(text)).toBe(true);
    await until(() => client.heard.length === 200);
    let accepted = 0;
    while (server.send(text)) accepted++;
    expect(accepted).toBeGreaterThan(256);
    expect(accepted).toBeLessThan(1000);
    expect(ends).toEqual(['ESLOW']);
    expect(server.closed).toBe(true);
  });

  test('bounds the number of connections', async () => {
    const { path, server, connections } = listen({ maxConnections: 2 });
    const clients = [connect(path), connect(path), connect(path)];
    await until(() => server.refused === 1 && clients[2]!.ends.length === 1);
    clients[0]!.connection.close();
    await until(() => connections[0]!.closed);
    connect(path);
    await until(() => connections.length === 3);
    expect(server.refused).toBe(1);
  });
});

requires('addon')('netlink sockets', () => {
  test('carry messages between port ids, with the credentials of the sender', async () => {
    const heard: [string, Sender][] = [];
    const server = keep(
      new NetlinkSocket(
        { protocol: NETLINK_USERSOCK, portId: 0x10c0_10c0 },
        { onMessage: (buf, sender) => heard.push([buf.toString(), sender]) },
      ),
    );
    const client = keep(new NetlinkSocket({ protocol: NETLINK_USERSOCK }, { onMessage: () => {} }));
    expect(server.portId).toBe(0x10c0_10c0);
    expect(client.send(Buffer.from('hello'), server.portId)).toBe(true);
    await until(() => heard.length === 1);
    expect(heard[0]).toEqual(['hello', expect.objectContaining({ portId: client.portId, group: 0, ...SELF })]);
    expect(scene('sendNetlinkAsNobody', [String(server.portId)]).stdout.trim()).toBe('true');
    await until(() => heard.length === 2);
    expect(heard[1]).toEqual(['from nobody', expect.objectContaining({ uid: NOBODY, gid: NOBODY })]);
    expect(heard[1]![1].pid).not.toBe(process.pid);

    expect(
      () => new NetlinkSocket({ protocol: NETLINK_USERSOCK, portId: server.portId }, { onMessage: () => {} }),
    ).toThrow(expect.objectContaining({ code: 'EADDRINUSE', hint: expect.stringContaining('/proc/net/netlink') }));
    const gone = client.portId;
    expect(server.portBound(gone)).toBe(true);
    client.close();
    await until(() => !server.portBound(gone));
    expect(server.send(Buffer.from('anybody?'), gone)).toBe(false);
  });

  test('say when messages were lost', async () => {
    let heard = 0;
    let lost = 0;
    const server = keep(
      new NetlinkSocket(
        { protocol: NETLINK_USERSOCK, receiveBufferBytes: 4096 },
        { onMessage: () => heard++, onLost: () => lost++ },
      ),
    );
    const client = keep(new NetlinkSocket({ protocol: NETLINK_USERSOCK }, { onMessage: () => {} }));
    // A unicast to a full buffer is refused, and the sender knows.
    let sent = 0;
    while (client.send(Buffer.alloc(512), server.portId)) sent++;
    await until(() => heard === sent);
    expect(lost).toBe(0);
    // Longer than the receiver's room.
    const large = keep(
      new NetlinkSocket(
        { protocol: NETLINK_USERSOCK, receiveBufferBytes: 1 << 20 },
        { onMessage: () => heard++, onLost: () => lost++ },
      ),
    );
    expect(client.send(Buffer.alloc(70_000), large.portId)).toBe(true);
    await until(() => lost === 1);
    expect(heard).toBe(sent);
  });
});

requires('netns', 'addon')('sockets in a namespace', () => {
  let lab: NativeLab;

  beforeAll(() => {
    lab = new NativeLab();
  });
  afterAll(() => lab?.close());

  test('NETLINK_USERSOCK meets only its own', async () => {
    const heard: string[] = [];
    const events = { onMessage: (buf: Buffer) => heard.push(buf.toString()) };
    const inside = keep(new NetlinkSocket({ protocol: NETLINK_USERSOCK, portId: 0x7001, netns: lab.left }, events));
    const outside = keep(new NetlinkSocket({ protocol: NETLINK_USERSOCK }, events));
    expect(outside.send(Buffer.from('wrong room'), 0x7001)).toBe(false);
    expect(outside.portBound(0x7001)).toBe(false);
    expect(inside.portBound(0x7001)).toBe(true);
    const also = keep(new NetlinkSocket({ protocol: NETLINK_USERSOCK, netns: lab.left }, events));
    expect(also.send(Buffer.from('right room'), 0x7001)).toBe(true);
    await until(() => heard.length === 1);
    expect(heard).toEqual(['right room']);
    expect(() => new NetlinkSocket({ protocol: NETLINK_ROUTE, netns: 'no-such-netns' }, events)).toThrow(
      expect.objectContaining({ code: 'ENOENT', hint: expect.stringContaining('ip netns list') }),
    );
  });

  test('NETLINK_ROUTE brings the events of a group', async () => {
    const RTNLGRP_IPV4_IFADDR = 5;
    const types: number[] = [];
    const senders: Sender[] = [];
    keep(
      new NetlinkSocket(
        { protocol: NETLINK_ROUTE, groups: [RTNLGRP_IPV4_IFADDR], netns: lab.left },
        {
          onMessage: (buf, sender) => {
            types.push(buf.readUInt16LE(4));
            senders.push(sender);
          },
        },
      ),
    );
    sh('ip', '-n', lab.left, 'address', 'add', '10.99.0.1/32', 'dev', 'lo');
    sh('ip', '-n', lab.left, 'address', 'del', '10.99.0.1/32', 'dev', 'lo');
    await until(() => types.length === 2);
    expect(types).toEqual([20 /* RTM_NEWADDR */, 21 /* RTM_DELADDR */]);
    expect(senders[0]).toMatchObject({ portId: 0, group: RTNLGRP_IPV4_IFADDR });
  });

  test('NETLINK_NETFILTER answers', async () => {
    const answers: Buffer[] = [];
    const socket = keep(
      new NetlinkSocket(
        { protocol: NETLINK_NETFILTER, netns: lab.left },
        { onMessage: (buf) => answers.push(Buffer.from(buf)) },
      ),
    );
    // A request of a subsystem that does not exist: NLMSG_ERROR with -EINVAL.
    const request = Buffer.alloc(20);
    request.writeUInt32LE(20, 0);
    request.writeUInt16LE(0xee01, 4);
    request.writeUInt16LE(5 /* NLM_F_REQUEST | NLM_F_ACK */, 6);
    expect(socket.send(request, 0)).toBe(true);
    await until(() => answers.length === 1);
    expect(answers[0]!.readUInt16LE(4)).toBe(2); // NLMSG_ERROR
    expect(answers[0]!.readInt32LE(16)).toBe(-22);
  });

  test('AF_PACKET hears ARP, and sends frames', async () => {
    const frames: { text: string; packetType: number }[] = [];
    const events = {
      onFrame: (buf: Buffer, sender: { packetType: number }) =>
        frames.push({ text: buf.toString('hex'), packetType: sender.packetType }),
    };
    const right = keep(new PacketSocket({ interface: 'veth0', ethertype: ETH_P_ARP, netns: lab.right }, events));
    const left = keep(new PacketSocket({ interface: 'veth0', netns: lab.left }, { onFrame: events.onFrame }));
    expect(right.ifindex).toBe(Number(lab.inRight('cat', '/sys/class/net/veth0/ifindex')));
    const mac = lab.inLeft('cat', '/sys/class/net/veth0/address').trim().replaceAll(':', '');
    const ip = (text: string) => Buffer.from(text.split('.').map(Number)).toString('hex');
    const request = `ffffffffffff${mac}08060001080006040001${mac}${ip(LEFT_IP)}000000000000${ip(RIGHT_IP)}`;
    expect(left.send(Buffer.from(request, 'hex'))).toBe(true);
    await until(() => frames.length > 0);
    expect(frames[0]).toEqual({ text: request, packetType: 1 /* PACKET_BROADCAST */ });
    // The answer that the right kernel sends is its own, so it is not heard there; nor does a sender hear anything.
    expect(frames.length).toBe(1);
    expect(() => left.send(Buffer.alloc(3000))).toThrow(expect.objectContaining({ code: 'EMSGSIZE' }));
    expect(() => new PacketSocket({ interface: 'nosuch0', netns: lab.left }, events)).toThrow(
      expect.objectContaining({ code: 'ENODEV', hint: expect.stringContaining('nosuch0') }),
    );
  });

  test('AF_PACKET says when its interface goes', async () => {
    sh('ip', '-n', lab.left, 'link', 'add', 'vx0', 'type', 'veth', 'peer', 'name', 'vx1');
    sh('ip', '-n', lab.left, 'link', 'set', 'vx0', 'up');
    let closed: string | undefined;
    const socket = keep(
      new PacketSocket(
        { interface: 'vx0', ethertype: ETH_P_ARP, netns: lab.left },
        {
          onFrame: () => {},
          onClose: (error) => {
            closed = error.code;
          },
        },
      ),
    );
    sh('ip', '-n', lab.left, 'link', 'del', 'vx0');
    await until(() => closed !== undefined);
    expect(closed).toBe('ENETDOWN');
    expect(socket.closed).toBe(true);
  });
});

requires('addon')('mapFile', () => {
  test('keeps what was written when the process is killed, and belongs to one process at a time', async () => {
    const path = join(dir, 'map');
    const child = new RunningScene('map', path);
    await child.started;
    expect(() => mapFile(path, 8192)).toThrow(
      expect.objectContaining({ code: 'EBUSY', hint: expect.stringContaining('twice') }),
    );
    await child.kill();
    const mapped = mapFile(path, 8192);
    expect(mapped.toString('latin1', 4096, 4096 + 23)).toBe('written before the kill');
    expect(mapped.length).toBe(8192);
    const words = new Uint32Array(mapped.buffer, mapped.byteOffset, 2048);
    words[0] = 0x01020304;
    expect(mapped.readUInt32LE(0)).toBe(0x01020304);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('says what is wrong', () => {
    symlinkSync('/etc/passwd', join(dir, 'link'));
    expect(() => mapFile(join(dir, 'link'), 100)).toThrow(expect.objectContaining({ code: 'ELOOP' }));
    expect(() => mapFile(join(dir, 'no', 'file'), 100)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => mapFile(join(dir, 'file'), 0)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});

requires(
  'root',
  'netns',
  'addon',
)('dropCapabilities', () => {
  test('leaves every thread with what it keeps, after a new start with the same pid and arguments', () => {
    const lab = new NativeLab();
    try {
      const ended = scene('capabilities', ['one', 'two words'], lab.left);
      expect(ended.stderr).toBe('');
      const said = JSON.parse(ended.stdout);
      const kept = (0x3000).toString(16).padStart(16, '0');
      expect(said.threads.length).toBeGreaterThan(3);
      expect(new Set(said.threads)).toEqual(new Set([`${kept} ${kept} ${kept}`]));
      expect(said).toMatchObject({ args: ['one', 'two words'], permitted: String(0x3000), forced: true });
    } finally {
      lab.close();
    }
  });
});
