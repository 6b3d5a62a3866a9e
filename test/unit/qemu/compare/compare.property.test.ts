// The comparison under random frames, as they come over sockets: however the streams are cut, the same leaves; whatever
// garbage comes, nothing breaks; and nothing leaves that the secondary has not said and no checkpoint covers.

import fc from 'fast-check';
import { arpFrame, buildFrame, onTheWire, vnetHeader } from '../../../lib/build-frame';
import { buildEchoReply, buildIp, buildTcp, buildUdp } from '../../../lib/build-packet';
import { FrameHarness } from '../../../lib/frame-harness';

const RUNS = Number(process.env.COLO_RUNS ?? 300);

interface Step {
  kind: 'p' | 's' | 'both' | 'checkpoint' | 'tick' | 'gone';
  what: number;
  text: number;
  vlan: number;
  at: number;
  bytes: number;
  flip: boolean;
  pad: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom<Step['kind']>('p', 's', 'both') },
    { weight: 1, arbitrary: fc.constantFrom<Step['kind']>('checkpoint', 'tick', 'gone') },
  ),
  what: fc.nat(6),
  text: fc.nat(2),
  vlan: fc.constantFrom(0, 0, 5),
  at: fc.integer({ min: 0, max: 60 }),
  bytes: fc.integer({ min: 1, max: 30 }),
  flip: fc.oneof({ weight: 20, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  pad: fc.boolean(),
});

/** What a frame says: which of its kind it belongs to, and what; TCP byte by byte. */
interface Said {
  flow: string;
  content: string[];
  stream: boolean;
}

let serial = 0;

/** A frame for a step; every one of the primary's is told from the others by its IP id or its source's last bytes. */
function make(s: Step, vnet: Buffer): { frame: Buffer; said: Said | undefined } {
  const id = ++serial & 0xffff;
  const more = { vlans: s.vlan === 0 ? [] : [s.vlan], padTo: s.pad ? 60 : 0, vnet };
  const text = `text ${s.text}${s.flip ? '!' : ''}`;
  const said = (flow: string, content: string[] = [text]): Said => ({
    flow: `${flow}/${s.vlan}`,
    content,
    stream: flow === 'tcp',
  });
  switch (s.what) {
    case 0:
      return { frame: buildFrame(buildUdp({ payload: text, id }), more), said: said('udp') };
    case 1:
      return { frame: buildFrame(buildUdp({ payload: text, family: 6 }), more), said: said('udp6') };
    case 2:
      return { frame: buildFrame(buildEchoReply(7, s.text, text, 4), more), said: said('icmp') };
    case 3:
      return {
        frame: buildFrame(buildIp(4, [10, 0, 0, 1], [10, 0, 0, 2], 47, Buffer.from(text), 64, id), more),
        said: said('gre'),
      };
    case 4:
      return { frame: buildFrame(Buffer.from(text), { ...more, type: 0x88cc, padTo: 0 }), said: said('lldp') };
    case 5:
      return { frame: arpFrame(2, more), said: undefined };
    default: {
      const payload = Buffer.from(Array.from({ length: s.bytes }, (_, i) => 33 + (((s.at + i) * 7) % 90)));
      if (s.flip) payload[0]! ^= 1;
      const content = [...payload].map((byte, i) => `${s.at + i}=${byte}`);
      return {
        frame: buildFrame(buildTcp({ seq: 1000 + s.at, ack: 7, payload, id }), more),
        said: said('tcp', content),
      };
    }
  }
}

/** Knows what the secondary has said since the last checkpoint, and what the stream's checkpoints cover. */
class Model {
  private readonly datagrams = new Map<string, string[]>();
  private readonly bytes = new Map<string, Set<string>>();
  private readonly end = new Map<string, number>();
  private readonly covered = new Map<string, number>();

  secondary(said: Said): void {
    if (said.stream) for (const byte of said.content) this.bytesOf(said.flow).add(byte);
    else this.datagrams.set(said.flow, [...(this.datagrams.get(said.flow) ?? []), ...said.content]);
  }

  primary(said: Said): void {
    if (!said.stream) return;
    const end = Number(said.content.at(-1)!.split('=')[0]) + 1;
    this.end.set(said.flow, Math.max(end, this.end.get(said.flow) ?? 0));
  }

  checkpoint(): void {
    this.datagrams.clear();
    this.bytes.clear();
    for (const [flow, end] of this.end) this.covered.set(flow, end);
  }

  /** The primary is gone: nothing counts any more. */
  forget(): void {
    this.datagrams.clear();
    this.bytes.clear();
    this.end.clear();
    this.covered.clear();
  }

  /** Throws when the secondary has not said it. */
  judge(said: Said): void {
    if (!said.stream) {
      const heard = this.datagrams.get(said.flow) ?? [];
      const at = heard.indexOf(said.content[0]!);
      if (at < 0) throw new Error(`${said.flow}: '${said.content[0]}' left unsaid`);
      heard.splice(at, 1);
      return;
    }
    for (const byte of said.content) {
      const covered = Number(byte.split('=')[0]) < (this.covered.get(said.flow) ?? 0);
      if (!covered && !this.bytesOf(said.flow).has(byte)) throw new Error(`${said.flow}: byte ${byte} left unsaid`);
    }
  }

  private bytesOf(flow: string): Set<string> {
    const known = this.bytes.get(flow) ?? new Set<string>();
    this.bytes.set(flow, known);
    return known;
  }
}

test.each([
  ['without virtio-net headers', false, 0],
  ['with 12 bytes of them', true, 12],
  ['with 20 bytes of them', true, 20],
])('nothing unverified leaves, and what leaves is what came: %s', (_name, vnetHeaders, vnetBytes) => {
  const vnet = vnetHeader(vnetBytes);
  let released = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 80 }), (steps) => {
      const h = new FrameHarness(vnetHeaders);
      const model = new Model();
      const sent = new Map<string, { said: Said | undefined; times: number }>();
      const send = (s: Step, side: 'p' | 's'): void => {
        const { frame, said } = make(s, vnet);
        const paused = h.comparison.engine.isPaused;
        if (side === 'p') {
          const key = frame.toString('hex');
          sent.set(key, { said, times: (sent.get(key)?.times ?? 0) + 1 });
          if (said !== undefined) model.primary(said);
          h.p(frame, vnetBytes);
        } else {
          if (said !== undefined && !paused) model.secondary(said);
          h.s(frame, vnetBytes);
        }
      };
      for (const s of steps) {
        if (s.kind === 'p' || s.kind === 'both') send(s, 'p');
        if (s.kind === 's' || s.kind === 'both') send(s, 's');
        if (s.kind === 'tick') h.tick(1000);
        if (s.kind === 'checkpoint') h.checkpoint();
        if (s.kind === 'gone') {
          h.comparison.forgetPrimary(h.now);
          model.forget();
        }
        for (const { frame, vnetBytes: size } of h.leftWithSizes()) {
          expect(size).toBe(vnetBytes);
          const was = sent.get(frame.toString('hex'));
          if (was === undefined && isProbe(frame, vnetBytes)) continue;
          if (was === undefined || was.times-- === 0) throw new Error('a frame left that never came');
          released++;
          if (was.said !== undefined && s.kind !== 'checkpoint') model.judge(was.said);
        }
        if (s.kind === 'checkpoint') model.checkpoint();
      }
      h.checkpoint();
      expect([h.comparison.engine.heldPackets, h.comparison.engine.heldBytes]).toEqual([0, 0]);
    }),
    { numRuns: RUNS },
  );
  expect(released).toBeGreaterThan(RUNS);
});

/** A repetition's stand-in without payload, or cut to what was verified; the engine's own test judges those. */
function isProbe(frame: Buffer, vnetBytes: number): boolean {
  const tags = frame.readUInt16BE(vnetBytes + 12) === 0x8100 ? 4 : 0;
  return frame[vnetBytes + 14 + tags + 9] === 6;
}

describe('however the streams are cut', () => {
  test('the same leaves, and the same is asked for', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
        (steps, cuts) => {
          const none = Buffer.alloc(0);
          const frames = steps.flatMap((s) => {
            if (s.kind === 'both')
              return [
                { side: 'p' as const, frame: make(s, none).frame },
                { side: 's' as const, frame: make(s, none).frame },
              ];
            return [{ side: s.kind === 's' ? ('s' as const) : ('p' as const), frame: make(s, none).frame }];
          });
          const whole = new FrameHarness();
          for (const { side, frame } of frames) whole[side](frame);
          const cut = new FrameHarness();
          let k = 0;
          for (const run of runsOf(frames)) {
            for (let at = 0; at < run.bytes.length; ) {
              const end = at + cuts[k++ % cuts.length]!;
              expect(cut.feed(run.side, run.bytes.subarray(at, end))).toBe(true);
              at = end;
            }
          }
          expect(cut.left()).toEqual(whole.left());
          expect(cut.requests).toEqual(whole.requests);
        },
      ),
      { numRuns: RUNS },
    );
  });

  function runsOf(frames: { side: 'p' | 's'; frame: Buffer }[]): { side: 'p' | 's'; bytes: Buffer }[] {
    const runs: { side: 'p' | 's'; bytes: Buffer }[] = [];
    for (const { side, frame } of frames) {
      const last = runs.at(-1);
      const bytes = onTheWire(frame);
      if (last?.side === side) last.bytes = Buffer.concat([last.bytes, bytes]);
      else runs.push({ side, bytes });
    }
    return runs;
  }
});

describe('garbage', () => {
  /** Real frames with bytes changed and ends cut, so that every parser is reached. */
  const mangled = fc
    .record({
      s: step,
      changes: fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 }),
      keep: fc.oneof(fc.constant(9999), fc.integer({ min: 1, max: 100 })),
    })
    .map(({ s, changes, keep }) => {
      const frame = Buffer.from(make(s, Buffer.alloc(0)).frame.subarray(0, keep));
      for (const [at, byte] of changes) if (at < frame.length) frame[at] = byte;
      return frame;
    });

  test('of the primary alone never leaves, but for what passes on its word', () => {
    fc.assert(
      fc.property(fc.array(mangled, { maxLength: 40 }), (frames) => {
        const h = new FrameHarness();
        for (const frame of frames) h.p(frame);
        for (const frame of h.left())
          expect(frames.some((f) => f.subarray(0, frame.length).equals(frame)) && passesAlone(frame)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });

  test('of both sides, with every kind of header, breaks nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), mangled, fc.constantFrom(0, 10, 12, 20, 24), fc.nat(20)), { maxLength: 60 }),
        (steps) => {
          const h = new FrameHarness(true, {
            limits: { maxFlows: 16, logBytes: 1 << 13, maxHeldBytes: 1 << 12, logRecords: 1 << 8 },
          });
          for (const [primary, frame, size, other] of steps) {
            h.feed(primary ? 'p' : 's', onTheWire(frame, Math.min(size, frame.length)));
            if (other === 0) h.checkpoint();
            if (other === 1) h.tick(5000);
            if (other === 2) h.comparison.forgetPrimary(h.now);
          }
          h.checkpoint();
          expect(h.comparison.engine.heldPackets).toBe(0);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('in place of frames ends the connection or is waited for, and breaks nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), fc.boolean(), (chunks, vnet) => {
        const h = new FrameHarness(vnet);
        for (const chunk of chunks) {
          h.feed('p', Buffer.from(chunk));
          h.feed('s', Buffer.from(chunk));
        }
      }),
      { numRuns: RUNS },
    );
  });

  /** ARP, RARP, IGMP, neighbour discovery and multicast membership, told without the code under test. */
  function passesAlone(frame: Buffer): boolean {
    let at = 12;
    while ([0x8100, 0x88a8, 0x9100].includes(frame.readUInt16BE(at))) at += 4;
    const type = frame.readUInt16BE(at);
    if (type === 0x0806 || type === 0x8035) return true;
    if (type === 0x0800) return frame[at + 11] === 2;
    const icmp = frame[at + 42]!;
    return type === 0x86dd && ((icmp >= 130 && icmp <= 137) || icmp === 143);
  }
});
