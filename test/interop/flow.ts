// A flow as the generator makes it: what each packet is about (for the models that say what must come of it), its bytes
// (for the devices), and the order in which the two sides' packets reach the comparer.

export type Side = 'p' | 's';

/** A TCP segment. Positions are plain integers, 0 the first byte behind the SYN, so the models know no wrap-around. */
export interface TcpAbout {
  kind: 'tcp';
  /** Which connection of the flow: a later one has the same addresses and ports. */
  life: number;
  /** Position of the first byte; -1 for a SYN. */
  pos: number;
  /** Bytes of the peer acknowledged, from its SYN on; -1: no ACK flag. */
  ack: number;
  syn: boolean;
  fin: boolean;
  rst: boolean;
  data: Buffer;
  window: number;
  /** What a SYN offers; two SYNs must offer the same. */
  offer: string;
}

/** A packet that is compared whole: UDP, ICMP, and all else of IP. */
export interface DatagramAbout {
  kind: 'datagram';
  /** What must be the same on both sides. */
  compared: Buffer;
}

/** A piece of a datagram, which is compared when all of it is there. */
export interface FragmentAbout {
  kind: 'fragment';
  /** Which datagram of this side, from 0, and which of how many pieces. */
  datagram: number;
  index: number;
  count: number;
  /** Of the whole. */
  compared: Buffer;
}

/** Leaves at once, compared with nothing. */
export interface PassAbout {
  kind: 'pass';
  /** A question of the secondary's for an address: it has lost something, so a checkpoint is asked for. */
  asksAddress: boolean;
}

export type About = TcpAbout | DatagramAbout | FragmentAbout | PassAbout;

export interface Packet {
  /** Its place in Flow.packets. */
  n: number;
  side: Side;
  /** Ethernet frame. */
  frame: Buffer;
  about: About;
}

/** Packets that reach the comparer in one go, or a checkpoint. */
export type Step = { side: Side; packets: Packet[] } | { side: 'checkpoint' };

export interface Flow {
  seed: number;
  /** What it is made of, for the counts of the report. */
  kind: string;
  features: string[];
  packets: Packet[];
  /** Ends with a checkpoint. */
  steps: Step[];
}

export function describePacket(p: Packet): string {
  const a = p.about;
  let text: string;
  if (a.kind === 'tcp') {
    const flags = `${a.syn ? 'S' : ''}${a.fin ? 'F' : ''}${a.rst ? 'R' : ''}` || '.';
    text = `tcp #${a.life} ${flags} ${a.pos}+${a.data.length} ack ${a.ack} win ${a.window}${a.offer ? ` (${a.offer})` : ''}`;
    if (a.data.length > 0) text += ` ${shorten(a.data)}`;
  } else if (a.kind === 'datagram') text = `datagram ${shorten(a.compared)}`;
  else if (a.kind === 'fragment')
    text = `fragment ${a.index + 1} of ${a.count} of datagram ${a.datagram} ${shorten(a.compared)}`;
  else text = a.asksAddress ? 'asks for an address' : 'passes';
  return `${p.n}: ${text} [${p.frame.length} bytes]`;
}

function shorten(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return hex.length <= 24 ? hex : `${hex.slice(0, 16)}..${hex.slice(-6)}`;
}

/** The whole flow, for the message of a failing test. */
export function describeFlow(flow: Flow): string {
  const lines = [`seed ${flow.seed}, ${flow.kind}: ${flow.features.join(', ') || 'plain'}`];
  for (const step of flow.steps) {
    if (step.side === 'checkpoint') lines.push('  checkpoint');
    else
      for (const p of step.packets)
        lines.push(`  ${step.side === 'p' ? 'primary  ' : 'secondary'} ${describePacket(p)}`);
  }
  return lines.join('\n');
}
