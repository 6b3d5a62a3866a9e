// The plan of a run, chosen by its seed alone before the run begins.

import type { ControllerLossPolicy } from '../node/controller-loss';
import { type Ending, NOBODY_PORT, type SessionPlan, type Step } from './app/client';
import type { DatagramQuestion } from './app/datagram';
import { UDP_SERVER_PORT } from './app/datagram';
import { DIVERGENT_CONTENT, DIVERGENT_LENGTH, DIVERGENT_PORT, Op, type Request, SLOW_READER } from './app/protocol';
import { ALIKE } from './content';
import { type Fault, makeFaults } from './fault-plan';
import type { LinkPlan } from './link';
import type { MachineHabits } from './machine';
import type { PrimaryPlan } from './makers';
import { Prng } from './prng';
import type { StreamPlan } from './stream/link';
import type { TcpImage } from './tcp/host-port';
import { hashString } from './trace';

export const SERVER_PORT = 80;
export const CLOSED_PORT = 81;
export const CALL_PORT = 9000;

export interface SessionStart {
  atUs: number;
  family: 4 | 6;
  localPort: number;
  peerPort: number;
  plan: SessionPlan;
  /** An earlier connection had the same port. */
  usesPortAgain: boolean;
}

export type DatagramStart = { atUs: number } & (
  | { kind: 'udp'; question: DatagramQuestion }
  | { kind: 'echo'; family: 4 | 6; id: number; sequence: number; size: number }
);

export interface ControllerPlan {
  /** Longest time between two checkpoints; 0: only on request. */
  periodUs: number;
  minPeriodUs: number;
  latencyUs: number;
  /** Time for copying the state from PN to SN. */
  transferUs: number;
  /** The SVM is resumed this long before the PVM, as by QEMU; 0: either may be first, by a short time. */
  headStartUs: number;
  /**
   * DO_CHECKPOINT is sent as soon as the guests stop, before the state is copied; else after it, before they resume.
   */
  early: boolean;
  /**
   * Tells SN as soon as the guests stop, PN only when the state is copied: the checkpoint may be aborted after SN was
   * told.
   */
  secondaryEarly: boolean;
  /** Waits until the forward link is dry; else the primary's engine refuses packets that are still on their way. */
  drains: boolean;
  /** A DO_CHECKPOINT that finds no daemon on PN is not sent again. */
  losesMessages: boolean;
  onLoss: ControllerLossPolicy;
}

export interface Scenario {
  seed: number;
  baseMs: number;
  guestImage: TcpImage;
  clientImage: TcpImage;
  primaryHabits: MachineHabits;
  secondaryHabits: MachineHabits;
  clientHabits: MachineHabits;
  clientUp: LinkPlan;
  clientDown: LinkPlan;
  forward: LinkPlan;
  forwardBack: LinkPlan;
  primary: PrimaryPlan;
  queueLimit: number;
  queueLatencyUs: number;
  tickMs: number;
  controller: ControllerPlan;
  /** Else PN's port is mirrored by an ethernet link. */
  stream: StreamPlan | undefined;
  startsProtected: boolean;
  sessions: SessionStart[];
  /** Scripts of connections that the guest opens, by the HELLO's seed. */
  calls: Map<number, SessionPlan>;
  datagrams: DatagramStart[];
  faults: Fault[];
  /** From this time on nothing fails and no link loses anything. */
  calmUs: number;
}

const MS = 1000;
const ECHOES_AROUND_RETURN = 20;

export function makeScenario(seed: number): Scenario {
  const root = new Prng(seed);
  const p = root.fork('scenario');
  const guestImage = makeImage(p);
  const guestLike = makeHabits(
    p,
    p.pick(['random', 'wrap', 'alike'] as const),
    p.pick(['random', 'random', 'wrap', 'alike'] as const),
  );
  const lossy = p.chance(0.6);
  const calls = new Map<number, SessionPlan>();
  const activeUs = p.range(300, 4000) * MS;
  const families: (4 | 6)[] = p.chance(0.6) ? [4] : p.chance(0.5) ? [6] : [4, 6];
  const divergent = p.chance(0.4);
  const sessions = makeSessions(p, families, activeUs, divergent, calls);
  if (root.fork('content').chance(0.25)) sayAlike([...sessions.map(({ plan }) => plan), ...calls.values()]);
  const twins = root.fork('twins');
  const areTwins = twins.chance(0.1);
  const faults = makeFaults(p, activeUs, root.fork('aged'), root.fork('files'));
  const stream = makeStream(root.fork('stream'));
  const drains = p.chance(0.6) && stream === undefined;
  const forward = makeLink(p, lossy && p.chance(0.7), p.logRange(20, 10_000));
  const early = p.chance(0.4);
  const pace = root.fork('pace');
  // A busy host reads its queues late.
  const queues = root.fork('queues');
  const returns = faults.some(({ kind }) => kind === 'controller-loss');
  const queueLatencyUs = queues.chance(returns ? 0.7 : 0.3) ? queues.logRange(500, 20_000) : queues.logRange(20, 500);
  const scenario: Scenario = {
    seed,
    baseMs: p.chance(0.3) ? 0x100000000 - p.range(0, 6000) : p.range(1, 1_000_000),
    guestImage,
    clientImage: { ...makeImage(p), mss: guestImage.mss },
    primaryHabits: { ...guestLike, ...makePace(p) },
    secondaryHabits: { ...guestLike, ...makePace(p) },
    clientHabits: { ...makeHabits(p, p.pick(['random', 'wrap'] as const), 'random'), ...makePace(p) },
    clientUp: makeLink(p, lossy && p.chance(0.7), p.logRange(50, 20_000)),
    clientDown: makeLink(p, lossy && p.chance(0.7), p.logRange(50, 20_000)),
    forward,
    forwardBack: { ...makeLink(p, lossy && p.chance(0.5), forward.delayUs), delayUs: forward.delayUs },
    primary: {
      limits: makeLimits(p),
      ...makeTimeouts(p.logRange(300, 3000), pace),
      minCheckpointIntervalMs: pace.pick([0, 50, 100, 100]),
      forwardSettleMs: drains || stream !== undefined ? 0 : settleMs(forward, queueLatencyUs),
    },
    queueLimit: p.pick([1024, 4096]),
    queueLatencyUs,
    tickMs: p.pick([20, 50, 100]),
    controller: {
      periodUs: p.chance(0.6) ? p.logRange(150, 5000) * MS : 0,
      minPeriodUs: p.range(20, 200) * MS,
      latencyUs: p.logRange(50, 5000),
      transferUs: p.logRange(300, 30_000),
      headStartUs: pace.chance(0.5) ? pace.range(20_000, 40_000) : 0,
      early,
      secondaryEarly: !early && root.fork('order').chance(0.6),
      drains,
      losesMessages: p.chance(0.3),
      onLoss: p.pick(['release', 'hold', 'drop'] as const),
    },
    stream,
    startsProtected: p.chance(0.85),
    sessions,
    calls,
    datagrams: [...makeDatagrams(p, families, activeUs, divergent), ...aroundReturns(root.fork('return'), faults)],
    faults,
    calmUs: activeUs + 2000 * MS,
  };
  if (areTwins) makeTwins(scenario, twins);
  return scenario;
}

/**
 * Two guests of one image that send the same byte again and again: only sequence numbers distinguish one place of a
 * stream from the next. And the primary's daemon forgets the numbers in the middle of a download, with no checkpoint
 * before.
 */
function makeTwins(s: Scenario, p: Prng): void {
  s.primaryHabits.initialSequence = sequences('near');
  s.secondaryHabits.initialSequence = sequences('near');
  const request = { op: Op.GET, flags: 0, port: 0, size: p.range(100_000, 400_000), seed: ALIKE };
  const start = s.sessions[0]!;
  start.peerPort = SERVER_PORT;
  start.plan = { steps: [{ request, thinkUs: 0 }], ending: 'client-closes', slowReader: false };
  s.startsProtected = true;
  s.controller.periodUs = 0;
  const stepUs = p.logRange(3000, 60_000);
  for (let i = 1; i <= 4; i++) {
    const atUs = start.atUs + i * stepUs;
    const forUs = p.logRange(100, 5000);
    s.faults.push({ kind: 'primary-daemon', atUs, forUs, inCheckpoint: false, losesFiles: true });
  }
}

/** All bytes of all messages are equal. */
function sayAlike(plans: readonly SessionPlan[]): void {
  for (const { steps } of plans) for (const { request } of steps) if (request.op !== Op.CALL) request.seed = ALIKE;
}

/** Fixed in half of the runs, learned in the others. */
function makeTimeouts(mostMs: number, p: Prng) {
  return { compareTimeoutMs: p.chance(0.5) ? ('auto' as const) : mostMs, maxCompareTimeoutMs: mostMs };
}

/** Longest time that a packet of the SVM may be on its way: link, queue, and a margin. */
function settleMs(forward: LinkPlan, queueLatencyUs: number): number {
  return Math.ceil((forward.delayUs + forward.jitterUs + forward.reorderUs + 2 * queueLatencyUs + 2000) / 1000) + 5;
}

function makeImage(p: Prng): TcpImage {
  const mss = p.pick([536, 1220, 1460, 1460, 1460]);
  return {
    mss,
    windowScale: p.pick([-1, 0, 2, 7, 7, 9]),
    receiveBytes: p.pick([8192, 32768, 65536, 262144]),
    sendBytes: p.pick([16384, 65536, 131072]),
    timestamps: p.chance(0.85),
    sack: p.chance(0.85),
    mptcp: p.chance(0.1),
    layout: p.chance(0.8) ? 'linux' : 'odd',
    gsoBytes: p.pick([mss, 4 * mss, 16 * mss, 60_000]),
    strictSynReceived: p.chance(0.5),
    timeWaitUs: 1000 * MS,
  };
}

type Numbers = 'random' | 'wrap' | 'alike' | 'near';

/**
 * How a guest chooses initial sequence numbers: at random; just below 2^32; as Linux does, from the connection, the
 * clock and a secret that a checkpoint copies, so that the two guests' numbers lie close together; or the same with a
 * clock of 4 us (RFC 6528), closer still.
 */
function sequences(kind: Numbers): MachineHabits['initialSequence'] {
  if (kind === 'alike') return (_prng, key, clockUs) => (hashString(key) + Math.floor((clockUs * 1000) / 64)) >>> 0;
  if (kind === 'near') return (_prng, key, clockUs) => (hashString(key) + Math.floor(clockUs / 4)) >>> 0;
  if (kind === 'wrap') return justBelowTheEnd();
  return (prng) => prng.u32();
}

/**
 * Never the same twice: a port that is used again must not have the client's old number, as the ledger distinguishes
 * connections by it.
 */
function justBelowTheEnd(): MachineHabits['initialSequence'] {
  const used = new Set<number>();
  return (prng) => {
    let iss = prng.range(1, 60_000);
    while (used.has(iss)) iss = (iss % 60_000) + 1;
    used.add(iss);
    return (0 - iss) >>> 0;
  };
}

/** Likewise for the offsets of timestamps, which in Linux do not depend on the clock. */
function offsets(kind: Numbers): MachineHabits['timestampOffset'] {
  if (kind === 'alike') return (_prng, key) => hashString(key);
  if (kind === 'wrap') return (prng) => (0 - prng.range(1, 4000)) >>> 0;
  return (prng) => prng.u32();
}

function makeHabits(p: Prng, sequence: Numbers, timestamps: Numbers): MachineHabits {
  return {
    ...makePace(p),
    partialChance: p.pick([0, 0.5, 1]),
    initialSequence: sequences(sequence),
    timestampOffset: offsets(timestamps),
  };
}

function makePace(p: Prng) {
  return {
    delayedAckUs: p.range(1, 45) * MS,
    ackEverySegments: p.pick([1, 2, 2, 2, 8, 20]),
    burstSegments: p.pick([1, 2, 8, 45]),
    wakeMinUs: p.range(1, 20),
    wakeMaxUs: p.chance(0.15) ? p.range(2000, 8000) : p.logRange(30, 800),
    hiccupChance: p.chance(0.3) ? 0.01 : 0,
    hiccupUs: p.logRange(1000, 20_000),
  };
}

function makeLink(p: Prng, lossy: boolean, delayUs: number): LinkPlan {
  return {
    delayUs,
    jitterUs: p.chance(0.5) ? p.logRange(1, 300) : 0,
    loss: lossy ? p.pick([0.001, 0.01, 0.03, 0.1]) : 0,
    duplicate: lossy && p.chance(0.5) ? 0.01 : 0,
    reorder: lossy && p.chance(0.6) ? p.pick([0.01, 0.05]) : 0,
    reorderUs: p.logRange(100, 5000),
    rate: p.pick([12.5, 125, 1250]),
    wires: p.chance(0.6),
  };
}

function makeStream(p: Prng): StreamPlan | undefined {
  if (p.chance(0.5)) return undefined;
  return {
    delayUs: p.logRange(20, 10_000),
    rate: p.pick([12.5, 125, 1250]),
    bufferBytes: p.pick([80_000, 200_000, 1 << 20]),
    portFrames: p.pick([10, 100, 1000]),
    breakUs: p.chance(0.3) ? p.logRange(100, 3000) * MS : 0,
  };
}

function makeLimits(p: Prng): PrimaryPlan['limits'] {
  // Small on purpose, so that runs reach the bounds.
  const maxHeldBytes = p.pick([1 << 17, 1 << 18, 1 << 19]);
  return {
    maxFlows: p.chance(0.1) ? 6 : 64,
    maxHeldPackets: p.chance(0.15) ? 16 : 1024,
    maxHeldBytes,
    logBytes: 2 * maxHeldBytes + (1 << 17),
    logRecords: p.pick([256, 1024]),
  };
}

function makeSessions(
  p: Prng,
  families: (4 | 6)[],
  activeUs: number,
  divergent: boolean,
  calls: Map<number, SessionPlan>,
): SessionStart[] {
  const sessions: SessionStart[] = [];
  const count = p.range(2, 7);
  const ports = p.range(30000, 39000);
  for (let i = 0; i < count; i++) {
    const previous = sessions[i - 1];
    // Sometimes the port of an earlier connection is used again.
    const reuse = previous !== undefined && p.chance(0.15);
    const refused = p.chance(0.04);
    sessions.push({
      atUs: reuse ? previous.atUs + p.range(1500, 4000) * MS : p.below(Math.floor(activeUs * 0.6)),
      family: reuse ? previous.family : p.pick(families),
      usesPortAgain: reuse,
      localPort: reuse ? previous.localPort : ports + i,
      peerPort: refused ? CLOSED_PORT : SERVER_PORT,
      plan: refused ? { steps: [], ending: 'refused', slowReader: false } : makePlan(p, divergent, calls, true),
    });
  }
  return sessions;
}

function makePlan(p: Prng, divergent: boolean, calls: Map<number, SessionPlan>, mayCall: boolean): SessionPlan {
  const steps: Step[] = [];
  const count = p.range(1, 4);
  for (let i = 0; i < count; i++) {
    const thinkUs = p.chance(0.5) ? p.logRange(1, 600) * MS : 0;
    steps.push({ request: makeRequest(p, divergent, calls, mayCall), thinkUs });
  }
  const ending: Ending = p.pick([
    'client-closes',
    'client-closes',
    'client-closes',
    'guest-closes',
    'guest-closes',
    'guest-resets',
    'client-resets',
  ]);
  return { steps, ending, slowReader: p.chance(0.12) };
}

function makeRequest(p: Prng, divergent: boolean, calls: Map<number, SessionPlan>, mayCall: boolean): Request {
  const op = p.pick([Op.GET, Op.GET, Op.GET, Op.PUT, Op.PUT, Op.ECHO, Op.CALL]);
  let flags = p.chance(0.08) ? SLOW_READER : 0;
  if (divergent && p.chance(0.3)) flags |= p.pick([DIVERGENT_CONTENT, DIVERGENT_CONTENT | DIVERGENT_LENGTH]);
  const seed = p.u32();
  if (op === Op.CALL && mayCall) {
    if (p.chance(0.15)) return { op, flags, port: NOBODY_PORT, size: 0, seed };
    calls.set(seed, makePlan(p, divergent, calls, false));
    if (divergent && p.chance(0.2)) flags |= DIVERGENT_PORT;
    return { op, flags, port: CALL_PORT, size: 0, seed };
  }
  const size = p.logRange(1, op === Op.GET ? 400_000 : 150_000);
  return {
    op: op === Op.CALL ? Op.GET : op,
    flags,
    port: 0,
    size: flags & SLOW_READER ? Math.min(size, 60_000) : size,
    seed,
  };
}

function makeDatagrams(p: Prng, families: (4 | 6)[], activeUs: number, divergent: boolean): DatagramStart[] {
  const all: DatagramStart[] = [];
  const count = p.chance(0.5) ? p.range(1, 12) : 0;
  for (let i = 0; i < count; i++) {
    const atUs = p.below(activeUs);
    const family = p.pick(families);
    if (p.chance(0.4)) {
      all.push({ atUs, kind: 'echo', family, id: p.range(1, 0xffff), sequence: i, size: p.logRange(1, 1400) });
      continue;
    }
    const question: DatagramQuestion = {
      family,
      port: p.range(50000, 50003),
      toPort: p.chance(0.1) ? UDP_SERVER_PORT + 1 : UDP_SERVER_PORT,
      id: p.u32(),
      seed: p.u32(),
      size: p.logRange(1, 1400),
      answers: p.range(1, 3),
      divergent: divergent && p.chance(0.3),
    };
    all.push({ atUs, kind: 'udp', question });
  }
  return all;
}

/** Echo requests in a row where a controller comes back, so that the guests send something just then. */
function aroundReturns(p: Prng, faults: readonly Fault[]): DatagramStart[] {
  const all: DatagramStart[] = [];
  for (const { kind, atUs, forUs } of faults) {
    if (kind !== 'controller-loss') continue;
    const stepUs = p.logRange(1, 20) * MS;
    for (let i = 0; i < ECHOES_AROUND_RETURN; i++) {
      const at = atUs + forUs + (i - 2) * stepUs;
      all.push({ atUs: at, kind: 'echo', family: 4, id: 0xffff, sequence: i, size: p.logRange(1, 1400) });
    }
  }
  return all;
}
