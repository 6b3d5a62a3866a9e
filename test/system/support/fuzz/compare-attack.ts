// An attack on a `colo qemu compare` process, round by round: a burst of everything that may come over its four
// sockets, then quiet, a checkpoint, and an honest pair that must still get through.

import { ARPOP_REPLY } from '../../../../src/packet/arp';
import { arpFrame, buildFrame } from '../../../lib/build-frame';
import { buildUdp } from '../../../lib/build-packet';
import { until } from '../../../lib/chardev-peer';
import { sleep } from '../../../netns/support/wait';
import { frames, type Plan, plan, spoil } from './frames';
import { Oracle } from './oracle';
import { AttackedProcess } from './process';
import type { Random } from './random';
import { AttackedSocket, MAX_FRAME_BYTES, onWire } from './wire';

/** Where an ARP frame has the address that it is about. */
const ARP_TARGET_IP = 38;
const REPLY = 'COLO_COMPARE_GET_XEN_INIT';
const SIDES = ['both', 'both', 'both', 'different', 'spoilt', 'primary', 'secondary', 'secret'] as const;
const LENGTHS = [0, 0, 1, 13, 14, MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1, 0x7fffffff, 0x80000000, 0xffffffff];
/** The sockets' share of what is under way, so that this process is bounded too. */
const MOST_WAITING = 1 << 20;
/** Of a packet that fills memory. */
export const LARGE_BYTES = 60_000;
const RESEND_MS = 200;

type Name = 'primary_in' | 'secondary_in' | 'outdev' | 'notify_dev';
const NAMES: readonly Name[] = ['primary_in', 'secondary_in', 'outdev', 'notify_dev'];

export class CompareAttack {
  readonly oracle = new Oracle();
  readonly process: AttackedProcess;
  framesSent = 0;
  rounds = 0;
  private readonly sockets: Record<Name, AttackedSocket>;
  private readonly seen = new Set<string>();
  private replies = 0;
  private marker = 0;
  private fault: unknown;

  /** maxQueueSize is small, so that what is bounded by it is reached. */
  constructor(
    private readonly r: Random,
    dir: string,
    private readonly vnet: boolean,
    maxQueueSize: number,
  ) {
    const path = (name: Name) => `${dir}/${name}`;
    this.process = new AttackedProcess([
      ...['compare', ...NAMES.flatMap((name) => [`--${name}`, `unix:${path(name)},server`])],
      ...['--max_queue_size', String(maxQueueSize), '--compare_timeout', '50', '--expired_scan_cycle', '20'],
      ...(vnet ? ['--vnet_hdr_support'] : []),
    ]);
    const { oracle } = this;
    const socket = (name: Name, sent: (frame: Buffer, n: number) => void, got: (frame: Buffer, n: number) => void) =>
      new AttackedSocket(
        path(name),
        vnet,
        vnet && name !== 'notify_dev',
        sent,
        got,
        () => this.process.taken(name),
        (error) => {
          this.fault ??= error;
        },
      );
    const counted = (take: (frame: Buffer, n: number) => void) => (frame: Buffer, n: number) => {
      this.framesSent++;
      take(frame, n);
    };
    this.sockets = {
      primary_in: socket(
        'primary_in',
        counted((frame, n) => oracle.primary(frame, n)),
        () => {},
      ),
      secondary_in: socket(
        'secondary_in',
        counted((frame, n) => oracle.secondary(frame, n)),
        () => {},
      ),
      outdev: socket(
        'outdev',
        () => {},
        (frame, n) => {
          this.seen.add(frame.toString('latin1'));
          oracle.leaves(frame, n);
        },
      ),
      notify_dev: socket(
        'notify_dev',
        () => {},
        (frame) => {
          if (frame.toString('latin1') === REPLY) this.replies++;
        },
      ),
    };
  }

  async start(): Promise<void> {
    await this.process.isReady();
    await this.whole();
  }

  check(): void {
    this.process.lives();
    if (this.fault !== undefined) throw this.fault;
  }

  async round(): Promise<void> {
    const { r } = this;
    this.rounds++;
    const withCheckpoints = r.chance(0.4);
    const side = r.chance(0.3) ? r.of(SIDES) : undefined;
    for (let n = r.between(1, 60); n > 0; n--) {
      await this.act(side ?? r.of(SIDES));
      if (withCheckpoints && r.chance(0.05)) await this.checkpoint();
      if (r.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
      if (r.chance(0.01)) await sleep(r.below(80));
      this.check();
    }
    await this.quiet();
  }

  /** All is out, a checkpoint is made, and an honest pair passes. */
  async quiet(): Promise<void> {
    await this.whole();
    await this.barrier();
    await this.checkpoint();
    await this.whole();
    await this.barrier();
    this.seen.clear();
    this.oracle.allIsOut();
    await this.honestPair();
  }

  /**
   * All that the bounds allow is held, released, and held again, so that no memory is touched for the first time later.
   */
  async fill(packets: number, times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      await this.flood(packets);
      await this.quiet();
    }
  }

  /** Large packets of both sides that have nothing to do with each other, and no checkpoint. */
  async flood(packets: number): Promise<void> {
    const { primary_in: p, secondary_in: s } = this.sockets;
    const payload = '.'.repeat(LARGE_BYTES);
    for (let n = 0; n < packets; n++) {
      p.write(this.honest(40_100, `${this.oracle.secret()} ${payload}`));
      s.write(this.honest(40_101, payload));
      await until(() => p.backlogBytes + s.backlogBytes < MOST_WAITING, 'room in the socket');
      this.check();
    }
  }

  // The attack

  private async act(side: (typeof SIDES)[number]): Promise<void> {
    const { r, sockets } = this;
    const { primary_in: p, secondary_in: s } = sockets;
    if (r.chance(0.02)) return this.disconnect();
    if (r.chance(0.03)) return this.hurt(r.of(NAMES));
    if (r.chance(0.02)) sockets.outdev.slow(r.chance(0.5));
    if (p.backlogBytes > MOST_WAITING || s.backlogBytes > MOST_WAITING) sockets.outdev.slow(false);
    if (p.backlogBytes > MOST_WAITING || s.backlogBytes > MOST_WAITING) await sleep(5);
    const what = plan(r, this.vnet, this.rounds);
    const text = side === 'secret' || side === 'primary' ? this.oracle.secret() : `public ${r.below(3)} text`;
    const primary = frames(what, text);
    const secondary = frames(what, side === 'different' || side === 'secret' ? `public ${r.below(3)} other` : text);
    const spoilt = r.chance(0.4);
    for (let i = 0; i < Math.max(primary.length, secondary.length); i++) {
      let [one, other] = [primary[i], secondary[i]];
      if (spoilt && one !== undefined) one = spoil(r, one, what.vnet.length);
      // The same harm to both, mostly, so that what follows is reached.
      if (spoilt && side === 'both') other = one;
      else if (side === 'spoilt' && other !== undefined) other = spoil(r, other, what.vnet.length);
      const sends: [AttackedSocket, Buffer | undefined][] = [
        [p, side === 'secondary' ? undefined : one],
        [s, side === 'primary' ? undefined : other],
      ];
      for (const [socket, frame] of r.chance(0.5) ? sends : sends.reverse())
        if (frame !== undefined) this.send(socket, frame, what);
    }
  }

  private send(socket: AttackedSocket, frame: Buffer, { vnet }: Plan): void {
    socket.write(onWire(frame, this.vnet, Math.min(vnet.length, frame.length)), this.r);
  }

  /** A stream that makes no sense, or ends in the midst of a frame. */
  private async hurt(name: Name): Promise<void> {
    const { r } = this;
    const socket = this.sockets[name];
    switch (r.below(4)) {
      case 0:
        socket.write(r.bytes(r.between(1, 3000)), r);
        break;
      case 1:
        socket.write(
          onWire(
            r.bytes(r.of([0, 0, r.below(40)])),
            this.vnet,
            r.of([0, 0, 12, 24, 25, 41, 0xffffffff]),
            r.of(LENGTHS),
          ),
          r,
        );
        if (name === 'outdev' || r.chance(0.3)) break;
        this.sockets.outdev.slow(false);
        await socket.refused();
        break;
      case 2:
        socket.write(onWire(Buffer.alloc(MAX_FRAME_BYTES, r.below(256)), this.vnet, 0));
        break;
      default: {
        const frame = frames(plan(r, this.vnet, this.rounds), this.oracle.secret())[0]!;
        const wire = onWire(frame, this.vnet, 0);
        socket.write(wire.subarray(0, r.between(1, wire.length - 1)), r);
        socket.drop();
      }
    }
  }

  private async disconnect(): Promise<void> {
    const name = this.r.of(NAMES);
    this.sockets[name].drop();
    if (this.r.chance(0.7)) await this.sockets[name].connect();
  }

  // The quiet

  /** All four sockets are there, each at the border of two frames. */
  private async whole(): Promise<void> {
    const { outdev } = this.sockets;
    outdev.slow(false);
    for (const name of NAMES) {
      const socket = this.sockets[name];
      if (socket.clean) continue;
      // What is said to outdev is not listened to.
      if (socket !== outdev) await socket.refused();
      await socket.connect();
    }
  }

  /** What the primary alone is believed comes out behind all that was sent before. */
  private async barrier(): Promise<void> {
    const frame = arpFrame(ARPOP_REPLY);
    frame.writeUInt32BE(++this.marker, ARP_TARGET_IP);
    await this.comesOut(frame, () => {});
  }

  private async honestPair(): Promise<void> {
    const text = `honest ${++this.marker}`;
    const frame = buildFrame(buildUdp({ dport: 40_200, payload: text }));
    await this.comesOut(frame, () => this.sockets.secondary_in.write(onWire(frame, this.vnet, 0)));
  }

  private async comesOut(frame: Buffer, also: () => void): Promise<void> {
    const key = frame.toString('latin1');
    let again = 0;
    await until(() => {
      this.check();
      if (this.seen.has(key)) return true;
      if (Date.now() < again) return false;
      again = Date.now() + RESEND_MS;
      also();
      this.sockets.primary_in.write(onWire(frame, this.vnet, 0));
      return false;
    }, 'an honest frame at outdev');
  }

  private honest(port: number, payload: string): Buffer {
    return onWire(buildFrame(buildUdp({ dport: port, payload })), this.vnet, 0);
  }

  /**
   * Made when it resolves: the controller's hello behind it is answered. What the secondary has sent is in its socket
   * by then.
   */
  private async checkpoint(): Promise<void> {
    const { notify_dev: n, secondary_in: s } = this.sockets;
    if (!n.clean) await n.connect();
    if (!s.clean) await s.connect();
    const text = (words: string): Buffer => onWire(Buffer.from(words), this.vnet, 0);
    this.oracle.checkpointAsked();
    n.write(text('COLO_CHECKPOINT'), this.r);
    if (this.r.chance(0.1)) await n.connect();
    const before = this.replies;
    n.write(text('COLO_USERSPACE_PROXY_INIT'));
    await until(() => {
      this.check();
      return this.replies > before;
    }, 'an answer to the controller');
    this.oracle.checkpointDone();
  }
}
