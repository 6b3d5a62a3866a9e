import fc from 'fast-check';
import { FLOW_DEADLINE, FLOW_USER, FlowTable } from '../../../src/conntrack/flow-table';
import { TcpState, TcpTracker, Track } from '../../../src/conntrack/tcp-track';
import { GREATEST_TIMEOUT_MS, idleTimeoutMs, TCP_TIMEOUTS } from '../../../src/conntrack/timeouts';
import { TimerWheel } from '../../../src/core/timer-wheel';
import { PacketView, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../../src/packet/view';

const FLAGS = { SYN: TCP_SYN, SA: TCP_SYN | TCP_ACK, ACK: TCP_ACK, FIN: TCP_FIN | TCP_ACK, RST: TCP_RST } as const;
type Segment = `${'g' | 'p'}.${keyof typeof FLAGS}` | `${'g' | 'p'}.${keyof typeof FLAGS}@${number}`;

function setup() {
  const flows = new FlowTable(4, FLOW_USER);
  const wheel = new TimerWheel(flows.words, FLOW_USER, FLOW_DEADLINE);
  const tracker = new TcpTracker(flows, wheel);
  const view = new PacketView();
  view.protocol = 6;
  const base = flows.insert(view, false);
  let now = 1_700_000_000_000;
  wheel.expire(now, () => true, 100);
  const send = (segment: Segment, ms = 1): Track => {
    const [who, rest] = segment.split('.') as ['g' | 'p', string];
    const [flags, seq] = rest.split('@');
    now += ms;
    return tracker.packet(base, who === 'p', FLAGS[flags as keyof typeof FLAGS], Number(seq ?? 1000), now);
  };
  const expires = (afterMs: number): boolean => {
    let gone = false;
    now += afterMs;
    wheel.expire(now, () => (gone = true), 100);
    return gone;
  };
  return { flows, wheel, tracker, base, send, expires, all: (...s: Segment[]) => s.map((x) => send(x)) };
}

describe('TcpTracker, both directions', () => {
  test('a client opens, both close', () => {
    const t = setup();
    expect(t.all('p.SYN', 'g.SA', 'p.ACK', 'g.ACK')).toEqual([Track.New, 0, 0, 0]);
    expect(t.tracker.phase(t.base)).toBe('established');
    expect(t.all('p.FIN', 'g.ACK', 'g.FIN')).toEqual([0, 0, 0]);
    expect(t.tracker.phase(t.base)).toBe('closing');
    expect(t.send('p.ACK')).toBe(Track.Finished);
    expect(t.tracker.phase(t.base)).toBe('closed');
  });

  test('the guest opens and closes first; both cross', () => {
    const t = setup();
    t.all('g.SYN', 'p.SA', 'g.ACK');
    expect(t.tracker.state(t.base)).toBe(TcpState.Established);
    t.all('g.FIN', 'p.FIN');
    expect(t.tracker.state(t.base)).toBe(TcpState.LastAck);
    expect(t.send('g.ACK')).toBe(Track.Finished);
  });

  test('half closed: the other side may go on for long', () => {
    const t = setup();
    t.all('p.SYN', 'g.SA', 'p.ACK', 'p.FIN', 'g.ACK', 'g.ACK', 'p.ACK', 'p.FIN');
    expect(t.tracker.state(t.base)).toBe(TcpState.FinPeer);
    expect(t.expires(TCP_TIMEOUTS.halfClosedMs - 2000)).toBe(false);
    t.send('g.ACK');
    expect(t.expires(TCP_TIMEOUTS.halfClosedMs - 2000)).toBe(false);
  });

  test('a RST ends it, unless the guest goes on', () => {
    const t = setup();
    t.all('p.SYN', 'g.SA', 'p.ACK');
    expect(t.send('p.RST')).toBe(Track.Finished);
    expect(t.all('p.ACK', 'p.FIN')).toEqual([0, 0]);
    expect(t.tracker.phase(t.base)).toBe('closed');
    expect(t.send('g.ACK')).toBe(Track.Revived);
    expect(t.tracker.phase(t.base)).toBe('established');
    expect(t.send('g.RST')).toBe(Track.Finished);
    expect(t.expires(TCP_TIMEOUTS.closedMs + 1500)).toBe(true);
  });
});

describe('TcpTracker, only the guest seen', () => {
  test.each([
    ['client-opened', ['g.SA', 'g.ACK', 'g.ACK', 'g.FIN', 'g.ACK']],
    ['guest-opened', ['g.SYN', 'g.ACK', 'g.ACK', 'g.FIN', 'g.ACK']],
    ['from the middle', ['g.ACK', 'g.FIN', 'g.ACK']],
  ] as [string, Segment[]][])('%s: new, established, closing, gone', (_, segments) => {
    const t = setup();
    const phases = segments.map((s) => {
      t.send(s);
      return t.tracker.phase(t.base);
    });
    expect(phases.filter((p, i) => p !== phases[i - 1])).toEqual(
      segments[0] === 'g.ACK' ? ['established', 'closing'] : ['new', 'established', 'closing'],
    );
    expect(t.expires(TCP_TIMEOUTS.halfClosedMs - 2000)).toBe(false);
    expect(t.expires(3100)).toBe(true);
  });
});

describe('port reuse', () => {
  test("the guest's SYN or SYN/ACK with another ISN is a new connection, on a finished and on a live tuple", () => {
    for (const before of [[], ['p.FIN', 'g.FIN', 'p.ACK'], ['g.RST'], ['p.FIN']] as Segment[][]) {
      for (const opener of ['g.SYN@7', 'g.SA@7'] as Segment[]) {
        const t = setup();
        t.all('p.SYN', 'g.SA', 'p.ACK', 'g.ACK', ...before);
        expect(t.send(opener)).toBe(Track.Reopen);
        expect(t.tracker.phase(t.base)).toBe('new');
        expect(t.send(opener)).toBe(Track.Same);
      }
    }
  });

  test('a retransmitted SYN or SYN/ACK is not', () => {
    const t = setup();
    expect(t.all('g.SYN', 'g.SYN', 'p.SA', 'p.SA', 'g.ACK', 'g.SYN', 'g.ACK')).toEqual([Track.New, 0, 0, 0, 0, 0, 0]);
    const u = setup();
    expect(u.all('p.SYN', 'p.SYN', 'g.SA', 'g.SA', 'p.ACK', 'g.SA', 'p.SYN')).toEqual([Track.New, 0, 0, 0, 0, 0, 0]);
    expect(u.tracker.phase(u.base)).toBe('established');
  });

  test('a connection first seen in its middle has no ISN, so any SYN of the guest reopens it', () => {
    const t = setup();
    t.send('g.ACK');
    expect(t.send('g.SA')).toBe(Track.Reopen);
  });

  test("a peer's SYN alone changes nothing: it may be forged; the guest's answer decides", () => {
    const t = setup();
    t.all('p.SYN@1', 'g.SA@5', 'p.ACK', 'g.ACK');
    expect(t.send('p.SYN@99')).toBe(Track.StraySyn);
    expect(t.tracker.phase(t.base)).toBe('established');
    expect(t.send('g.ACK')).toBe(Track.Same); // challenge ACK
    expect(t.send('g.SA@6')).toBe(Track.Reopen);
  });

  test('simultaneous open is one connection', () => {
    const t = setup();
    expect(t.all('g.SYN@5', 'p.SYN@9', 'g.SA@5', 'p.SA@9', 'g.ACK')).toEqual([Track.New, 0, 0, 0, 0]);
    expect(t.tracker.phase(t.base)).toBe('established');
  });
});

describe('forgetting', () => {
  test('each state has the timeout of the kernel', () => {
    const cases: [Segment[], number][] = [
      [['g.SYN'], TCP_TIMEOUTS.synSentMs],
      [['p.SYN', 'g.SA'], TCP_TIMEOUTS.synReceivedMs],
      [['g.ACK'], TCP_TIMEOUTS.establishedMs],
      [['g.ACK', 'g.FIN'], TCP_TIMEOUTS.halfClosedMs],
      [['g.ACK', 'g.FIN', 'p.FIN'], TCP_TIMEOUTS.lastAckMs],
      [['g.ACK', 'g.FIN', 'p.FIN', 'g.ACK'], TCP_TIMEOUTS.timeWaitMs],
      [['g.ACK', 'g.RST'], TCP_TIMEOUTS.closedMs],
    ];
    for (const [segments, timeoutMs] of cases) {
      const t = setup();
      t.all(...segments);
      for (let left = timeoutMs - 1500; left > 0; left -= 200_000) {
        expect(t.expires(Math.min(left, 200_000))).toBe(false);
      }
      expect(t.expires(3000)).toBe(true);
    }
  });

  test('other protocols', () => {
    expect([idleTimeoutMs(17, false), idleTimeoutMs(17, true)]).toEqual([30_000, 120_000]);
    expect([idleTimeoutMs(1, true), idleTimeoutMs(58, false), idleTimeoutMs(47, true)]).toEqual([
      30_000, 30_000, 600_000,
    ]);
    for (const ms of Object.values(TCP_TIMEOUTS)) expect(ms).toBeLessThan(GREATEST_TIMEOUT_MS);
  });
});

test('any sequence of segments: always a timer, always a known state, and a live guest is never taken for dead', () => {
  const segment = fc.tuple(
    fc.constantFrom('g', 'p'),
    fc.constantFrom<(keyof typeof FLAGS)[]>('SYN', 'SA', 'ACK', 'FIN', 'RST'),
    fc.integer({ min: 0, max: 2 }),
  );
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 40 }), (segments) => {
      const t = setup();
      for (const [who, flags, seq] of segments) {
        t.send(`${who}.${flags}@${seq}` as Segment);
        expect(t.tracker.state(t.base)).toBeGreaterThan(TcpState.None);
        expect(t.tracker.state(t.base)).toBeLessThanOrEqual(TcpState.Closed);
        expect(t.wheel.isArmed(t.base)).toBe(true);
      }
      t.send('g.SA@3');
      t.all('p.ACK', 'p.RST', 'g.ACK');
      expect(t.tracker.phase(t.base)).toBe('established');
    }),
  );
});
