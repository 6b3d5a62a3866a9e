// What a successor of this process has to know of its controllers, in a file of the state directory.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { ControlChannel } from '../nfnetlink-colo/control';
import type { Logger } from './log';

export class ControlState {
  /** The file is older than what there is to know: there was no room for it, or no right. */
  private unsaved = false;

  constructor(
    private readonly path: string,
    private readonly control: Pick<ControlChannel, 'save' | 'resume'>,
    private readonly log: Logger,
  ) {}

  /** Never throws: what it is called for, a failover above all, must not fail with it. */
  save(): void {
    const { path } = this;
    try {
      writeFileSync(`${path}.new`, JSON.stringify(this.control.save()), { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch (error) {
      if (!this.unsaved) {
        this.log.error(
          { path, error: (error as Error).message },
          'the control state cannot be kept: a restart would not know of the last change; make room, it is tried again',
        );
      }
      this.unsaved = true;
      return;
    }
    this.unsaved = false;
  }

  /** Tries again what could not be saved. */
  tick(): void {
    if (this.unsaved) this.save();
  }

  /** Goes on where an earlier process has stopped. False: nothing was left by one. */
  resume(nowMs: number): boolean {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch {
      return false;
    }
    let state: unknown;
    try {
      state = JSON.parse(text);
    } catch {
      state = undefined;
    }
    const why = this.control.resume(state, nowMs);
    if (why !== undefined) this.log.warn({ path: this.path, why }, 'the kept control state is unusable');
    return true;
  }
}
