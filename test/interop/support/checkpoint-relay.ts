// Stands between two QEMUs in COLO, on the stream by which one becomes the other's copy, and learns from it of each
// checkpoint at a moment at which neither guest can run on: what it holds back, QEMU waits for.
//
//   primary                      relay                       secondary
//     | migration -----------------------------------------------> |
//     | <------------- told begun() <----------------------- READY |    the PVM stands still
//     | REQUEST -------------------------------------------------> |    the SVM stops
//     | <---------------------------------------------------- REPLY |    the PVM stops
//     | VMSTATE_SEND, memory, devices --> told bothStand() ------> |    both stand; the SVM is still what it was
//     | <----------------------------------------- VMSTATE_RECEIVED |
//     | <------------- told loaded() <-------------- VMSTATE_LOADED |    the SVM is the PVM's copy, and may run already
//
// The way back is nothing but messages of four bytes (big endian).

import { createConnection, createServer, type Server, type Socket } from 'node:net';

const Message = { READY: 0, REPLY: 2, LOADED: 6 } as const;

export interface Checkpoints {
  begun(): Promise<void>;
  bothStand(): Promise<void>;
  loaded(): Promise<void>;
}

export class CheckpointRelay {
  /** Checkpoints that the secondary has loaded. */
  loads = 0;
  /** What one of the steps failed with; nothing goes on from there. */
  failure: Error | undefined;
  private readonly server: Server;
  private sockets: Socket[] = [];
  /** The PVM's next byte means that it stands still, and so does the SVM. */
  private replied = false;
  private word = Buffer.alloc(0);

  private constructor(
    private readonly target: string,
    private readonly checkpoints: Checkpoints,
  ) {
    this.server = createServer((primary) => this.begin(primary));
  }

  /** Listens on the Unix socket `path` for the primary, and dials `target`, where the secondary listens. */
  static listen(path: string, target: string, checkpoints: Checkpoints): Promise<CheckpointRelay> {
    const relay = new CheckpointRelay(target, checkpoints);
    return new Promise((resolve, reject) => {
      relay.server.once('error', reject);
      relay.server.listen(path, () => resolve(relay));
    });
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private begin(primary: Socket): void {
    const secondary = createConnection(this.target);
    this.sockets = [primary, secondary];
    for (const [socket, other] of [
      [primary, secondary],
      [secondary, primary],
    ] as const) {
      socket.on('error', () => {});
      // A QEMU that dies is heard of at once by the other.
      socket.on('close', () => other.destroy());
    }
    primary.on('data', (bytes) => this.handle(primary, () => this.forth(bytes, primary, secondary)));
    secondary.on('data', (bytes) => this.handle(secondary, () => this.back(bytes, primary)));
  }

  /** Nothing more of this side until that is done. */
  private handle(socket: Socket, work: () => Promise<void>): void {
    socket.pause();
    work().then(
      () => socket.resume(),
      (error: Error) => {
        this.failure ??= error;
      },
    );
  }

  private async forth(bytes: Buffer, primary: Socket, secondary: Socket): Promise<void> {
    if (this.replied) {
      this.replied = false;
      await this.checkpoints.bothStand();
    }
    if (secondary.write(bytes) || primary.destroyed) return;
    await new Promise<void>((resolve) => {
      const goOn = (): void => {
        secondary.off('drain', goOn).off('close', goOn);
        resolve();
      };
      secondary.on('drain', goOn).on('close', goOn);
    });
  }

  private async back(bytes: Buffer, primary: Socket): Promise<void> {
    let rest = Buffer.concat([this.word, bytes]);
    for (; rest.length >= 4; rest = rest.subarray(4)) {
      const message = rest.readUInt32BE(0);
      if (message === Message.READY) await this.checkpoints.begun();
      if (message === Message.LOADED) {
        await this.checkpoints.loaded();
        this.loads++;
      }
      if (message === Message.REPLY) this.replied = true;
      primary.write(rest.subarray(0, 4));
    }
    this.word = rest;
  }
}
