// Packets that come in frames: the frame's headers and padding go with them, VLANs are apart, and what is no IP is
// compared too.

import { FrameView, parseFrame } from '../../../src/packet/ethernet';
import { PrimaryEngine } from '../../../src/pmycolo/engine';
import { buildTcp, buildUdp } from '../../lib/build-packet';
import { PrimaryHarness } from '../../lib/primary-harness';

const OPTIONS = [2, 4, 5, 0xb4];

function framed(config = {}): PrimaryHarness {
  const h = new PrimaryHarness(config);
  h.head = 26;
  h.padding = 6;
  return h;
}

test('a held packet leaves with its frame when the SVM has said the same', () => {
  const h = framed();
  const id = h.p(buildUdp({ payload: 'x' }));
  expect(h.state(id)).toBe('held');
  h.s(buildUdp({ payload: 'x' }));
  expect(h.state(id)).toBe('accept');
});

test('padding is not content: the two may be padded differently', () => {
  const h = framed();
  h.s(Buffer.concat([buildUdp({ payload: 'x' }), Buffer.from('other')]));
  expect(h.state(h.p(buildUdp({ payload: 'x' })))).toBe('accept');
});

test('a checkpoint releases what is held with its frame', () => {
  const h = framed();
  const ids = [
    h.p(buildUdp({ payload: 'x' })),
    h.p(buildTcp({ seq: 5, payload: 'y' })),
    h.p(buildTcp({ flags: 'R', window: 0 })),
  ];
  h.engine.checkpoint(h.now);
  expect(ids.map((id) => h.state(id))).toEqual(['accept', 'accept', 'accept']);
});

test('data on a SYN that was held before the two were matched is found behind the frame headers', () => {
  const h = framed();
  const syn = h.p(buildTcp({ flags: 'S', seq: 1000, options: OPTIONS, payload: 'early' }));
  const more = h.p(buildTcp({ flags: '', window: 0, seq: 1006, payload: 'later' }));
  h.s(buildTcp({ flags: 'S', seq: 9000, options: OPTIONS, payload: 'early' }));
  expect(h.state(syn)).toBe('accept');
  expect(h.state(more)).toBe('held');
  h.s(buildTcp({ flags: '', window: 0, seq: 9006, payload: 'later' }));
  expect(h.state(more)).toBe('accept');
  expect(h.requests).toEqual([]);
});

test('one zone knows nothing of another', () => {
  const h = framed();
  h.zone = 5;
  const tagged = h.p(buildUdp({ payload: 'x' }));
  h.zone = 0;
  const plain = h.p(buildUdp({ payload: 'y' }));
  h.s(buildUdp({ payload: 'y' }));
  expect([h.state(tagged), h.state(plain)]).toEqual(['held', 'accept']);
  h.zone = 5;
  h.s(buildUdp({ payload: 'x' }));
  expect(h.state(tagged)).toBe('accept');
});

describe("the SVM's numbers", () => {
  function exchange(secondaryNumbers: 'own' | 'translated', later: number): string {
    const h = framed({ secondaryNumbers });
    h.p(buildTcp({ flags: 'SA', seq: 1000, ack: 50, options: OPTIONS }));
    h.s(buildTcp({ flags: 'SA', seq: 777_000, ack: 50, options: OPTIONS }));
    const id = h.p(buildTcp({ flags: 'A', seq: 1001, ack: 50, payload: 'hello' }));
    h.s(buildTcp({ flags: 'A', seq: later, ack: 50, payload: 'hello' }));
    return h.state(id);
  }

  test('are its own behind a plain network', () => {
    expect(exchange('own', 777_001)).toBe('accept');
    expect(exchange('own', 1001)).toBe('held');
  });

  test("are the PVM's behind a rewriter, but for the SYN's", () => {
    expect(exchange('translated', 1001)).toBe('accept');
    expect(exchange('translated', 777_001)).toBe('held');
  });

  test('of a SYN that is repeated may be either', () => {
    for (const again of [777_000, 1000]) {
      const h = framed({ secondaryNumbers: 'translated' });
      h.p(buildTcp({ flags: 'SA', seq: 1000, ack: 50, options: OPTIONS }));
      h.s(buildTcp({ flags: 'SA', seq: 777_000, ack: 50, options: OPTIONS }));
      h.s(buildTcp({ flags: 'SA', seq: again, ack: 50, options: OPTIONS }));
      h.s(buildTcp({ flags: 'A', seq: 1001, ack: 50, payload: 'hello' }));
      expect(h.state(h.p(buildTcp({ flags: 'A', seq: 1001, ack: 50, payload: 'hello' })))).toBe('accept');
    }
  });

  test('of data on a SYN are its own all the same', () => {
    const h = framed({ secondaryNumbers: 'translated' });
    h.s(buildTcp({ flags: 'S', seq: 9000, options: OPTIONS, payload: 'early' }));
    expect(h.state(h.p(buildTcp({ flags: 'S', seq: 1000, options: OPTIONS, payload: 'early' })))).toBe('accept');
  });
});

describe('frames that are no IP packets', () => {
  const A = '525400000001';
  const B = '0180c200000e';
  const lldp = (payload: string, to = B, type = '88cc'): Buffer =>
    Buffer.from(to + A + type + Buffer.from(payload).toString('hex'), 'hex');

  function run(...frames: [side: 'p' | 's', frame: Buffer, zone?: number][]): { left: number[]; requests: string[] } {
    const left: number[] = [];
    const requests: string[] = [];
    const limits = { maxFlows: 64, maxHeldPackets: 64, logBytes: 1 << 16, maxHeldBytes: 1 << 15, logRecords: 1 << 8 };
    const engine = new PrimaryEngine(
      { limits },
      {
        accept: (id, buf, off, len) => {
          const frame = frames[id]![1];
          expect(buf.subarray(off - 14, off + len).equals(frame)).toBe(true);
          left.push(id);
        },
        acceptRewritten: () => {
          throw new Error('nothing of these may be changed');
        },
        drop: () => {},
        requestCheckpoint: (cause) => requests.push(cause),
      },
    );
    const view = new FrameView();
    frames.forEach(([side, frame, zone = 0], id) => {
      const buf = Buffer.concat([Buffer.alloc(3), frame, Buffer.alloc(3)]);
      parseFrame(view, buf, 3, frame.length);
      if (side === 'p') engine.primaryLink(id, buf, view, 3 + frame.length, 0, 14, zone);
      else engine.secondaryLink(buf, view, 3 + frame.length, 0, zone);
      buf.fill(0xa5);
    });
    return { left, requests };
  }

  test('wait for the same of the SVM, from whichever side it comes first', () => {
    expect(run(['p', lldp('hello')])).toEqual({ left: [], requests: [] });
    expect(run(['p', lldp('hello')], ['s', lldp('hello')]).left).toEqual([0]);
    expect(run(['s', lldp('hello')], ['p', lldp('hello')]).left).toEqual([1]);
  });

  test('that differ ask for a checkpoint', () => {
    expect(run(['p', lldp('hello')], ['s', lldp('hallo')])).toEqual({ left: [], requests: ['payload'] });
    expect(run(['p', lldp('hello')], ['s', lldp('hello!')])).toEqual({ left: [], requests: ['length'] });
  });

  test('are apart by addresses, EtherType and zone', () => {
    const p = lldp('hello');
    expect(run(['p', p], ['s', lldp('hello', '0180c2000000')])).toEqual({ left: [], requests: [] });
    expect(run(['p', p], ['s', lldp('hello', B, '88b5')])).toEqual({ left: [], requests: [] });
    expect(run(['p', p], ['s', p, 7])).toEqual({ left: [], requests: [] });
    expect(run(['p', p, 7], ['s', p, 7]).left).toEqual([0]);
  });
});
