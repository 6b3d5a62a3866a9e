// The parts of a run that can be right or wrong: engines and nodes that ship, wired as in the daemons. Stand-ins and
// planted mistakes replace them.

import { OffsetTable } from '../conntrack/offset-table';
import { EpochMatch } from '../node/epoch-match';
import type { InStepEngine } from '../node/in-step';
import { KEPT_EPOCH_WORDS } from '../node/kept-epoch';
import { type PrimaryEngineFace, PrimaryNode, type PrimaryNodeSettings, type PrimaryPorts } from '../node/primary';
import { PrimaryLink, type PrimaryLinkPorts } from '../node/primary-link';
import { type SecondaryEngineFace, SecondaryNode, type SecondaryPorts } from '../node/secondary';
import { SecondaryLink, type SecondaryLinkPorts } from '../node/secondary-link';
import { StoredDeltas } from '../pmycolo/deltas';
import { type PrimaryActions, PrimaryEngine } from '../pmycolo/engine';
import { type SecondaryEpochs, SettledEpochs } from '../pmycolo/secondary-epochs';
import { SecondaryEngine } from '../seccolo/engine';

/** Connections whose offsets outlive a daemon: a few more than any run has at once. */
const CAPACITY = 24;

interface Counted {
  readonly counters: { snapshot(): Record<string, number> };
}

export type SimPrimaryEngine = PrimaryEngineFace &
  InStepEngine &
  Counted &
  Pick<PrimaryEngine, 'addressQuestion' | 'heldBytes' | 'flowCount'>;

export type SimSecondaryEngine = SecondaryEngineFace &
  Counted &
  Pick<SecondaryEngine, 'nextToRemind' | 'writeReminder'>;

export interface EngineLimitsPlan {
  maxFlows: number;
  maxHeldPackets: number;
  maxHeldBytes: number;
  logBytes: number;
  logRecords: number;
}

export interface PrimaryPlan {
  /** Of a stream link. */
  epochs?: SecondaryEpochs;
  limits: EngineLimitsPlan;
  compareTimeoutMs: number | 'auto';
  maxCompareTimeoutMs: number;
  minCheckpointIntervalMs: number;
  /** 0 when the controller itself lets the forward link run dry. */
  forwardSettleMs: number;
}

/** What outlives a daemon: files under /run, as plain memory here. */
export interface PrimaryFiles {
  deltas: ArrayBuffer;
}

export interface SecondaryFiles {
  offsets: ArrayBuffer;
  epochs: Uint32Array;
}

export interface Makers {
  /** Contents of the files that a primary's process finds. */
  numbers(files: PrimaryFiles): StoredDeltas;
  primary(plan: PrimaryPlan, numbers: StoredDeltas, actions: PrimaryActions): SimPrimaryEngine;
  secondary(files: SecondaryFiles, nowMs: number): SimSecondaryEngine;
  primaryNode(engine: PrimaryEngineFace, ports: PrimaryPorts, settings: PrimaryNodeSettings): PrimaryNode;
  secondaryNode(engine: SecondaryEngineFace, ports: SecondaryPorts): SecondaryNode;
  epochMatch(): EpochMatch;
  primaryLink(match: EpochMatch, ports: PrimaryLinkPorts): PrimaryLink;
  secondaryLink(ports: SecondaryLinkPorts): SecondaryLink;
  primaryFiles(): PrimaryFiles;
  secondaryFiles(): SecondaryFiles;
}

/** A planted mistake. */
export interface Mutation {
  name: string;
  make(right: Makers): Makers;
}

export const REAL: Makers = {
  numbers: (files) => new StoredDeltas(new OffsetTable(new Uint32Array(files.deltas))),
  primary: (plan, deltas, actions) =>
    new PrimaryEngine(
      {
        ...plan,
        epochs: plan.epochs ?? new SettledEpochs(plan.forwardSettleMs),
        seed: [0x12345678, 0x9abcdef0],
        deltas,
      },
      actions,
    ),
  secondary: (files, nowMs) => new SecondaryEngine({ mode: 'failover', offsets: files.offsets, seed: [1, 2], nowMs }),
  primaryNode: (engine, ports, settings) => new PrimaryNode(engine, ports, settings),
  secondaryNode: (engine, ports) => new SecondaryNode(engine, ports),
  epochMatch: () => new EpochMatch(),
  primaryLink: (match, ports) => new PrimaryLink(match, ports, [0x12345678, 0x9abcdef0]),
  secondaryLink: (ports) => new SecondaryLink(ports),
  primaryFiles: () => ({ deltas: new ArrayBuffer(OffsetTable.bytesFor(CAPACITY)) }),
  secondaryFiles: () => ({
    offsets: new ArrayBuffer(OffsetTable.bytesFor(CAPACITY)),
    epochs: new Uint32Array(KEPT_EPOCH_WORDS),
  }),
};

/** `right` with some members of its own; the others are called on `right` itself. */
export function instead<T extends object>(right: T, own: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(right, {
    get(target, name) {
      const member: unknown = Reflect.get(name in own ? own : target, name, name in own ? own : target);
      return typeof member === 'function' && !(name in own) ? member.bind(target) : member;
    },
  });
}
