// What was changed and how it was before, so that removing the rules restores it: a file in the state directory,
// written before each change. It may get lost; the rules themselves are found by their marks.

import { closeSync, openSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../core/errors';
import { makeStateDir } from '../io/state-dir';

export type Change =
  | { kind: 'sysctl'; path: string; was: string; set: string }
  | { kind: 'bridge'; name: string; alias: string }
  /** `index` is the interface's: another one of the same name is not meant. */
  | { kind: 'port'; name: string; index: number; bridge: string | null; was: string | null; up: boolean }
  /** The interface did ARP. */
  | { kind: 'arp'; name: string; index: number }
  /** The guest behind this port is about to take over, or (`alone`) has: nothing to undo. */
  | { kind: 'opening'; name: string; index: number }
  | { kind: 'alone'; name: string; index: number }
  | { kind: 'netfilter'; name: string; iptables: boolean; ip6tables: boolean }
  | { kind: 'clsact'; name: string; index: number }
  /** Tables of iptables-nft (`ip raw`, ...) that were there before ours. */
  | { kind: 'tables'; was: string[] };

interface Content {
  version: 1;
  /** Of the whole host: undone with the last node. */
  host: Change[];
  nodes: Record<string, Change[]>;
}

const LOCK_WAIT_MS = 20_000;
const LOCK_POLL_MS = 20;

export class Journal {
  private readonly file: string;
  private readonly lock: string;
  private content: Content = { version: 1, host: [], nodes: {} };

  private constructor(private readonly dir: string) {
    this.file = join(dir, 'rules.json');
    this.lock = join(dir, 'rules.lock');
  }

  /** Runs `work` with the journal, while no other process has it. */
  static async use<T>(dir: string, work: (journal: Journal) => Promise<T>): Promise<T> {
    const journal = new Journal(dir);
    await journal.open();
    try {
      return await work(journal);
    } finally {
      journal.close();
    }
  }

  /** As it is now, without waiting for a change in progress; not to be written. */
  static look(dir: string): Journal {
    const journal = new Journal(dir);
    journal.read();
    return journal;
  }

  private async open(): Promise<void> {
    try {
      // As the daemon does: its control socket is usually in it, and users of allowUids have to pass.
      makeStateDir(this.dir);
      for (let waited = 0; !this.takeLock(); waited += LOCK_POLL_MS) {
        if (waited > LOCK_WAIT_MS) {
          throw new OperatorError(
            'ELOCK',
            `another process changes the rules (${this.lock})`,
            'wait for it, or end it',
          );
        }
        await sleep(LOCK_POLL_MS);
      }
    } catch (cause) {
      if (cause instanceof OperatorError) throw cause;
      throw new OperatorError(
        'ESTATEDIR',
        `cannot write in ${this.dir}: ${(cause as Error).message}`,
        'run it as root',
        { cause },
      );
    }
    this.read();
  }

  private takeLock(): boolean {
    try {
      const fd = openSync(this.lock, 'wx', 0o600);
      writeFileSync(fd, `${process.pid}`);
      closeSync(fd);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (!this.lockIsStale()) return false;
    rmSync(this.lock, { force: true });
    return false;
  }

  /** Left behind by a process that was killed. An empty one is just being made. */
  private lockIsStale(): boolean {
    try {
      const pid = Number(readFileSync(this.lock, 'utf8'));
      if (pid === 0) return false;
      process.kill(pid, 0);
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ESRCH';
    }
  }

  private read(): void {
    let text: string;
    try {
      text = readFileSync(this.file, 'utf8');
    } catch {
      return;
    }
    try {
      const content = JSON.parse(text) as Content;
      if (content.version === 1 && Array.isArray(content.host) && typeof content.nodes === 'object')
        this.content = content;
    } catch {
      // Torn by a crash of the host: as if it were lost.
    }
  }

  private close(): void {
    rmSync(this.lock, { force: true });
    try {
      // Only when nothing else is there.
      rmdirSync(this.dir);
    } catch {
      // The daemon's files are.
    }
  }

  /** Changes of the host (undefined) or of a node, oldest first. */
  changes(index?: number): readonly Change[] {
    return index === undefined ? this.content.host : (this.content.nodes[index] ?? []);
  }

  /** A node that rules were applied for. */
  knows(index: number): boolean {
    return this.content.nodes[index] !== undefined;
  }

  /** All that rules were applied for. */
  get nodes(): ReadonlySet<number> {
    return new Set(Object.keys(this.content.nodes).map(Number));
  }

  get hasNodes(): boolean {
    return Object.keys(this.content.nodes).length > 0;
  }

  /** To be called before the change. What was noted about the same thing before stays: it knows how it was at first. */
  note(index: number | undefined, change: Change): void {
    if (index !== undefined) this.content.nodes[index] ??= [];
    const list = index === undefined ? this.content.host : this.content.nodes[index]!;
    const at = list.findIndex((known) => sameThing(known, change));
    if (at < 0) list.push(change);
    else if (isOtherInterface(list[at]!, change)) list[at] = change;
    else return;
    this.save();
  }

  /** A node has rules, though nothing may have had to be changed but them. */
  begin(index: number): void {
    if (this.knows(index)) return;
    this.content.nodes[index] = [];
    this.save();
  }

  /** It has not taken over, or no longer. False: that was so. */
  noteSecondary(index: number): boolean {
    const list = this.changes(index);
    const others = list.filter(({ kind }) => kind !== 'alone' && kind !== 'opening');
    if (others.length === list.length) return false;
    this.content.nodes[index] = others;
    this.save();
    return true;
  }

  forget(index: number | undefined): void {
    if (index === undefined) this.content.host = [];
    else delete this.content.nodes[index];
    this.save();
  }

  private save(): void {
    if (this.content.host.length === 0 && !this.hasNodes) {
      rmSync(this.file, { force: true });
      return;
    }
    const next = `${this.file}.new`;
    writeFileSync(next, `${JSON.stringify(this.content, null, 2)}\n`, { mode: 0o600 });
    renameSync(next, this.file);
  }
}

function sameThing(a: Change, b: Change): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind === 'tables') return true;
  return a.kind === 'sysctl' ? a.path === (b as typeof a).path : a.name === (b as typeof a).name;
}

/** The interface was made anew since, so what is known of the old one is worth nothing. */
function isOtherInterface(known: Change, now: Change): boolean {
  return 'index' in known && 'index' in now && known.index !== now.index;
}
