// Are the rules still there? Somebody else's firewall reload empties the tables, and a node whose packets pass the
// daemon by looks as well as one that has nothing to complain of. So the rules are looked at whenever the kernel tells
// of a change, and at intervals.

import type { Logger } from './log';

/** The rules of this host, as far as the daemon has to do with them. All may reject with OperatorError. */
export interface HostRules {
  /** What is missing, in words, by node index; a node that has all it needs is left out. */
  missing(): Promise<ReadonlyMap<number, readonly string[]>>;
  /** Nodes for which `colo rules apply` has made rules that nobody has removed since. */
  applied(): ReadonlySet<number>;
  /** Puts back what is missing of those. Resolves with what was done, in words. */
  restore(): Promise<readonly string[]>;
  /**
   * Of a secondary without a forward port: what its guest's port needs before it may join the outer bridge. Resolves
   * with what was done, in words.
   */
  takeOver(index: number): Promise<readonly string[]>;
  /** And the other way round, for a guest that is a secondary again; nothing where it has not taken over. */
  isolate(index: number): Promise<readonly string[]>;
  /** Calls back when the kernel reports a change that may concern the rules. */
  watch(onNotice: () => void): { close(): void };
}

/** A reload reports each rule: one look for all of them. */
const SETTLE_MS = 50;
/**
 * Changes without a notice (iptables-legacy, sysctls) are found by looking at intervals: a look starts a dozen small
 * programs.
 */
const INTERVAL_MS = 5000;
/** After a look that found the rules amiss. */
const AMISS_INTERVAL_MS = 1000;

export class RulesWatch {
  private missingNow: ReadonlyMap<number, readonly string[]> = new Map();
  /** Nodes whose rules this process has seen in place: those of others, made by hand, may look otherwise. */
  private readonly seen = new Set<number>();
  private timer: NodeJS.Timeout | undefined;
  private notices: { close(): void } | undefined;
  private looking = false;
  private again = false;
  private closed = false;
  private complaint = '';
  /** What was done to put the rules back; the next look shows whether it has helped. */
  private done: readonly string[] | undefined;
  /** Times that rules were found gone, and that they were put back. */
  losses = 0;
  restored = 0;

  constructor(
    private readonly rules: HostRules,
    private readonly nodes: readonly number[],
    private readonly restores: boolean,
    /** The rules of a node are gone, or (empty) back. */
    private readonly onChange: (index: number, missing: readonly string[]) => void,
    private readonly log: Logger,
  ) {}

  start(): void {
    this.notices = this.rules.watch(() => this.after(SETTLE_MS));
    this.after(0);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.notices?.close();
  }

  /** What was there and is there no longer, in words. */
  missing(index: number): readonly string[] {
    return this.missingNow.get(index) ?? [];
  }

  private after(ms: number): void {
    if (this.closed) return;
    if (this.looking) {
      this.again ||= ms < AMISS_INTERVAL_MS;
      return;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), ms);
    this.timer.unref();
  }

  private async look(): Promise<void> {
    this.looking = true;
    this.again = false;
    try {
      await this.judge(await this.rules.missing());
      this.complaint = '';
    } catch (error) {
      this.complain((error as Error).message);
    }
    this.looking = false;
    this.after(this.again ? SETTLE_MS : this.missingNow.size > 0 ? AMISS_INTERVAL_MS : INTERVAL_MS);
  }

  private async judge(found: ReadonlyMap<number, readonly string[]>): Promise<void> {
    const applied = this.rules.applied();
    const amiss = new Map<number, readonly string[]>();
    for (const index of this.nodes) {
      const missing = found.get(index);
      if (missing === undefined) this.seen.add(index);
      else if (applied.has(index) || this.seen.has(index)) amiss.set(index, missing);
    }
    const before = this.missingNow;
    this.missingNow = amiss;
    if (this.closed) return;
    for (const index of this.nodes) {
      const now = amiss.get(index) ?? [];
      if (now.join() === (before.get(index) ?? []).join()) continue;
      if (now.length > 0 && !before.has(index)) this.losses++;
      this.onChange(index, now);
    }
    if (this.done !== undefined && amiss.size === 0) {
      this.restored++;
      this.log.warn({ done: this.done }, 'the rules are put back');
      this.done = undefined;
    }
    if (this.restores && [...amiss.keys()].some((index) => applied.has(index))) await this.putBack();
  }

  private async putBack(): Promise<void> {
    this.done = await this.rules.restore();
    this.again = true;
  }

  /** Once for each reason: it comes again at every look. */
  private complain(why: string): void {
    if (why === this.complaint || this.closed) return;
    this.complaint = why;
    this.log.warn({ error: why }, 'whether the rules are in place cannot be told, or they cannot be put back');
  }
}
