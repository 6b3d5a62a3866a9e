// The secondary's side of a stream link, until a failover: the guest's port is in no bridge, what it sends crosses the
// link, and what comes by the link is put in.

import { randomBytes, randomUUID } from 'node:crypto';
import { DigestSender } from '../digest/sender';
import { NativeDigester } from '../io/digester';
import { emptyPort } from '../io/frame-port';
import { mapFile } from '../io/map-file';
import { KEPT_EPOCH_WORDS, KeptEpoch } from '../node/kept-epoch';
import type { CuttingQueue, Verdicts } from '../node/ports';
import { DIGESTS, SecondaryLink, type SecondaryLinkPorts } from '../node/secondary-link';
import type { GuestAddresses } from '../seccolo/guest-addresses';
import { Neighbours } from '../seccolo/neighbours';
import { clock } from './clock';
import { GuestFrames } from './guest-frames';
import type { Logger } from './log';
import type { NodeSettings } from './node-config';
import type { NodeLink } from './primary-stream';
import { statePath } from './state-file';

/** AES-128. */
const DIGEST_KEY_BYTES = 16;

export class SecondaryStream {
  readonly node: SecondaryLink;
  /** What the node takes for the guest's queue and its peers'. */
  readonly guest: CuttingQueue;
  readonly forward: Verdicts;
  /** The link is. */
  closed = false;
  private readonly neighbours: Neighbours;
  private readonly digests: DigestSender | undefined;
  private readonly frames: GuestFrames;

  /** Throws OperatorError. */
  constructor(
    settings: NodeSettings,
    link: NodeLink,
    node: SecondaryLinkPorts['node'],
    epoch: KeptEpoch,
    addresses: GuestAddresses,
    log: Logger,
  ) {
    const { guestPort, name } = settings;
    // Nobody needs it for longer than this process lives.
    const key = link.digests ? randomBytes(DIGEST_KEY_BYTES) : undefined;
    this.digests = key && new DigestSender(new NativeDigester(key));
    const end = {
      vm: name,
      kind: 'packets',
      role: 'secondary',
      generation: 0,
      features: key === undefined ? [] : [DIGESTS],
      ...(key !== undefined && { digestKey: key.toString('hex') }),
      // It changes.
      get memory() {
        return epoch.memory;
      },
      epoch: () => epoch.value,
    } as const;
    const port = {
      send: (buf: Buffer, off: number, bytes: number) => this.frames.send(buf, off, bytes),
      empty: () => emptyPort(guestPort),
    };
    this.neighbours = new Neighbours(addresses);
    this.node = new SecondaryLink({
      clock,
      log,
      node,
      epoch,
      port,
      neighbours: this.neighbours,
      ...(this.digests !== undefined && { digests: this.digests }),
      open: link.channel(end),
    });
    const { guest, forward } = this.node.verdicts;
    this.forward = forward;
    this.guest = {
      accept: (id) => guest.accept(id),
      acceptRewritten: (id, buf, off, len) => guest.acceptRewritten(id, buf, off, len),
      drop: (id) => guest.drop(id),
      drain: () => this.frames.drain(),
      // Frames come whole.
      showWhole: () => {},
    };
    this.frames = new GuestFrames(
      { interface: guestPort, direction: 'incoming' },
      (from, count) => {
        for (let i = 0; i < count; i++) this.node.guestFrame(from.arena, from.offset(i), from.bytes(i));
        this.node.endGuestBatch();
      },
      log,
    );
  }

  /** To be called every 50 ms or so. */
  tick(): void {
    const lost = this.frames.newlyLost();
    if (lost > 0) this.node.framesLost(lost);
    this.node.tick();
  }

  status(): Record<string, unknown> {
    return { link: { up: this.node.up, epoch: this.node.presentEpoch } };
  }

  counters(): Record<string, number> {
    const { asked, answered } = this.neighbours.report();
    return {
      ...this.node.channelCounters(),
      ...this.node.counters.snapshot(),
      ...this.digests?.counters.snapshot(),
      link_port_frames_lost: this.frames.lost,
      neighbour_questions: asked,
      neighbour_answers: answered,
    };
  }

  /** A failover: nobody but the node hears of the guest any more, until close(). */
  closeLink(): void {
    this.closed = true;
    this.node.close();
  }

  close(): void {
    this.frames.close();
    this.node.close();
  }
}

/** Once for each node and process: the file is locked. Throws OperatorError. */
export function keptEpoch({ stateDir, index }: NodeSettings): KeptEpoch {
  const words = mapFile(statePath(stateDir, 'epochs', index), 4 * KEPT_EPOCH_WORDS);
  return new KeptEpoch(new Uint32Array(words.buffer, words.byteOffset, KEPT_EPOCH_WORDS), randomUUID);
}
