// What a safe comparer does with a flow: which packets of the primary leave in which step, and whether a checkpoint is
// asked for. Once it is, nothing more is compared until the checkpoint: the secondary is about to be replaced.

import type { DatagramAbout, Flow, Packet, Side } from './flow';
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

class SafeModel {
  readonly tcp = new SafeTcpModel();
  asked = false;
  private paused = false;
  private primary: Packet[] = [];
  private secondary: Packet[] = [];
  private out: number[] = [];

  take(side: Side, packet: Packet): void {
    const { about } = packet;
    if (about.kind === 'pass') {
      if (side === 'p') this.out.push(packet.n);
      else if (about.asksAddress) this.asked = true;
      return;
    }
    if (side === 's' && this.paused) return;
    if (about.kind === 'tcp') {
      const verdict = side === 'p' ? this.tcp.primary(packet, this.paused) : this.tcp.secondary(packet);
      this.out.push(...this.tcp.out.splice(0));
      if (verdict === 'diverged') this.pause();
      return;
    }
    (side === 'p' ? this.primary : this.secondary).push(packet);
    if (!this.paused) this.compareDatagrams();
  }

  takeOut(): number[] {
    return this.out.splice(0);
  }

  checkpoint(): number[] {
    const held = [...this.primary, ...this.tcp.checkpoint()].sort((a, b) => a.n - b.n);
    this.primary = [];
    this.secondary = [];
    this.asked = false;
    this.paused = false;
    return held.map((packet) => packet.n);
  }

  private compareDatagrams(): void {
    while (this.primary.length > 0 && this.secondary.length > 0) {
      const p = this.primary[0]!.about as DatagramAbout;
      const s = this.secondary[0]!.about as DatagramAbout;
      if (!p.compared.equals(s.compared)) {
        this.pause();
        return;
      }
      this.out.push(this.primary.shift()!.n);
      this.secondary.shift();
    }
  }

  private pause(): void {
    this.asked = true;
    this.paused = true;
  }
}
