// The primary's side of a stream link: what goes to the PVM is read at its port, and crosses the link; what the SVM has
// sent comes by it.

import { NativeDigester } from '../io/digester';
import type { OpenChannel } from '../link/channel';
import type { LinkEnd } from '../link/link-channel';
import type { EpochMatch } from '../node/epoch-match';
import { PrimaryLink, type PrimaryLinkPorts } from '../node/primary-link';
import { DIGESTS } from '../node/secondary-link';
import type { PrimaryWords } from '../pmycolo/primary-words';
import { GuestFrames } from './guest-frames';
import type { Logger } from './log';
import type { NodeSettings } from './node-config';

/** A link as a node is given it. */
export interface NodeLink {
  /** Keyed digests cross it in the place of the SVM's payload, where both sides want that. */
  readonly digests: boolean;
  channel(end: LinkEnd): OpenChannel;
}

export class PrimaryStream {
  readonly node: PrimaryLink;
  private readonly frames: GuestFrames;

  /** Throws OperatorError. */
  constructor(
    settings: NodeSettings,
    link: NodeLink,
    match: EpochMatch,
    ports: Omit<PrimaryLinkPorts, 'open' | 'log' | 'digests'>,
    said: PrimaryWords,
    seed: readonly [number, number],
    log: Logger,
  ) {
    const end = {
      vm: settings.name,
      kind: 'packets',
      role: 'primary',
      generation: 0,
      features: link.digests ? [DIGESTS] : [],
      epoch: () => 0,
    } as const;
    const digests = { said, digester: (key: Buffer) => new NativeDigester(key) };
    this.node = new PrimaryLink(
      match,
      { ...ports, log, open: link.channel(end), ...(link.digests && { digests }) },
      seed,
    );
    this.frames = new GuestFrames(
      { interface: settings.guestPort, direction: 'outgoing' },
      (port, count) => {
        for (let i = 0; i < count; i++) this.node.clientFrame(port.arena, port.offset(i), port.bytes(i));
        this.node.endBatch();
      },
      log,
    );
  }

  /** To be called every 50 ms or so. */
  tick(): void {
    const lost = this.frames.newlyLost();
    if (lost > 0) this.node.framesLost(lost);
  }

  status(): Record<string, unknown> {
    const { match, up } = this.node;
    return { link: { up, epochs: match.state } };
  }

  counters(): Record<string, number> {
    return {
      ...this.node.channelCounters(),
      ...this.node.counters.snapshot(),
      ...this.node.digestCounters(),
      link_port_frames_lost: this.frames.lost,
    };
  }

  close(): void {
    this.frames.close();
    this.node.close();
  }
}
