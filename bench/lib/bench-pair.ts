// A pair for benchmarks, protected or not: the laboratory, and for a protected one the rules, both daemons and a
// controller, as an operator would have them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Controller } from '../../demo/controller';
import { Lab, type LabProcess, STREAM_IPS } from '../../test/netns/lab';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const COLO = join(ROOT, 'bin/colo');
const LINK_PORT = 7770;
const LINK_KEY = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';

/** How a pair is protected, or that it is not. */
export type Protection = 'ethernet' | 'stream' | 'none';

export class BenchPair {
  private constructor(
    readonly lab: Lab,
    readonly controller: Controller | undefined,
    readonly daemons: { readonly primary: LabProcess; readonly secondary: LabProcess } | undefined,
  ) {}

  /**
   * Starts the servers before anything is protected; an unprotected pair needs none in its second guest. `prepare`
   * changes the wiring before the daemons come.
   */
  static async create(
    protection: Protection,
    startServers: (lab: Lab) => Promise<void>,
    prepare?: (lab: Lab) => Promise<void>,
  ): Promise<BenchPair> {
    const link = protection === 'stream' ? 'stream' : 'ethernet';
    // In every pair the guests' packets belong to no socket of this kernel, as those of virtual machines.
    // Equal stacks, as two copies of one machine have: differing windows would make every packet be rewritten.
    const lab = await Lab.create({ link, plumbing: false, distinctStacks: false, detachGuests: true });
    try {
      await startServers(lab);
      await prepare?.(lab);
      if (protection === 'none') return new BenchPair(lab, undefined, undefined);
      const daemons = { primary: await startDaemon(lab, 'primary'), secondary: await startDaemon(lab, 'secondary') };
      if (link === 'stream') await daemons.primary.waitFor(/link: the other side is connected/);
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
  const stateDir = join(lab.dir, role);
  const guest = { index: 1, guestPort: 'tap0' };
  let pair: Record<string, unknown> = { nodes: [{ ...guest, forwardPort: 'fwd0' }] };
  if (lab.options.link === 'stream') {
    const key = join(lab.dir, 'link.key');
    writeFileSync(key, LINK_KEY, { mode: 0o600 });
    const where = `${STREAM_IPS.pn}:${LINK_PORT}`;
    pair = { link: { listen: where, connect: where, key }, nodes: [guest] };
  }
  // JSON is YAML.
  writeFileSync(config, JSON.stringify({ role, stateDir, ...pair }));
  await lab.exec(ns, COLO, ['rules', 'apply', '--config', config]);
  const daemon = lab.spawn(ns, COLO, [role, '--config', config]);
  await daemon.waitFor(/"msg":"ready"/);
  return daemon;
}
