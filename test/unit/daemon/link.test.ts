// The link of two daemons over the sockets of this machine.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Link } from '../../../src/daemon/link';
import type { Channel } from '../../../src/link/channel';
import { RecordType } from '../../../src/link/record';
import { FakeNode } from '../link/parts';
import { end, NOTHING, say, TestLinks, until } from './link-parts';

let dir: string;
let links: TestLinks;
let key: Buffer | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-link-'));
  links = new TestLinks();
});
afterEach(() => {
  links.close();
  rmSync(dir, { recursive: true });
});

function link(text: string, listens: boolean): Link {
  return links.open(text, listens, key);
}

describe.each(['unix', 'tcp', 'tls'])('over %s', (kind) => {
  beforeEach(() => {
    key = kind === 'tls' ? Buffer.alloc(32, 7) : undefined;
  });

  async function pair() {
    const listening = link(kind === 'unix' ? `unix:${dir}/link` : 'tcp:127.0.0.1:0', true);
    await listening.open();
    const where = kind === 'unix' ? `unix:${dir}/link` : `tcp:127.0.0.1:${listening.port}`;
    return { listening, where };
  }

  test('both ways, and again when the connection was lost', async () => {
    const { listening, where } = await pair();
    const pn = new FakeNode();
    const sn = new FakeNode();
    const primary = listening.channel(end('primary'))(pn);
    const secondary = link(where, false).channel(end('secondary', { epoch: () => 4, features: ['digests'] }))(sn);
    await until(() => primary.up && secondary.up);
    expect(pn.peer).toMatchObject({ epoch: 4, features: ['digests'] });
    say(primary, RecordType.CLIENT_FRAME, 'ping');
    await until(() => sn.happened.length === 3);
    say(secondary, RecordType.GUEST_FRAME, 'pong');
    await until(() => pn.happened.length === 3);
    expect([sn.happened, pn.happened]).toEqual([
      ['up', '16 5 ping', 'batch'],
      ['up', '17 5 pong', 'batch'],
    ]);
    primary.disconnect('a test');
    await until(() => sn.happened.includes('down: the peer has closed the connection') && secondary.up && primary.up);
    expect(pn.happened.slice(3)).toEqual(['down: a test', 'up']);
  });

  test('a dialer finds who comes later, and a listener that was restarted', async () => {
    const first = await pair();
    first.listening.close();
    const sn = new FakeNode();
    const secondary = link(first.where, false).channel(end('secondary'))(sn);
    await until(() => links.said.some((line) => line.includes('looked for again')));
    for (let times = 1; times <= 2; times++) {
      const listening = link(first.where, true);
      await listening.open();
      const pn = new FakeNode();
      listening.channel(end('primary'))(pn);
      await until(() => secondary.up && pn.peer !== undefined);
      listening.close();
      await until(() => !secondary.up);
    }
  });

  test('who is not the other side is refused, and both sides are told why', async () => {
    const { listening, where } = await pair();
    listening.channel(end('primary'))(new FakeNode());
    const dialling = link(where, false);
    const node = new FakeNode();
    dialling.channel(end('primary'))(node);
    dialling.channel(end('secondary', { vm: 'mail' }))(node);
    await until(() => links.said.filter((line) => line.includes('other side refuses')).length >= 2);
    expect(links.said).toContain(
      "link: a connection is refused: both sides are primary of 'web': one has to be the other role",
    );
    expect(links.said).toContain(
      "link: no connection, it is looked for again: the other side refuses: no node here has 'packets' of a VM 'mail': use the same name on both hosts",
    );
    expect(node.happened).toEqual([]);
  });

  test('a node that takes nothing now makes the sender wait; nothing is lost', async () => {
    const { listening, where } = await pair();
    const pn = new FakeNode();
    pn.takes = 0;
    const primary = listening.channel(end('primary'))(pn);
    const sn = new FakeNode();
    const secondary = link(where, false).channel(end('secondary'))(sn);
    await until(() => secondary.up);
    const body = Buffer.alloc(100_000, 'x');
    let sent = 0;
    const send = () => {
      while (secondary.send(RecordType.GUEST_FRAME, sent, NOTHING, 0, body, 0, body.length)) sent++;
      secondary.flush();
    };
    // The buffers of both sockets fill, then the sender's own; it is long full when it hears of no room for so long.
    for (let quiet = 0, before = -1; quiet < 5; before = sent) {
      send();
      quiet = sent === before ? quiet + 1 : 0;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(pn.happened).toEqual(['up']);
    for (let taken = 0; taken < sent; taken += 3) {
      pn.takes = 3;
      const before = pn.happened.length;
      primary.resume();
      await until(() => pn.takes === 0 || pn.happened.length - before > sent - taken);
    }
    const epochs = pn.happened.filter((what) => what.startsWith('17')).map((what) => Number(what.split(' ')[1]));
    expect(epochs).toEqual(Array.from({ length: sent }, (_, i) => i));
  });

  test('more than there is room for goes through in order, with onRoom', async () => {
    const { listening, where } = await pair();
    let sum = 0;
    const pn = new FakeNode();
    pn.onRecord = (_type, _epoch, buf, off) => {
      expect(buf.readUInt32BE(off)).toBe(sum);
      sum++;
      return true;
    };
    listening.channel(end('primary'))(pn);
    const sn = new FakeNode();
    const body = Buffer.alloc(60_000);
    let sent = 0;
    const fill = () => {
      for (; sent < 1000; sent++) {
        body.writeUInt32BE(sent, 0);
        if (!secondary.send(RecordType.GUEST_FRAME, 0, NOTHING, 0, body, 0, body.length)) break;
      }
      secondary.flush();
    };
    sn.onUp = fill;
    sn.onRoom = fill;
    const secondary: Channel = link(where, false).channel(end('secondary'))(sn);
    await until(() => sum === 1000);
  });
});
