// A pair for benchmarks, protected or not: the laboratory, and for a protected one the rules, both daemons and a
// controller, as an operator would have them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Controller } from '../../demo/controller';
import { Lab, type LabProcess } from '../../test/netns/lab';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const COLO = join(ROOT, 'bin/colo');

export class BenchPair {
  private constructor(
    readonly lab: Lab,
    readonly controller: Controller | undefined,
    readonly daemons: { readonly primary: LabProcess; readonly secondary: LabProcess } | undefined,
  ) {}

  /** Starts the servers before anything is protected; an unprotected pair needs none in its second guest. */
  static async create(isProtected: boolean, startServers: (lab: Lab) => Promise<void>): Promise<BenchPair> {
    // In every pair the guests' packets belong to no socket of this kernel, as those of virtual machines.
    // Equal stacks, as two copies of one machine have: differing windows would make every packet be rewritten.
    const lab = await Lab.create({ plumbing: false, distinctStacks: false, detachGuests: true });
    try {
      await startServers(lab);
      if (!isProtected) return new BenchPair(lab, undefined, undefined);
      const daemons = { primary: await startDaemon(lab, 'primary'), secondary: await startDaemon(lab, 'secondary') };
      const controller = new Controller(1);
      await controller.init('secondary', join(lab.dir, 'secondary/secondary.sock'));
      await controller.init('primary', join(lab.dir, 'primary/primary.sock'));
      return new BenchPair(lab, controller, daemons);
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  async destroy(): Promise<void> {
    this.controller?.close();
    await this.lab.destroy();
  }
}

async function startDaemon(lab: Lab, role: 'primary' | 'secondary'): Promise<LabProcess> {
  const ns = role === 'primary' ? 'pn' : 'sn';
  const config = join(lab.dir, `${role}.yaml`);
  const nodes = [{ index: 1, guestPort: 'tap0', forwardPort: 'fwd0' }];
  // JSON is YAML.
  writeFileSync(config, JSON.stringify({ role, stateDir: join(lab.dir, role), nodes }));
  await lab.exec(ns, COLO, ['rules', 'apply', '--config', config]);
  const daemon = lab.spawn(ns, COLO, [role, '--config', config]);
  await daemon.waitFor(/"msg":"ready"/);
  return daemon;
}
