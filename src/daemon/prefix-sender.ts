// The way out for what is cut from held packets: a packet socket on the outer bridge, with the header that the guest's
// SYN bore. A bridge sends on what is written to it as its own, so the frame goes to the port behind which its
// destination is, is not queued again, and moves no address in the bridge's table.

import { LinkHeads, MAX_LINK_HEAD_BYTES } from '../conntrack/link-heads';
import { OperatorError } from '../core/errors';
import { PREFIX_PACKET_BYTES } from '../core/limits';
import { ackFilter, synFilter } from '../io/frame-filter';
import { links } from '../io/link';
import { PacketSocket } from '../io/packet-socket';
import { PARSE_OK, parseIp } from '../packet/parse';
import { PacketView, TCP_ACK } from '../packet/view';
import { nowMs } from './clock';
import type { Logger } from './log';
import { watchFrames } from './watch-frames';

/** So long after a connection without a header the guest's other frames are listened to, too. */
const LEARN_MS = 3000;
/**
 * Of what is listened to then: acknowledgements, and segments as they are retransmitted, but nothing of a bulk
 * transfer.
 */
const MAX_LEARN_BYTES = 1600;
/** A bridge that cannot be sent on is tried again so often, while there is something to send. */
const RETRY_MS = 500;

export class PrefixSender {
  /** Not sent: the connection's header is not known yet; the bridge did not take it. */
  readonly counters = { prefix_without_macs: 0, prefix_send_failures: 0 };
  private readonly heads: LinkHeads;
  private readonly watch: { close(): void };
  private readonly frame = Buffer.allocUnsafeSlow(MAX_LINK_HEAD_BYTES + PREFIX_PACKET_BYTES);
  private readonly view = new PacketView();
  private socket: PacketSocket | undefined;
  /** For the headers of connections that are older than this process, or were forgotten. */
  private learning: PacketSocket | undefined;
  private learningEnds: NodeJS.Timeout | undefined;
  private triedMs = Number.NEGATIVE_INFINITY;
  private closed = false;
  private said = false;

  /** The guest's port and the bridge may come later. Throws OperatorError. */
  constructor(
    private readonly guestPort: string,
    private readonly bridge: string,
    seed: readonly [number, number],
    private readonly log: Logger,
  ) {
    this.heads = new LinkHeads(seed);
    this.watch = watchFrames(
      { interface: guestPort, filter: synFilter() },
      (frame, { vlan }) => this.heads.learn(frame, frame.length, vlan),
      "the guest's SYNs, by which beginnings of held packets find their way,",
      log,
      true,
    );
    // It runs a program: the daemon is ready before.
    setImmediate(() => void this.open());
  }

  /** A packet of the guest's, from its IP header on. False: it was not sent. */
  emit(buf: Buffer, off: number, len: number): boolean {
    const { view, frame } = this;
    const at = parseIp(view, buf, off, len) === PARSE_OK ? this.heads.write(view, frame, MAX_LINK_HEAD_BYTES) : -1;
    if (at < 0) {
      this.counters.prefix_without_macs++;
      this.learn();
      return false;
    }
    buf.copy(frame, MAX_LINK_HEAD_BYTES, off, off + len);
    if (this.send(at, MAX_LINK_HEAD_BYTES - at + len)) return true;
    this.counters.prefix_send_failures++;
    return false;
  }

  get forgotten(): number {
    return this.heads.forgotten;
  }

  close(): void {
    this.closed = true;
    this.watch.close();
    this.endLearning();
    this.socket?.close();
  }

  /**
   * A connection that waits for the beginning of a held packet may wait for ever: the guest's next frame in it, at the
   * latest its retransmission, tells the header.
   */
  private learn(): void {
    if (this.learningEnds !== undefined) {
      if (this.learning?.closed === false) this.learningEnds.refresh();
      return;
    }
    try {
      this.learning = new PacketSocket(
        { interface: this.guestPort, filter: ackFilter(MAX_LEARN_BYTES) },
        { onFrame: (frame, { vlan }) => this.heads.learn(frame, frame.length, vlan, TCP_ACK) },
      );
    } catch (error) {
      // The port is gone, and the guest sends nothing; a later miss tries again.
      if (!(error instanceof OperatorError)) throw error;
    }
    this.learningEnds = setTimeout(() => this.endLearning(), LEARN_MS);
    this.learningEnds.unref();
  }

  private endLearning(): void {
    clearTimeout(this.learningEnds);
    this.learningEnds = undefined;
    this.learning?.close();
    this.learning = undefined;
  }

  private send(at: number, bytes: number): boolean {
    if (this.socket === undefined || this.socket.closed) {
      void this.open();
      return false;
    }
    try {
      return this.socket.send(this.frame, at, bytes);
    } catch (error) {
      this.lost(error);
      return false;
    }
  }

  private async open(): Promise<void> {
    const now = nowMs();
    if (this.closed || now - this.triedMs < RETRY_MS) return;
    this.triedMs = now;
    try {
      const link = (await links()).get(this.bridge);
      if (this.closed) return;
      // Its own frames may belong to another VLAN than the guest's do.
      if (link?.vlanFiltering === true) throw new OperatorError('EINVAL', `${this.bridge} filters VLANs`);
      this.socket = new PacketSocket({ interface: this.bridge }, { onFrame: () => {} });
      this.said = false;
    } catch (error) {
      this.lost(error);
    }
  }

  private lost(error: unknown): void {
    if (!(error instanceof OperatorError)) throw error;
    this.socket?.close();
    this.socket = undefined;
    if (this.said || this.closed) return;
    this.said = true;
    this.log.warn(
      { bridge: this.bridge, error: error.message },
      'beginnings of held packets cannot leave: where the guests cut their writes differently, both wait',
    );
  }
}
