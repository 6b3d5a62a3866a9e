// What a safe comparer does with a flow: which packets of the primary leave in which step, and whether a checkpoint is
// asked for. Once it is, nothing more is compared until the checkpoint: the secondary is about to be replaced.

import type { Flow, FragmentAbout, Packet, Side } from './flow';
import { SafeTcpModel } from './safe-tcp-model';

export interface SafeStep {
  /** In the order in which they leave. */
  out: number[];
  /** A checkpoint is asked for in this step. */
  asked: boolean;
}

export interface SafeResult {
  steps: SafeStep[];
  /** Never leave as they are. */
  replaced: Set<number>;
  /** May leave before the checkpoint or with it, or not at all. */
  uncertain: Set<number>;
  /** Checkpoint steps before which asking is as good as waiting. */
  uncertainAsked: Set<number>;
}

export function safeResult(flow: Flow): SafeResult {
  const model = new SafeModel();
  const uncertainAsked = new Set<number>();
  const steps = flow.steps.map((step, i): SafeStep => {
    if (model.tcp.reachedBack) uncertainAsked.add(flow.steps.findIndex((s, at) => at >= i && s.side === 'checkpoint'));
    if (step.side === 'checkpoint') return { out: model.checkpoint(), asked: false };
    const askedBefore = model.asked;
    for (const packet of step.packets) model.take(step.side, packet);
    return { out: model.takeOut(), asked: model.asked && !askedBefore };
  });
  return { steps, replaced: model.tcp.replaced, uncertain: model.tcp.uncertain, uncertainAsked };
}

/** A whole datagram, with the packets that it came in. */
interface Datagram {
  compared: Buffer;
  packets: Packet[];
}

class SafeModel {
  readonly tcp = new SafeTcpModel();
  asked = false;
  private paused = false;
  private readonly whole: Record<Side, Datagram[]> = { p: [], s: [] };
  /** Fragments of datagrams that are not whole yet. */
  private readonly parts: Record<Side, Map<number, Packet[]>> = { p: new Map(), s: new Map() };
  private out: number[] = [];

  take(side: Side, packet: Packet): void {
    const { about } = packet;
    if (about.kind === 'pass') {
      if (side === 'p') this.out.push(packet.n);
      else if (about.asksAddress) this.asked = true;
      return;
    }
    if (about.kind === 'fragment') {
      this.takeFragment(side, packet, about);
      return;
    }
    if (side === 's' && this.paused) return;
    if (about.kind === 'tcp') {
      const verdict = side === 'p' ? this.tcp.primary(packet, this.paused) : this.tcp.secondary(packet);
      this.out.push(...this.tcp.out.splice(0));
      if (verdict === 'diverged') this.pause();
      return;
    }
    this.takeDatagram(side, { compared: about.compared, packets: [packet] });
  }

  takeOut(): number[] {
    return this.out.splice(0);
  }

  checkpoint(): number[] {
    const datagrams = this.whole.p.flatMap((one) => one.packets);
    const held = [...datagrams, ...this.tcp.checkpoint()].sort((a, b) => a.n - b.n);
    this.whole.p = [];
    this.whole.s = [];
    this.asked = false;
    this.paused = false;
    return held.map((packet) => packet.n);
  }

  private takeFragment(side: Side, packet: Packet, about: FragmentAbout): void {
    const parts = this.parts[side].get(about.datagram) ?? [];
    parts.push(packet);
    this.parts[side].set(about.datagram, parts);
    if (parts.length < about.count) return;
    this.parts[side].delete(about.datagram);
    this.takeDatagram(side, { compared: about.compared, packets: parts });
  }

  private takeDatagram(side: Side, datagram: Datagram): void {
    if (side === 's' && this.paused) return;
    this.whole[side].push(datagram);
    if (!this.paused) this.compareDatagrams();
  }

  private compareDatagrams(): void {
    const { p, s } = this.whole;
    while (p.length > 0 && s.length > 0) {
      if (!p[0]!.compared.equals(s[0]!.compared)) {
        this.pause();
        return;
      }
      this.out.push(...p.shift()!.packets.map((packet) => packet.n));
      s.shift();
    }
  }

  private pause(): void {
    this.asked = true;
    this.paused = true;
  }
}
