// A session of each version that was released, byte for byte: what was spoken then is understood now, and said the same
// way as long as that version is spoken.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LinkRole } from '../../../src/link/hello';
import type { RecordType } from '../../../src/link/record';
import { FakeNode, hello, session } from './parts';

interface Recorded {
  /** Who says it, what record it is, and its bytes in hex. */
  said: { by: LinkRole; type: number; epoch: number; payload: string; bytes: string }[];
}

const NOTHING = new Uint8Array(0);

describe.each(['version-1'])('%s', (name) => {
  const { said } = JSON.parse(readFileSync(join(__dirname, `recorded/${name}.json`), 'utf8')) as Recorded;
  const bytesOf = (role: LinkRole) =>
    said.flatMap(({ by, bytes }) => (by === role ? [Buffer.from(bytes.replaceAll(' ', ''), 'hex')] : []));

  test.each<[LinkRole, LinkRole]>([
    ['primary', 'secondary'],
    ['secondary', 'primary'],
  ])('the %s understands what was said to it', (role, other) => {
    const node = new FakeNode();
    const t = session({ onHello: (s) => s.accept(role, node, t.counters) });
    t.session.open(t.transport);
    const bytes = Buffer.concat(bytesOf(other));
    for (let i = 0; i < bytes.length; i += 7) t.wire.bring(bytes.subarray(i, i + 7));
    const told = said.filter(({ by, type }) => by === other && type >= 16);
    expect(node.happened.filter((what) => what !== 'batch')).toEqual(
      told.map(({ type, epoch, payload }) => `${type} ${epoch} ${Buffer.from(payload, 'hex').toString('latin1')}`),
    );
    expect([t.transport.connected, told.length > 0]).toEqual([true, true]);
  });

  test.each<[LinkRole, LinkRole]>([
    ['primary', 'secondary'],
    ['secondary', 'primary'],
  ])('the %s says the same today', (role, other) => {
    const mine = hello({
      role,
      ...(role === 'secondary' ? { features: ['digests'], digestKey: '11'.repeat(32) } : {}),
    });
    const t = session({ onHello: (s) => s.accept(role, new FakeNode(), t.counters) });
    t.session.open(t.transport, mine);
    t.wire.bring(bytesOf(other)[0]!);
    for (const { by, type, epoch, payload } of said) {
      if (by !== role || type < 16) continue;
      const bytes = Buffer.from(payload, 'hex');
      t.session.send(type as RecordType, epoch, NOTHING, 0, bytes, 0, bytes.length);
    }
    t.session.flush();
    const records = said.flatMap(({ by, type, bytes }) =>
      by === role && (type === 1 || type >= 16) ? [Buffer.from(bytes.replaceAll(' ', ''), 'hex')] : [],
    );
    expect(t.transport.flushed).toEqual(Buffer.concat(records));
  });
});
