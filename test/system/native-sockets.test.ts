// The message sockets against the real kernel: borders, credentials, ends.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NETLINK_USERSOCK, NetlinkSocket } from '../../src/io/netlink-socket';
import type { Sender } from '../../src/io/sender';
import { connectSeqpacket, type SeqpacketConnection, SeqpacketServer } from '../../src/io/seqpacket';
import { requires } from '../netns/requires';
import { until } from './native-lab';

requires('addon')('Unix SEQPACKET', () => {
  let dir: string;
  const open: { close(): void }[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'colo-seqpacket-'));
  });
  afterEach(() => {
    for (const each of open.splice(0)) each.close();
    rmSync(dir, { recursive: true });
  });

  test('carries messages with their borders and credentials, both ways, and tells of the end', async () => {
    const path = join(dir, 's');
    const got: [string, Sender][] = [];
    const back: string[] = [];
    let ended = false;
    let peer: SeqpacketConnection | undefined;
    open.push(
      new SeqpacketServer({ path, mode: 0o640 }, (connection) => {
        peer = connection;
        connection.handle({
          onMessage: (buf, sender) => {
            got.push([buf.toString(), sender]);
            connection.send(Buffer.from(`re:${buf}`));
          },
          onClose: () => {
            ended = true;
          },
        });
      }),
    );
    expect(statSync(path).mode & 0o777).toBe(0o640);
    const client = connectSeqpacket(path, { onMessage: (buf) => back.push(buf.toString()), onClose: () => {} });
    open.push(client);
    client.send(Buffer.from('one'));
    client.send(Buffer.alloc(0));
    client.send(Buffer.from('three'));
    await until(() => back.length === 3);
    expect(back).toEqual(['re:one', 're:', 're:three']);
    const self = { pid: process.pid, uid: process.geteuid!(), gid: process.getegid!() };
    for (const [, sender] of got) expect(sender).toMatchObject(self);
    expect(peer!.peer).toMatchObject(self);
    client.close();
    await until(() => ended);
    expect(peer!.closed).toBe(true);
  });

  test('replaces what a dead server left, but neither a living one nor a file', () => {
    const path = join(dir, 's');
    const server = new SeqpacketServer({ path }, () => {});
    open.push(server);
    expect(() => new SeqpacketServer({ path }, () => {})).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
    writeFileSync(join(dir, 'file'), 'x');
    expect(() => new SeqpacketServer({ path: join(dir, 'file') }, () => {})).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
  });
});

requires('addon')('NETLINK_USERSOCK', () => {
  test('carries messages between port ids, with the credentials of the sender', async () => {
    const got: [string, Sender][] = [];
    const server = new NetlinkSocket(
      { protocol: NETLINK_USERSOCK, portId: 0x10c0_10c0 },
      { onMessage: (buf, sender) => got.push([buf.toString(), sender]) },
    );
    const client = new NetlinkSocket({ protocol: NETLINK_USERSOCK }, { onMessage: () => {} });
    try {
      expect(server.portId).toBe(0x10c0_10c0);
      expect(client.send(Buffer.from('hello, this is no netlink message'), server.portId)).toBe(true);
      await until(() => got.length === 1);
      expect(got[0]![1]).toMatchObject({ portId: client.portId, pid: process.pid, uid: process.geteuid!() });
      expect(server.portBound(client.portId)).toBe(true);
      const gone = client.portId;
      client.close();
      await until(() => !server.portBound(gone));
      expect(server.send(Buffer.from('anybody?'), gone)).toBe(false);
    } finally {
      server.close();
      client.close();
    }
  });
});
