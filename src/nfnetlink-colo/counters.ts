// What the control channel counts.

import { Counters } from '../core/counters';

export const CONTROL_COUNTERS = [
  /** Datagrams received. */
  'datagrams',
  /** Messages handled, by generation. */
  'generation1_messages',
  'generation2_messages',
  'own_messages',
  /** Datagrams from a sender who may not speak: answered with EPERM. */
  'refused',
  /** Of these, those that were not even answered: their sender floods. */
  'refused_unread',
  /** Messages with a broken frame, broken attributes or a value that cannot be: answered with EINVAL. */
  'malformed',
  /** Messages of no known type: answered with EINVAL. */
  'unknown_type',
  /** Messages that are no request (an answer, NLMSG_NOOP...): not answered. */
  'ignored',
  /** Messages to a node that has no controller: EEXIST in generation 2, silence in generation 1. */
  'unknown_node',
  /** Messages that were answered with an error, the ones above included where they were. */
  'failed',
  /** Checkpoint requests sent to a controller. */
  'notices_sent',
  /** Times that a notice could not be sent at once; it is sent again. */
  'notices_delayed',
  /** Checkpoint requests for a node that has no controller to hear them. */
  'notices_unheard',
  /** Controllers that were lost. */
  'controllers_lost',
  /** Looks at the netlink ports that gave no answer. */
  'probes_failed',
  /** Answers that waited for a slow reader. */
  'answers_delayed',
  /** Answers that could not be delivered. */
  'answers_lost',
] as const;
export type ControlCounter = (typeof CONTROL_COUNTERS)[number];

export class ControlCounters extends Counters<ControlCounter> {
  private readonly slots: ReadonlyMap<ControlCounter, number>;

  constructor() {
    super(CONTROL_COUNTERS);
    this.slots = new Map(CONTROL_COUNTERS.map((name, i) => [name, i]));
  }

  add(name: ControlCounter): void {
    this.values[this.slots.get(name)!]!++;
  }

  get(name: ControlCounter): number {
    return this.values[this.slots.get(name)!]!;
  }
}
