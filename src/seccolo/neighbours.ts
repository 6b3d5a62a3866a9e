// Answers the SVM's ARP and neighbour solicitations with answers that came to the PVM (seccolo/neighbour-answers).
// Answers to the PVM reach the SVM, too, by the primary's mirror; but a question that only the SVM asks reaches nobody
// and would cost a checkpoint. An answered question goes no further: the comparison takes those that it sees for lost
// addresses.

import { ETH_P_ARP, ETH_P_IPV6, FRAME_OK, FrameView, parseFrame } from '../packet/ethernet';
import { IPPROTO_ICMPV6 } from '../packet/view';
import { GuestAddresses } from './guest-addresses';
import { NeighbourAnswers } from './neighbour-answers';

const IPV6_BYTES = 40;
const IPV6_NEXT_HEADER = 6;
/** Router solicitation to redirect: neighbour discovery (RFC 4861). */
const FIRST_ND_TYPE = 133;
const LAST_ND_TYPE = 137;

export class Neighbours {
  private readonly answers = new NeighbourAnswers((family, address) => this.addresses.has(family, address));
  private readonly view = new FrameView();

  constructor(private readonly addresses = new GuestAddresses()) {}

  /** A frame of the primary's mirror, which has reached the PVM. The first `vnetBytes` are a virtio-net header. */
  heard(buf: Buffer, off: number, len: number, vnetBytes: number, nowMs: number): void {
    if (!this.concerns(buf, off + vnetBytes, len - vnetBytes)) return;
    const frame = buf.subarray(off + vnetBytes, off + len);
    this.addresses.note(frame, frame.length, 0, false);
    // This frame itself answers the SVM's waiting question.
    this.answers.heard(frame, frame.length, 0, nowMs);
  }

  /**
   * A frame of the SVM. Returns the answering frame, with a virtio-net header of the same size; the question then goes
   * no further.
   */
  question(buf: Buffer, off: number, len: number, vnetBytes: number, nowMs: number): Buffer | undefined {
    if (!this.concerns(buf, off + vnetBytes, len - vnetBytes)) return undefined;
    const frame = buf.subarray(off + vnetBytes, off + len);
    this.addresses.note(frame, frame.length, 0, true);
    const answer = this.answers.question(frame, frame.length, 0, nowMs);
    if (answer === undefined) return undefined;
    const out = Buffer.alloc(vnetBytes + answer.length);
    out.set(answer, vnetBytes);
    return out;
  }

  /** The SVM has become a copy of the PVM. */
  checkpoint(): void {
    this.answers.checkpoint();
  }

  report(): { asked: number; answered: number } {
    const { asked, answered } = this.answers;
    return { asked, answered };
  }

  /** Only ARP and neighbour discovery: nothing is allocated for other frames. */
  private concerns(buf: Buffer, off: number, len: number): boolean {
    const { view } = this;
    if (parseFrame(view, buf, off, len) !== FRAME_OK) return false;
    if (view.type !== ETH_P_IPV6) return view.type === ETH_P_ARP;
    const icmp = view.network + IPV6_BYTES;
    if (icmp >= off + len || buf[view.network + IPV6_NEXT_HEADER] !== IPPROTO_ICMPV6) return false;
    return buf[icmp]! >= FIRST_ND_TYPE && buf[icmp]! <= LAST_ND_TYPE;
  }
}
