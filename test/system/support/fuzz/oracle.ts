// What may leave at outdev, decided from what the test itself has sent, with no model of the comparison:
//
//   - a frame that the primary has sent, whole but for what nobody compares (what stands behind the packet, IPv4
//     options, reserved bits), which must have been taken off (TCP may have been changed on the way: its bytes are
//     judged one by one);
//   - what it says was said by the secondary since the last checkpoint, or the primary had said it before one was
//     complete. Of a TCP stream that covers all places up to the last that the primary had come to: what it repeats of
//     them need not be remembered.
//
// ARP, RARP, IGMP and neighbour discovery leave on the primary's word. What is seen while a checkpoint is on its way
// may be covered.

const TAGS = [0x8100, 0x88a8, 0x9100];

interface Content {
  kind: 'alone' | 'datagram' | 'fragment' | 'tcp';
  /** What the secondary must have said: flow and compared bytes. */
  key: string;
  flow: string;
  seq: number;
  syn: boolean;
  payload: Buffer;
  secrets: number[];
}

const ARP_BYTES = 28;
/** What Ethernet fills up with zeros behind its header. */
const LEAST_BODY_BYTES = 46;
const OPTION_NOP = 1;
const ROUTER_ALERT = Buffer.from([148, 4, 0, 0]);

/** Where the body begins, behind all tags and the EtherType, which is `type`. */
function bodyOf(frame: Buffer): { at: number; type: number } | undefined {
  let at = 12;
  for (let tags = 0; at + 6 <= frame.length && tags < 2 && TAGS.includes(frame.readUInt16BE(at)); tags++) at += 4;
  return at + 2 > frame.length ? undefined : { at: at + 2, type: frame.readUInt16BE(at) };
}

/**
 * The frame with its virtio-net header, without what may be taken off on the way. `rest`: what of that it has, if it
 * may not leave with it.
 */
export function formOf(frame: Buffer, vnetBytes: number): { form: string; rest: string | undefined } {
  // What the header asks for is no part of the frame.
  const whole = Buffer.concat([Buffer.alloc(vnetBytes), frame.subarray(vnetBytes)]);
  const plain = { form: whole.toString('latin1'), rest: undefined };
  const found = bodyOf(whole.subarray(vnetBytes));
  if (found === undefined) return plain;
  const from = vnetBytes + found.at;
  const body = whole.subarray(from);
  const head = whole.toString('latin1', 0, from);
  const isArp = found.type === 0x0806 || found.type === 0x8035;
  const version = found.type === 0x0800 ? 4 : found.type === 0x86dd ? 6 : 0;
  const ip = version !== 0 && body.length > 0 && body[0]! >> 4 === version ? ipOf(body, version) : undefined;
  if (!isArp && ip === undefined) return plain;
  const end = isArp ? Math.min(ARP_BYTES, body.length) : ip!.end;
  const packet = Buffer.from(body.subarray(0, end));
  let rest: string | undefined;
  const behind = body.subarray(end);
  if (behind.some((byte) => byte !== 0) || (behind.length > 0 && body.length > LEAST_BODY_BYTES)) rest = 'a trailer';
  if (version === 4) {
    for (let at = 20; at < ip!.l4; at++) {
      if (packet[at] === OPTION_NOP) continue;
      if (packet.subarray(at, at + 4).equals(ROUTER_ALERT)) at += 3;
      else rest = 'an IPv4 option';
    }
    if ((packet[6]! & 0x80) !== 0) rest = 'the reserved flag';
    packet[6]! &= 0x7f;
    packet.fill(0, 20, ip!.l4);
    packet.fill(0, 10, 12);
  } else if (version === 6 && packet[6] === 44) {
    if (packet[41] !== 0 || (packet[43]! & 6) !== 0) rest = 'reserved bits of a fragment';
    packet[41] = 0;
    packet[43]! &= 0xf9;
  }
  return { form: head + packet.toString('latin1'), rest };
}

/**
 * Takes a frame (without its virtio-net header) apart; undefined: it cannot be taken apart and has nothing to leave
 * for.
 */
export function contentOf(frame: Buffer): Content | undefined {
  const found = bodyOf(frame);
  if (found === undefined) return undefined;
  const { type } = found;
  const body = frame.subarray(found.at);
  const make = (kind: Content['kind'], flow: string, payload: Buffer, seq = 0, syn = false): Content => ({
    kind,
    flow,
    seq,
    syn,
    payload,
    key: `${flow} ${payload.toString('latin1')}`,
    secrets: [...payload.toString('latin1').matchAll(/SECRET(\d+)=\1!/g)].map((match) => Number(match[1])),
  });
  if (type === 0x0806 || type === 0x8035) return make('alone', 'arp', Buffer.alloc(0));
  const version = body.length === 0 ? 0 : body[0]! >> 4;
  if (!((type === 0x0800 && version === 4) || (type === 0x86dd && version === 6)))
    return make('datagram', `${type}`, body);
  const ip = ipOf(body, version);
  if (ip === undefined) return undefined;
  const { protocol, l4, end, addresses, fragment } = ip;
  const transport = body.subarray(l4, end);
  const flow = `${addresses} ${protocol}`;
  if (fragment) return make('fragment', flow, transport);
  if (protocol === 6) {
    if (transport.length < 20) return undefined;
    const ports = transport.toString('hex', 0, 4);
    const payload = transport.subarray((transport[12]! >> 4) * 4);
    // A SYN takes the place before its payload.
    const syn = (transport[13]! & 2) !== 0;
    return make('tcp', `${flow} ${ports}`, payload, transport.readUInt32BE(4) + (syn ? 1 : 0), syn);
  }
  if (protocol === 17) return make('datagram', `${flow} ${transport.toString('hex', 0, 4)}`, transport.subarray(8));
  if (protocol === 2) return make('alone', flow, Buffer.alloc(0));
  if (protocol === 1 || protocol === 58) {
    const [icmp] = transport;
    if (protocol === 58 && icmp !== undefined && ((icmp >= 130 && icmp <= 137) || icmp === 143))
      return make('alone', flow, Buffer.alloc(0));
    return make('datagram', `${flow} ${transport.toString('hex', 0, 2)}`, transport.subarray(4));
  }
  return make('datagram', flow, transport);
}

function ipOf(ip: Buffer, version: number) {
  if (version === 4) {
    if (ip.length < 20) return undefined;
    const l4 = (ip[0]! & 15) * 4;
    const end = ip.readUInt16BE(2);
    const fragment = (ip.readUInt16BE(6) & 0x3fff) !== 0;
    if (l4 < 20 || end < l4 || end > ip.length) return undefined;
    return { protocol: ip[9]!, l4, end, addresses: ip.toString('hex', 12, 20), fragment };
  }
  if (ip.length < 40) return undefined;
  const end = 40 + ip.readUInt16BE(4);
  const addresses = ip.toString('hex', 8, 40);
  let protocol = ip[6]!;
  let l4 = 40;
  if (end > ip.length) return undefined;
  for (;;) {
    const fragments = protocol === 44;
    if (!fragments && ![0, 43, 51, 60].includes(protocol)) return { protocol, l4, end, addresses, fragment: false };
    if (l4 + 8 > end) return undefined;
    const bytes = fragments ? 8 : protocol === 51 ? (ip[l4 + 1]! + 2) * 4 : (ip[l4 + 1]! + 1) * 8;
    if (fragments && (ip.readUInt16BE(l4 + 2) & 0xfff9) !== 0)
      return { protocol: ip[l4]!, l4: l4 + 8, end, addresses, fragment: true };
    protocol = ip[l4]!;
    l4 += bytes;
  }
}

const HISTORY_EVENTS = 20_000;
const SHOWN_EVENTS = 30;

/** A place in a stream and the byte that stands there. */
const byteAt = (c: Content, i: number): string => `${(c.seq + i) >>> 0} ${c.payload[i]}`;

/** What comes with a SYN, whatever number that has. */
const offerOf = (c: Content): Content => ({ ...c, flow: `${c.flow} offer`, seq: 0 });

export class Oracle {
  judged = 0;
  released = 0;
  /** Of what the primary alone has said. */
  private serial = 0;
  /** Secrets below were said before the last checkpoint was complete. */
  private coveredSecrets = 0;
  private underway = false;
  /** The primary's frames of this round: how often each was sent, and in which stretch between checkpoints first. */
  private sent = new Map<string, { times: number; stretch: number }>();
  private stretch = 0;
  private saidDatagrams = new Set<string>();
  private saidBytes = new Map<string, Set<string>>();
  /** What the secondary has said since a checkpoint was asked for, which may be before or after it. */
  private sinceDatagrams = new Set<string>();
  private sinceBytes = new Map<string, Set<string>>();
  /** Behind the last byte that the primary has said of a stream: since the last checkpoint, and before it. */
  private readonly ends = new Map<string, number>();
  private readonly coveredEnds = new Map<string, number>();

  /** The last that happened, by flow, to be shown with a failure. */
  private history: { flow: string | undefined; what: string }[] = [];

  private note(what: string, content?: Content): void {
    const text =
      content === undefined
        ? ''
        : `${content.syn ? 'SYN ' : ''}${content.seq} ${JSON.stringify(content.payload.toString('latin1', 0, 40))}`;
    this.history.push({ flow: content?.flow, what: `${what} ${text}` });
    if (this.history.length > HISTORY_EVENTS) this.history = this.history.slice(HISTORY_EVENTS / 2);
  }

  private before(content: Content | undefined): string {
    const all = this.history.filter(({ flow }) => flow === undefined || flow === content?.flow);
    return all
      .slice(-SHOWN_EVENTS)
      .map(({ what }) => `\n  ${what}`)
      .join('');
  }

  /** Its number twice, for a spoilt one would be another's. */
  secret(): string {
    const serial = this.serial++;
    return `SECRET${serial}=${serial}!`;
  }

  /** A whole frame went out to primary_in. */
  primary(frame: Buffer, vnetBytes: number): void {
    const key = formOf(frame, vnetBytes).form;
    const was = this.sent.get(key) ?? { times: 0, stretch: this.stretch };
    was.times++;
    this.sent.set(key, was);
    const content = contentOf(frame.subarray(vnetBytes));
    if (content !== undefined) this.note('primary', content);
    if (content?.kind === 'tcp') {
      const end = (content.seq + content.payload.length) >>> 0;
      this.ends.set(content.flow, laterOf(end, this.ends.get(content.flow)));
    }
  }

  /** A whole frame went out to secondary_in. */
  secondary(frame: Buffer, vnetBytes: number): void {
    for (const set of [this.saidDatagrams, this.sinceDatagrams]) set.add(wholeKey(frame, vnetBytes));
    const content = contentOf(frame.subarray(vnetBytes));
    if (content === undefined) return;
    this.note('secondary', content);
    for (const set of [this.saidDatagrams, this.sinceDatagrams]) set.add(content.key);
    if (content.kind !== 'tcp') return;
    for (const bytes of [this.saidBytes, this.sinceBytes]) {
      addBytes(bytes, content);
      if (content.syn) addBytes(bytes, offerOf(content));
    }
  }

  checkpointAsked(): void {
    this.underway = true;
    this.note('checkpoint asked');
    this.sinceDatagrams = new Set();
    this.sinceBytes = new Map();
  }

  checkpointDone(): void {
    this.underway = false;
    this.note('checkpoint done');
    this.stretch++;
    this.coveredSecrets = this.serial;
    this.saidDatagrams = new Set(this.sinceDatagrams);
    this.saidBytes = this.sinceBytes;
    this.sinceBytes = new Map();
    for (const [flow, end] of this.ends) this.coveredEnds.set(flow, laterOf(end, this.coveredEnds.get(flow)));
    this.ends.clear();
  }

  /** Nothing is held, and all that was released has been judged. */
  allIsOut(): void {
    this.sent = new Map();
  }

  /** Throws for a frame that must not have left. */
  leaves(frame: Buffer, vnetBytes: number): void {
    this.released++;
    const content = contentOf(frame.subarray(vnetBytes));
    const complain = (what: string): never => {
      throw new Error(
        `${what}: ${frame.toString('hex')} (${vnetBytes} bytes of virtio-net header)${this.before(content)}`,
      );
    };
    if (content !== undefined) this.note('left', content);
    const { form, rest } = formOf(frame, vnetBytes);
    const sent = this.sent.get(form);
    if (content === undefined) throw new Error(`a frame that is none: ${frame.toString('hex')}`);
    if (sent === undefined && content.kind !== 'tcp') complain('the primary has sent no such frame');
    if (sent !== undefined && sent.times-- <= 0 && content.kind !== 'tcp') complain('sent once, left twice');
    const covered = this.underway || (sent !== undefined && sent.stretch !== this.stretch);
    if (rest !== undefined && !covered && !this.saidDatagrams.has(wholeKey(frame, vnetBytes)))
      complain(`with ${rest} that the secondary has not said`);
    if (content.kind === 'alone' || this.underway) return;
    this.judged++;
    for (const secret of content.secrets)
      if (secret >= this.coveredSecrets && content.kind !== 'tcp') complain('only the primary has said this');
    if (content.kind === 'datagram' && sent!.stretch === this.stretch && !this.saidDatagrams.has(content.key))
      complain('the secondary has not said this');
    if (content.kind === 'tcp') this.judgeBytes(content, complain);
  }

  private judgeBytes(content: Content, complain: (what: string) => never): void {
    const said = this.saidBytes.get(content.flow);
    const offered = content.syn ? this.saidBytes.get(offerOf(content).flow) : undefined;
    const covered = this.coveredEnds.get(content.flow);
    for (let i = 0; i < content.payload.length; i++) {
      if (covered !== undefined && ((covered - content.seq - i) | 0) > 0) continue;
      if (said?.has(byteAt(content, i)) || offered?.has(byteAt(offerOf(content), i))) continue;
      complain(`the secondary has not said byte ${i}`);
    }
    // The secondary's may have other numbers; from now on it is the primary's that count.
    if (content.syn) addBytes(this.saidBytes, content);
  }
}

/** Of a whole frame, among what the secondary has said. */
const wholeKey = (frame: Buffer, vnetBytes: number): string => `frame ${frame.toString('latin1', vnetBytes)}`;

/** Of two places in a stream, whose numbers go round. */
function laterOf(a: number, b: number | undefined): number {
  return b === undefined || ((a - b) | 0) > 0 ? a : b;
}

function addBytes(to: Map<string, Set<string>>, content: Content): void {
  const bytes = to.get(content.flow) ?? new Set<string>();
  to.set(content.flow, bytes);
  for (let i = 0; i < content.payload.length; i++) bytes.add(byteAt(content, i));
}
