// An attack on a `colo qemu netdev` process with mirror, two redirectors and a rewriter: whatever comes over its five
// sockets, each way carries what was sent into it and nothing of another one.
//
//   host -> mirror (a copy), guest        guest -> out        back -> rewriter -> host

import { buildFrame } from '../../../lib/build-frame';
import { buildUdp } from '../../../lib/build-packet';
import { until } from '../../../lib/chardev-peer';
import { frames, plan, spoil } from './frames';
import { contentOf } from './oracle';
import { AttackedProcess } from './process';
import type { Random } from './random';
import { AttackedSocket, MAX_FRAME_BYTES, onWire } from './wire';

type Name = 'guest' | 'host' | 'mirror' | 'out' | 'back';
const NAMES: readonly Name[] = ['guest', 'host', 'mirror', 'out', 'back'];
/** Where what comes out was sent into. */
const ORIGIN: Record<Name, Name | undefined> = {
  guest: 'host',
  host: 'back',
  mirror: 'host',
  out: 'guest',
  back: undefined,
};
const TALKERS = ['guest', 'host', 'back'] as const;
const LENGTHS = [0, 1, MAX_FRAME_BYTES + 1, 0x7fffffff, 0xffffffff];
const MOST_WAITING = 1 << 20;
const RESEND_MS = 200;
const TCP_HEADER_BYTES = 60;

/** The rewriter changes TCP headers, and nothing else. */
function essence(frame: Buffer): string {
  const content = contentOf(frame);
  if (content?.kind !== 'tcp') return frame.toString('latin1');
  const out = Buffer.from(frame);
  const header = out.length - TCP_HEADER_BYTES - content.payload.length;
  out.fill(0, Math.max(34, header), out.length - content.payload.length);
  return out.toString('latin1');
}

export class NetdevAttack {
  readonly process: AttackedProcess;
  framesSent = 0;
  framesCarried = 0;
  rounds = 0;
  private readonly sockets: Record<Name, AttackedSocket>;
  private readonly sent: Record<Name, Set<string>>;
  private readonly seen = new Set<string>();
  private marker = 0;
  private fault: unknown;

  constructor(
    private readonly r: Random,
    dir: string,
  ) {
    const at = (name: Name): string => `unix:${dir}/${name},server`;
    this.process = new AttackedProcess([
      ...['netdev', '--guest', at('guest'), '--host', at('host')],
      ...(['mirror', 'out', 'back'] as const).flatMap((name) => ['--chardev', `id=${name},${at(name)}`]),
      ...['--filter', 'mirror,id=f0,queue=tx,outdev=mirror', '--filter', 'rewriter,id=f1,max_flows=64'],
      ...['--filter', 'redirector,id=f2,queue=rx,indev=back', '--filter', 'redirector,id=f3,queue=rx,outdev=out'],
    ]);
    this.sent = Object.fromEntries(NAMES.map((name) => [name, new Set<string>()])) as Record<Name, Set<string>>;
    this.sockets = Object.fromEntries(
      NAMES.map((name) => [
        name,
        new AttackedSocket(
          `${dir}/${name}`,
          false,
          false,
          (frame) => {
            this.framesSent++;
            this.sent[name].add(essence(frame));
          },
          (frame) => this.carried(name, frame),
          () => this.process.taken(name),
          (error) => {
            this.fault ??= error;
          },
        ),
      ]),
    ) as Record<Name, AttackedSocket>;
  }

  private carried(name: Name, frame: Buffer): void {
    this.framesCarried++;
    const origin = ORIGIN[name];
    this.seen.add(`${name} ${frame.toString('latin1')}`);
    if (origin === undefined) throw new Error(`${name} gives out a frame: ${frame.toString('hex')}`);
    if (!this.sent[origin].has(essence(frame)))
      throw new Error(`${origin} has not sent what came out at ${name}: ${frame.toString('hex')}`);
  }

  async start(): Promise<void> {
    await this.process.isReady();
    await this.quiet();
  }

  check(): void {
    this.process.lives();
    if (this.fault !== undefined) throw this.fault;
  }

  async round(): Promise<void> {
    const { r } = this;
    this.rounds++;
    for (let n = r.between(1, 60); n > 0; n--) {
      await this.act();
      if (r.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
      this.check();
    }
    await this.quiet();
  }

  private async act(): Promise<void> {
    const { r, sockets } = this;
    const name = r.of(NAMES);
    const socket = sockets[name];
    const dice = r.next();
    if (dice < 0.02) {
      socket.drop();
      if (r.chance(0.7)) await socket.connect();
    } else if (dice < 0.04) {
      const bytes = r.bytes(r.between(1, 3000));
      socket.write(r.chance(0.5) ? bytes : onWire(bytes, false, 0, r.of(LENGTHS)), r);
    } else if (dice < 0.05) {
      socket.write(onWire(Buffer.alloc(MAX_FRAME_BYTES, r.below(256)), false, 0));
    } else {
      const talker = r.of(TALKERS);
      for (const frame of frames(plan(r, false, this.rounds), `${talker} says ${r.below(100)}`)) {
        sockets[talker].write(onWire(r.chance(0.4) ? spoil(r, frame, 0) : frame, false, 0), r);
      }
    }
    if (NAMES.some((each) => sockets[each].backlogBytes > MOST_WAITING))
      await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** All five are there, and an honest frame passes on every way, behind all that was sent before. */
  async quiet(): Promise<void> {
    for (const name of NAMES) if (!this.sockets[name].clean) await this.sockets[name].connect();
    const frame = buildFrame(buildUdp({ payload: `honest ${++this.marker}` }));
    const ends = (['guest', 'mirror', 'out', 'host'] as const).map((name) => `${name} ${frame.toString('latin1')}`);
    let again = 0;
    await until(() => {
      this.check();
      if (ends.every((end) => this.seen.has(end))) return true;
      if (Date.now() < again) return false;
      again = Date.now() + RESEND_MS;
      for (const talker of TALKERS) this.sockets[talker].write(onWire(frame, false, 0));
      return false;
    }, 'an honest frame on every way');
    this.seen.clear();
    for (const name of NAMES) this.sent[name].clear();
    // What was said again in vain may still be on its way.
    for (const name of NAMES) this.sent[name].add(essence(frame));
  }
}
