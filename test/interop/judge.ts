// Everything that must hold of one flow that was run on both devices.

import { describeDifference, differences } from './differences';
import { describeFlow, type Flow } from './flow';
import { epochsOf, type Result } from './observe';
import { type SafeResult, safeResult } from './safe-model';
import { breaches } from './safety';
import { StockModel, type StockStep } from './stock-model';
import { Context, TABLE } from './table';

export interface Judgement {
  complaints: string[];
  /** Names of the table's rows that were needed. */
  rows: string[];
  /** The two did the same. */
  agree: boolean;
}

export function judge(flow: Flow, stock: Result, ours: Result): Judgement {
  const model = new StockModel().run(flow);
  const safe = safeResult(flow);
  const complaints = [
    ...againstStockModel(flow, model, stock),
    ...againstSafeModel(flow, safe, ours),
    ...breaches(flow, ours).map((breach) => `UNSAFE, ours: ${breach}`),
  ];
  const context = new Context(flow, model, safe);
  const rows: string[] = [];
  const found = differences(flow, stock, ours);
  for (const d of found) {
    if (d.kind === 'fate' && safe.uncertain.has(d.packet.n)) continue;
    if (d.kind === 'asked' && safe.uncertainAsked.has(d.epoch.checkpoint)) continue;
    const row = TABLE.find((candidate) => candidate.covers(d, context));
    if (row === undefined) complaints.push(`no row of the table covers: ${describeDifference(d)}`);
    else rows.push(row.name);
  }
  return { complaints, rows, agree: found.length === 0 };
}

function againstStockModel(flow: Flow, model: StockStep[], stock: Result): string[] {
  const complaints: string[] = [];
  for (const [i, step] of model.entries()) {
    const want = step.out.map((one) => one.n).join(' ');
    const got = stock.out[i]!.map((one) => one.packet.n).join(' ');
    if (want !== got) complaints.push(`QEMU let out [${got}] in step ${i}, its model [${want}]`);
  }
  for (const { first, checkpoint } of epochsOf(flow)) {
    const want = model.slice(first, checkpoint).some((step) => step.asked.length > 0);
    if (want !== stock.asked.get(checkpoint))
      complaints.push(`QEMU asked for checkpoint ${checkpoint}: ${!want}, its model: ${want}`);
  }
  return complaints;
}

function againstSafeModel(flow: Flow, safe: SafeResult, ours: Result): string[] {
  const complaints: string[] = [];
  const certain = (n: number): boolean => !safe.uncertain.has(n);
  for (const [i, step] of safe.steps.entries()) {
    // Bare acknowledgements and content of one step have no order among them.
    const want = step.out
      .filter(certain)
      .sort((a, b) => a - b)
      .join(' ');
    const got = ours.out[i]!.filter((one) => one.whole && certain(one.packet.n))
      .map((one) => one.packet.n)
      .sort((a, b) => a - b)
      .join(' ');
    if (want !== got) complaints.push(`ours let out [${got}] in step ${i}, safe is [${want}]`);
  }
  for (const { first, checkpoint } of epochsOf(flow)) {
    if (safe.uncertainAsked.has(checkpoint)) continue;
    const want = safe.steps.slice(first, checkpoint).some((step) => step.asked);
    if (want !== ours.asked.get(checkpoint))
      complaints.push(`ours asked for checkpoint ${checkpoint}: ${!want}, safe is ${want}`);
  }
  return complaints;
}

/** For the message of a failing test. */
export function report(flow: Flow, complaints: readonly string[]): string {
  return `${describeFlow(flow)}\n${complaints.map((one) => `  => ${one}`).join('\n')}\nagain: COLO_SEED=${flow.seed} COLO_FLOWS=1`;
}
