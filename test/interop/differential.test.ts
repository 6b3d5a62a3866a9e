// The same flows through QEMU's own colo-compare and through ours, by the same four sockets. Where the two differ, a
// row of the table (table.ts) has to say why; where they agree, both must be right.
//
//   COLO_SEED=N     the first flow (default 1)
//   COLO_FLOWS=N    how many (default 10000)

import { requires } from '../netns/requires';
import { EXAMPLES } from './cases';
import type { Flow } from './flow';
import { generateFlow } from './generate';
import { judge, report } from './judge';
import { type Both, Pair } from './run-flows';
import { safeResult } from './safe-model';
import { StockModel } from './stock-model';
import { TABLE } from './table';

const FIRST = Number(process.env.COLO_SEED ?? 1);
const FLOWS = Number(process.env.COLO_FLOWS ?? 10_000);

/** QEMU throws all connections away when it has 16,384; a fresh one begins before that. */
const FLOWS_PER_PAIR = 4000;
const FLOWS_AT_ONCE = 250;
/** The rest of a run that has gone wrong says nothing new. */
const MOST_REPORTS = 3;

const VNET_FLOWS = 400;
const GROUPS = 10;
const GROUP_FLOWS = 40;

function complaintsOf(flows: readonly Flow[], results: readonly Both[]): string[] {
  return flows.flatMap((flow, i) => {
    const { complaints } = judge(flow, results[i]!.stock, results[i]!.ours);
    return complaints.length > 0 ? [report(flow, complaints)] : [];
  });
}

/** Neither of the two will ask for a checkpoint, which would concern all flows. */
function staysSilent(flow: Flow): boolean {
  if (flow.steps.filter((step) => step.side === 'checkpoint').length > 1) return false;
  if (new StockModel().run(flow).some((step) => step.asked.length > 0)) return false;
  const { steps, uncertainAsked } = safeResult(flow);
  return uncertainAsked.size === 0 && !steps.some((step) => step.asked);
}

requires('qemu', 'addon')('QEMU and ours', () => {
  test('every row of the table has its example', () => {
    expect(EXAMPLES.map(([row]) => row)).toEqual(TABLE.map((row) => row.name));
  });

  describe('the table', () => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await Pair.start();
    });
    afterAll(() => pair?.stop());

    test.each(EXAMPLES)('%s', async (row, make) => {
      const flow = make();
      const [both] = await pair.run([flow]);
      const { complaints, rows } = judge(flow, both!.stock, both!.ours);
      if (complaints.length > 0) throw new Error(report(flow, complaints));
      expect(rows).toContain(row);
    });
  });

  test(`${FLOWS} flows from seed ${FIRST}`, async () => {
    const reports: string[] = [];
    let agreed = 0;
    for (let from = FIRST; from < FIRST + FLOWS && reports.length < MOST_REPORTS; from += FLOWS_PER_PAIR) {
      const to = Math.min(from + FLOWS_PER_PAIR, FIRST + FLOWS);
      const pair = await Pair.start();
      try {
        for (let at = from; at < to && reports.length < MOST_REPORTS; at += FLOWS_AT_ONCE) {
          const flows = Array.from({ length: Math.min(FLOWS_AT_ONCE, to - at) }, (_, i) => generateFlow(at + i));
          for (const [i, both] of (await pair.run(flows)).entries()) {
            const { complaints, agree } = judge(flows[i]!, both.stock, both.ours);
            if (complaints.length > 0) reports.push(report(flows[i]!, complaints));
            if (agree) agreed++;
          }
        }
      } finally {
        await pair.stop();
      }
    }
    if (reports.length > 0) throw new Error(reports.slice(0, MOST_REPORTS).join('\n\n'));
    // More than half of what is generated is nothing that QEMU does wrong: there the two have to agree outright.
    if (FLOWS >= 1000) expect(agreed / FLOWS).toBeGreaterThan(0.5);
  }, 600_000);

  test.each([10, 12, 20])('flows with a virtio-net header of %d bytes', async (vnetBytes) => {
    const pair = await Pair.start({ vnetBytes });
    try {
      const flows = Array.from({ length: VNET_FLOWS }, (_, i) => generateFlow(FIRST + vnetBytes * 1_000_000 + i));
      const reports = complaintsOf(flows, await pair.run(flows));
      if (reports.length > 0) throw new Error(reports.slice(0, MOST_REPORTS).join('\n\n'));
    } finally {
      await pair.stop();
    }
  });

  test('many flows in among each other', async () => {
    const pair = await Pair.start();
    try {
      for (let group = 0, seed = FIRST + 5_000_000; group < GROUPS; group++) {
        const flows: Flow[] = [];
        for (; flows.length < GROUP_FLOWS; seed++) {
          const flow = generateFlow(seed);
          if (staysSilent(flow)) flows.push(flow);
        }
        const reports = complaintsOf(flows, await pair.runTogether(flows, seed));
        if (reports.length > 0) throw new Error(reports.slice(0, MOST_REPORTS).join('\n\n'));
      }
    } finally {
      await pair.stop();
    }
  });
});
