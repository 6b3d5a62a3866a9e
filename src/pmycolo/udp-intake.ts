// UDP: as every datagram, and one that a checkpoint may have divided asks soon.

import { type Outcome, WAIT } from '../compare/outcome';
import type { PacketView } from '../packet/view';
import type { PrimaryContext } from './context';
import { DatagramIntake } from './datagram-intake';
import type { DividedDatagram } from './divided-datagram';
import type { Expiry } from './expiry';

export class UdpIntake extends DatagramIntake {
  constructor(
    x: PrimaryContext,
    expiry: Expiry,
    private readonly divided: DividedDatagram,
  ) {
    super(x, expiry);
  }

  override primary(
    id: number,
    flow: number,
    v: PacketView,
    buf: Buffer,
    hold: number,
    comparing: boolean,
    nowMs: number,
  ): Outcome {
    const outcome = super.primary(id, flow, v, buf, hold, comparing, nowMs);
    this.divided.note(id, flow, v, outcome === WAIT, nowMs);
    return outcome;
  }
}
