// Compares what the two guests of a pair sent, out of two captures, by the engine that a running primary uses. It reads
// the files twice: first to find the flows and the guest, then to compare flow by flow, both files merged by time.

import { statSync } from 'node:fs';
import { OperatorError } from '../core/errors';
import { parseAddress } from '../packet/address';
import { formatTuple } from '../packet/format';
import { type Finding, FlowComparison, MAX_AHEAD_BYTES } from './flow';
import {
  type AddressKey,
  addressKey,
  count,
  ipPackets,
  leftOut,
  PRIMARY,
  SECONDARY,
  type Side,
  type SidePacket,
  Skipped,
} from './side';
import { S_BYTES, S_FIRST_SEQ, S_PACKETS, S_STATE, S_SYNS, Survey } from './survey';

export interface CompareOptions {
  /** Addresses of the guest; default: those that send in both captures. */
  guests?: readonly string[];
  /** Differences kept; all are counted. Default: 20. */
  maxDifferences?: number;
  /** The secondary's connections have the primary's sequence numbers already, all but their SYNs. */
  secondaryTranslated?: boolean;
  /**
   * Bytes that one side of a flow may be ahead of the other; more is a difference (`bound_exhausted`). Default: 64 MiB.
   */
  maxAheadBytes?: number;
}

export interface FoundDifference extends Finding {
  /** Such as `tcp 10.0.0.1:80 > 10.0.0.2:40000`. */
  flow: string;
}

export interface SideSummary {
  path: string;
  /** IP packets of any sender. */
  packets: number;
  guestPackets: number;
  /** Packets that were not compared, by reason, of either side. */
  skipped: Record<string, number>;
}

/** `incomplete`: nothing differs, but not all that the guests sent could be compared. */
export type ComparisonResult = 'equal' | 'different' | 'incomplete';

export interface Comparison {
  result: ComparisonResult;
  equal: boolean;
  guests: string[];
  primary: SideSummary;
  secondary: SideSummary;
  /** `incomplete`: nothing differs in what could be compared. `skipped`: nothing could. */
  flows: { compared: number; equal: number; different: number; incomplete: number; skipped: number };
  /** Bytes of streams and datagrams that both sides sent alike. */
  comparedBytes: number;
  /** In the order in which they were found. */
  differences: FoundDifference[];
  /** Packets of the guests, or pieces of their streams, that should have been compared and were not, by reason. */
  notCompared: Record<string, number>;
}

export const DEFAULT_MAX_DIFFERENCES = 20;

/** Clocks of two hosts may differ by less than this; captures further apart are aligned at their first packets. */
const MAX_CLOCK_DIFFERENCE_NS = 60_000_000_000n;

const F_SEEN = 1;
const F_UNNUMBERED = 2;

/** Throws OperatorError when a file is damaged, cannot be read or holds nothing to compare. */
export function compareCaptures(primaryPath: string, secondaryPath: string, options: CompareOptions = {}): Comparison {
  return new CaptureComparison([primaryPath, secondaryPath], options).run();
}

class CaptureComparison {
  private readonly survey: Survey;
  private readonly skipped = [new Skipped(), new Skipped()];
  private readonly guestPackets = [0, 0];
  /** Flows being compared, by their base in the survey's table. */
  private readonly running = new Map<number, { comparison: FlowComparison; left: number; name: string }>();
  private readonly flows = { compared: 0, equal: 0, different: 0, incomplete: 0, skipped: 0 };
  private readonly differences: FoundDifference[] = [];
  private readonly notCompared = new Map<string, number>();
  private comparedBytes = 0;

  constructor(
    private readonly paths: readonly [string, string],
    private readonly options: CompareOptions,
  ) {
    this.survey = new Survey(fileBytes(paths[PRIMARY]) + fileBytes(paths[SECONDARY]));
  }

  run(): Comparison {
    for (const side of [PRIMARY, SECONDARY] as const) {
      this.survey.read(side, this.paths[side]);
    }
    const named = namedGuests(this.options.guests ?? []);
    if (named === undefined) this.requireWhole();
    for (const side of [PRIMARY, SECONDARY] as const) this.requireIp(side, named !== undefined);
    const guests = named ?? this.survey.findGuests();
    const keys = new Set(guests.map((g) => g.key));
    this.requireWhole(keys);
    this.compare(keys);
    for (const flow of [...this.running.keys()]) this.end(flow);
    const names = guests.map((g) => g.text);
    if (this.flows.compared === 0) {
      throw new OperatorError(
        'ENOTHING',
        `nothing to compare: ${this.flows.skipped > 0 ? 'no connection of the captures has its SYN in both' : `no packet of ${names.join(', ')} in either capture`}`,
        this.flows.skipped > 0
          ? 'begin both captures before the connections, or give --secondary-translated if the secondary was captured behind the translation'
          : 'name the guest with --guest ADDRESS',
      );
    }
    const owners = this.survey.ownersOf(keys);
    for (const side of [PRIMARY, SECONDARY] as const) this.skipped[side]!.addUncompared(owners, this.notCompared);
    const same = this.notCompared.size === 0 ? 'equal' : 'incomplete';
    const result = this.flows.different > 0 ? 'different' : same;
    return {
      result,
      equal: result === 'equal',
      guests: names,
      primary: this.summary(PRIMARY),
      secondary: this.summary(SECONDARY),
      flows: this.flows,
      comparedBytes: this.comparedBytes,
      differences: this.differences,
      notCompared: Object.fromEntries([...this.notCompared].sort()),
    };
  }

  private compare(guests: ReadonlySet<AddressKey>): void {
    const starts = [this.survey.startOf(PRIMARY, guests) ?? 0n, this.survey.startOf(SECONDARY, guests) ?? 0n];
    const apart = starts[PRIMARY]! - starts[SECONDARY]!;
    const shift = apart < MAX_CLOCK_DIFFERENCE_NS && -apart < MAX_CLOCK_DIFFERENCE_NS ? 0n : apart;
    const readers = this.paths.map((path, side) => this.ofGuests(side as Side, path, guests));
    try {
      let a = readers[PRIMARY]!.next();
      let b = readers[SECONDARY]!.next();
      while (a.done !== true || b.done !== true) {
        if (b.done === true || (a.done !== true && a.value.timeNs <= b.value.timeNs + shift)) {
          this.take(PRIMARY, a.value as SidePacket);
          a = readers[PRIMARY]!.next();
        } else {
          this.take(SECONDARY, b.value);
          b = readers[SECONDARY]!.next();
        }
      }
    } finally {
      for (const reader of readers) reader.return();
    }
  }

  private *ofGuests(side: Side, path: string, guests: ReadonlySet<AddressKey>): Generator<SidePacket, void, undefined> {
    for (const packet of ipPackets(path, this.skipped[side]!)) {
      if (!guests.has(packet.source)) continue;
      this.guestPackets[side]!++;
      const reason = leftOut(packet.view);
      if (reason === undefined) yield packet;
      else this.skipped[side]!.add(reason, reason === 'infrastructure' ? undefined : packet.source);
    }
  }

  private take(side: Side, packet: SidePacket): void {
    const { view } = packet;
    const { flows } = this.survey;
    const flow = flows.find(view, false);
    if (flow < 0) {
      this.skipped[side]!.add('file_has_grown', packet.source);
      return;
    }
    if ((flows.words[flow + S_STATE]! & F_SEEN) === 0) this.begin(flow, packet);
    const run = this.running.get(flow);
    if (run === undefined) {
      const unnumbered = (flows.words[flow + S_STATE]! & F_UNNUMBERED) !== 0;
      if (unnumbered) this.skipped[side]!.add('connection_without_syn', packet.source);
      else this.skipped[side]!.add('after_difference');
      return;
    }
    run.comparison.take(side, packet.buf, view.start, view.end - view.start, packet.number);
    run.left--;
    if (run.left === 0 || run.comparison.over) this.end(flow);
  }

  private begin(flow: number, packet: SidePacket): void {
    const w = this.survey.flows.words;
    const translated = this.options.secondaryTranslated === true;
    if (!translated && !this.survey.isNumberingKnown(flow)) {
      w[flow + S_STATE] = F_SEEN | F_UNNUMBERED;
      this.flows.skipped++;
      return;
    }
    w[flow + S_STATE] = F_SEEN;
    this.flows.compared++;
    const pair = (at: number): [number, number] => [w[flow + at]!, w[flow + at + SECONDARY]!];
    const packets = pair(S_PACKETS);
    const size = { packets, bytes: pair(S_BYTES), syns: pair(S_SYNS), firstSeq: w[flow + S_FIRST_SEQ]! };
    if (packets[PRIMARY] === 0) size.firstSeq = w[flow + S_FIRST_SEQ + SECONDARY]!;
    this.running.set(flow, {
      comparison: new FlowComparison(size, translated, this.options.maxAheadBytes ?? MAX_AHEAD_BYTES),
      left: packets[PRIMARY] + packets[SECONDARY],
      name: formatTuple(packet.view),
    });
  }

  private end(flow: number): void {
    const { comparison, name } = this.running.get(flow)!;
    comparison.finish();
    for (const [reason, times] of comparison.notCompared) count(this.notCompared, reason, times);
    this.comparedBytes += comparison.comparedBytes;
    const { finding } = comparison;
    if (finding === undefined) this.flows[comparison.notCompared.size === 0 ? 'equal' : 'incomplete']++;
    else {
      this.flows.different++;
      if (this.differences.length < (this.options.maxDifferences ?? DEFAULT_MAX_DIFFERENCES)) {
        this.differences.push({ flow: name, ...finding });
      }
    }
    this.running.delete(flow);
  }

  /**
   * A capture without an IP packet counts as a silent guest's only if the guest is named and all of the file can be
   * read.
   */
  private requireIp(side: Side, silenceIsPossible: boolean): void {
    const { packets, skipped } = this.survey;
    if (packets[side] !== 0) return;
    const { counts, unknownLinkType } = skipped[side]!;
    const path = this.paths[side];
    if (unknownLinkType !== undefined) {
      throw new OperatorError(
        'ECAPTURE',
        `${path}: cannot find IP packets in link type ${unknownLinkType}`,
        'capture at the port itself (Ethernet), or on "any"',
      );
    }
    if (silenceIsPossible) return;
    const others = [...counts].map(([reason, count]) => `${count} ${reason}`).join(', ');
    throw new OperatorError(
      'ENOTHING',
      `${path} has no IP packet${others === '' ? '' : ` (skipped: ${others})`}`,
      "capture at the guest's port while it sends, or name the guest with --guest ADDRESS if it was silent",
    );
  }

  /**
   * A stream with cut packets cannot be compared. Without guests: where no packet is whole, the guest cannot be found.
   */
  private requireWhole(guests?: ReadonlySet<AddressKey>): void {
    for (const side of [PRIMARY, SECONDARY] as const) {
      const number = this.survey.cutOf(side, guests);
      if (number === undefined) continue;
      throw new OperatorError(
        'ECUT',
        `${this.paths[side]}: packet ${number}${guests === undefined ? '' : ' of the guest'} was cut when it was captured`,
        'capture whole packets, for example with `tcpdump -s 0`',
      );
    }
  }

  private summary(side: Side): SideSummary {
    return {
      path: this.paths[side],
      packets: this.survey.packets[side]!,
      guestPackets: this.guestPackets[side]!,
      skipped: this.skipped[side]!.toObject(),
    };
  }
}

function namedGuests(texts: readonly string[]): { key: AddressKey; text: string }[] | undefined {
  if (texts.length === 0) return undefined;
  return texts.map((text) => {
    const parsed = parseAddress(text);
    if (parsed === undefined) {
      throw new OperatorError('EUSAGE', `--guest ${text} is no IP address`, 'write it as 10.0.0.1 or 2001:db8::1');
    }
    return { key: addressKey(parsed.family, parsed.address), text };
  });
}

function fileBytes(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  // The reader reports a file that does not exist.
  if (stat === undefined) return 0;
  if (stat.isFile()) return stat.size;
  throw new OperatorError('ECAPTURE', `${path} is not a file`, 'captures are read twice: write a pipe to a file first');
}
