// Makes the checkpoints of a pair behind sockets: as a QEMU whose monitor the comparison watches, or as a controller at
// its notify_dev.
//
//   QEMU     SVM stops, PVM stops (STOP), state copied, SVM resumes, PVM resumes (RESUME)
//   notify   both stop, the stream from the secondary is dry, state copied, COLO_CHECKPOINT, both resume when it must
//            have arrived: nothing answers it

import { Note } from '../daemon';
import { FakeQemu } from '../fake-qemu';
import { onTheStream } from './frame';
import type { SimSocket } from './socket';
import type { FramesWorld } from './world';

/** Longer than any pause of a comparison's process. */
const HEARD_US = 100_000;
const PACE_US = 30_000;
const AGAIN_US = 1000;

const text = (words: string): Buffer => onTheStream(Buffer.from(words), { vnetWord: false, vnetBytes: 0 });

export class FramesController {
  readonly qemu = new FakeQemu();
  readonly counts = { checkpoints: 0, asked: 0 };
  /** The guests are stopped, or about to be. */
  checkpointing = false;
  private wanted = false;
  private over = false;
  private lastUs = 0;
  private notify: SimSocket | undefined;
  private qemuHasSpoken = false;
  private heard = '';

  constructor(private readonly world: FramesWorld) {
    const { qemu } = this;
    qemu.enterColo('primary');
    qemu.onCheckpointRequest = () => this.asked();
    qemu.onWork = () => {
      this.qemuHasSpoken = true;
      world.loop.wake();
      // Its main loop.
      world.after(world.prng.logRange(10, 3000), () => qemu.run());
    };
    world.loop.watch({
      isReady: () => this.qemuHasSpoken,
      handle: () => {
        while (qemu.deliver(world.prng.range(1, 400)));
        this.qemuHasSpoken = false;
      },
    });
  }

  begin(): void {
    this.connect();
    const { periodUs } = this.world.scenario.base.controller;
    if (periodUs === 0) return;
    const again = (): void => {
      if (this.over) return;
      this.want();
      this.world.after(periodUs, again);
    };
    this.world.after(periodUs, again);
  }

  /** To the comparison. */
  connect(): void {
    const { world } = this;
    if (world.scenario.way === 'qmp') {
      if (!this.qemu.isConnected) this.qemu.accept();
      return;
    }
    const socket = world.peers.notifyDev.connect();
    if (socket === undefined) {
      if (!world.loop.ended) world.after(AGAIN_US, () => this.connect());
      return;
    }
    this.notify = socket;
    this.heard = '';
    socket.onSent = () => {
      this.heard += socket.take().toString('latin1');
      const asked = this.heard.split('DO_CHECKPOINT');
      this.heard = asked.at(-1)!.slice(-20);
      if (asked.length > 1) this.asked();
    };
    socket.says(text('COLO_USERSPACE_PROXY_INIT'));
  }

  disconnect(): void {
    if (this.world.scenario.way === 'qmp') this.qemu.hangUp();
    else this.notify?.ends();
    this.notify = undefined;
  }

  /** One of the guests is dead: no copy is possible. */
  end(): void {
    this.over = true;
    this.checkpointing = false;
  }

  private asked(): void {
    this.counts.asked++;
    this.world.after(this.world.prng.logRange(50, 3000), () => this.want());
  }

  private want(): void {
    this.wanted = true;
    this.consider();
  }

  private consider(): void {
    const { world } = this;
    if (!this.wanted || this.checkpointing || this.over) return;
    const wait = this.lastUs + PACE_US - world.nowUs;
    if (wait > 0) {
      world.after(wait, () => this.consider());
      return;
    }
    this.wanted = false;
    this.checkpointing = true;
    world.note(Note.CONTROL, 1, 0, () => 'controller: a checkpoint, the SVM stops');
    world.svm.stop();
    this.step(world.prng.below(world.scenario.stepUs), () => {
      world.pvm.stop();
      if (world.scenario.way === 'qmp') this.qemu.stopGuest();
      this.transfer();
    });
  }

  private step(delayUs: number, task: () => void): void {
    this.world.after(delayUs, () => {
      if (!this.over) task();
    });
  }

  private transfer(): void {
    const { world } = this;
    this.step(world.scenario.transferUs, () => {
      if (world.scenario.way === 'notify' && !world.forwardBack.empty) {
        this.transfer();
        return;
      }
      world.copyState();
      if (world.scenario.way === 'qmp') {
        world.svm.resume();
        this.step(world.prng.below(world.scenario.stepUs), () => this.resume());
        return;
      }
      // A comparison that is not connected is not told, and asks for another checkpoint.
      this.notify?.says(text('COLO_CHECKPOINT'));
      this.step(HEARD_US, () => {
        world.svm.resume();
        this.resume();
      });
    });
  }

  private resume(): void {
    const { world } = this;
    world.note(Note.CONTROL, 2, 0, () => 'controller: the PVM goes on');
    if (world.scenario.way === 'qmp') this.qemu.resumeGuest();
    world.pvm.resume();
    this.checkpointing = false;
    this.lastUs = world.nowUs;
    this.counts.checkpoints++;
    this.consider();
  }
}
