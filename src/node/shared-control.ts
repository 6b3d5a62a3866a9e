// Several controllers of one node. Each speaks through a door of its own (of()), and most nodes have one. What two may
// not do is send the same checkpoint twice: the second would release what the guests have sent after it. So one of them
// leads, the first that has taken the node:
//
//                  the leader   another that has taken it    nobody has taken it
//   take (init)    -            joins the pair               begins a pair, leads
//   checkpoint     done         refused                      done
//   failover       done         done; the second is nothing  done
//   reset          done         refused before a failover    done
//   release, bypass rules: an operator's word, whoever brings it
//   is lost        next leads   no matter                    -
//
// Nobody changes the node's mode while another has it. The node is told of a loss when the last one that had taken it
// is gone: as long as one is there, somebody can still tell what has become of the other host.

import type { Answer, InitContext, LostController, NodeControl, NodeMode, Refusal, Reply } from './controller';

interface Taken {
  mode: NodeMode;
  /** In the order of their coming. */
  by: string[];
}

export class SharedControl {
  private readonly taken = new Map<number, Taken>();

  constructor(private readonly control: NodeControl) {}

  /** What the controllers that come by this way are given. `name` is for people, and tells them apart. */
  of(name: string): NodeControl {
    const { control } = this;
    return {
      init: (node, mode, context) => this.init(name, node, mode, context),
      checkpoint: (node) => this.ifLeading(name, node, () => control.checkpoint(node)),
      failover: (node) => control.failover(node),
      reset: (node) => {
        if (control.failedOver(node)) return control.reset(node);
        return this.ifLeading(name, node, () => control.reset(node));
      },
      failedOver: (node) => control.failedOver(node),
      release: (node) => control.release(node),
      controllerLost: (node, loss) => this.lost(name, node, loss),
      status: (node) => ({ ...control.status(node), ...this.several(node) }),
      stats: (node) => control.stats(node),
      bypassList: (node) => control.bypassList(node),
      bypassAdd: (node, rule) => control.bypassAdd(node, rule),
      bypassRemove: (node, rule) => control.bypassRemove(node, rule),
      bypassFlush: (node) => control.bypassFlush(node),
    };
  }

  private init(name: string, node: number, mode: NodeMode, context: InitContext): Answer {
    const taken = this.taken.get(node);
    const others = taken?.by.filter((other) => other !== name) ?? [];
    if (taken !== undefined && others.length > 0) {
      if (mode !== taken.mode)
        return refused('busy', `this node is ${taken.mode}, by the word of ${others.join(' and ')}`);
      // The pair goes on: a new one would forget its connections.
      if (!taken.by.includes(name)) taken.by.push(name);
      return undefined;
    }
    const answer = this.control.init(node, mode, context);
    if (answer === undefined) this.taken.set(node, { mode, by: [name] });
    return answer;
  }

  private lost(name: string, node: number, loss: LostController): void {
    const by = this.taken.get(node)?.by ?? [];
    const at = by.indexOf(name);
    if (at >= 0) by.splice(at, 1);
    if (by.length > 0) return;
    this.taken.delete(node);
    this.control.controllerLost(node, loss);
  }

  private ifLeading(name: string, node: number, act: () => Reply): Reply {
    const leader = this.taken.get(node)?.by[0];
    if (leader === undefined || leader === name) return act();
    return refused('forbidden', `${leader} leads this node, and was the first to take it`);
  }

  private several(node: number | undefined): Record<string, unknown> {
    const by = node === undefined ? [] : (this.taken.get(node)?.by ?? []);
    return by.length > 1 ? { controllers: [...by] } : {};
  }
}

function refused(kind: Refusal['refused'], why: string): Refusal {
  return { refused: kind, why };
}
