// A protected pair, whole: laboratory, rules, both daemons, both controllers, a server in each guest and a client.

import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ROOT } from '../../lib/root';
import {
  GUEST_IP,
  GUEST_IP6,
  insideLines,
  Lab,
  type LabOptions,
  type LabProcess,
  MIRROR_LINES,
  STREAM_IPS,
  type TopologyOptions,
} from '../lab';
import { Client } from './client';
import { Controller, NODE_INDEX, type NodeStats } from './controller';
import { until } from './wait';

export type Side = 'primary' | 'secondary';
export const GUEST_PORT = 8080;
export const ADDRESSES = { IPv4: GUEST_IP, IPv6: GUEST_IP6 } as const;

const PROGRAM = join(ROOT, 'dist', 'cli', 'main.js');
const SERVER = join(ROOT, 'test', 'netns', 'guest', 'server.js');
const HOSTS = { primary: 'pn', secondary: 'sn' } as const;
const GUESTS = { primary: 'pvm', secondary: 'svm' } as const;

/** What only one of the guests knows. */
export const SECRETS = { primary: 'known-to-the-pvm-alone', secondary: 'known-to-the-svm-alone' } as const;

const LINK_PORT = 7770;
const LINK_KEY = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';

const EEXIST = 17;

const DEFAULT_LINK_SEED = 47;

/**
 * What COLO_TEST_LINK says; else COLO_LINK_SEED chooses for each suite. Those that do not name a link themselves pass
 * with either.
 */
function testLink(): TopologyOptions['link'] {
  const said = process.env.COLO_TEST_LINK;
  if (said === 'ethernet' || said === 'stream') return said;
  if (said !== undefined) throw new Error(`COLO_TEST_LINK is '${said}': it is ethernet or stream`);
  const { expect: suites } = globalThis as { expect?: { getState(): { testPath?: string } } };
  // A benchmark.
  if (suites === undefined) return 'ethernet';
  const suite = basename(suites.getState().testPath ?? '');
  let hash = Number(process.env.COLO_LINK_SEED ?? DEFAULT_LINK_SEED);
  for (const letter of suite) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) & 1) === 0 ? 'ethernet' : 'stream';
}

export interface PairOptions {
  /** How the daemons reach each other; ethernet where nothing is said. */
  link?: TopologyOptions['link'];
  lab?: LabOptions;
  /** Settings of the node, on both sides. */
  node?: Record<string, unknown>;
  /** Called before the rules are set, to change the wiring. */
  prepare?: (lab: Lab) => Promise<void>;
  /** Memory of a client's connection, bytes: small, so that a transfer at a limited rate lasts on the wire, too. */
  clientBuffer?: number;
}

export class Pair {
  readonly daemons = {} as Record<Side, LabProcess>;
  readonly controllers = {} as Record<Side, Controller>;
  client!: Client;
  /** PVM packets that passed before the controller came. */
  unprotectedBefore = 0;

  private constructor(
    readonly lab: Lab,
    private readonly options: PairOptions,
  ) {}

  static async create(options: PairOptions = {}): Promise<Pair> {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run \`make build\``);
    const lab = await Lab.create({ link: options.link ?? testLink(), ...options.lab });
    const pair = new Pair(lab, options);
    try {
      await options.prepare?.(lab);
      pair.writeConfig('primary');
      pair.writeConfig('secondary');
      pair.applyRules();
      const buffer = options.clientBuffer ?? 131072;
      lab.execSync('client', 'sysctl', ['-qw', `net.ipv4.tcp_rmem=4096 65536 ${buffer}`]);
      await Promise.all([
        pair.startGuest('primary'),
        pair.startGuest('secondary'),
        pair.startDaemon('primary'),
        pair.startDaemon('secondary'),
        Client.start(lab).then((client) => {
          pair.client = client;
        }),
      ]);
      await pair.linked();
      await pair.attach('primary');
      await pair.attach('secondary');
      await pair.beginProof();
    } catch (error) {
      await pair.destroy();
      throw error;
    }
    return pair;
  }

  get isStream(): boolean {
    return this.lab.options.link === 'stream';
  }

  /** A command of `colo` on that host, about the pair's configuration. */
  colo(side: Side, ...command: string[]): string {
    return this.lab.execSync(HOSTS[side], process.execPath, [PROGRAM, ...command, '--config', this.configPath(side)]);
  }

  /** Both controllers say that both guests stand and are equal. */
  async checkpoint(): Promise<void> {
    await this.controllers.secondary.checkpoint();
    await this.controllers.primary.checkpoint();
  }

  socketPath(side: Side): string {
    return `${this.lab.dir}/${side}/${side}.sock`;
  }

  configPath(side: Side): string {
    return `${this.lab.dir}/${side}.yaml`;
  }

  /** JSON is YAML. */
  writeConfig(side: Side, more: Record<string, unknown> = {}): void {
    const stream = this.isStream;
    const forward = stream ? {} : { forwardPort: 'fwd0' };
    const node = { index: NODE_INDEX, guestPort: 'tap0', ...forward, ...this.options.node, ...more };
    const key = `${this.lab.dir}/link.key`;
    writeFileSync(key, LINK_KEY, { mode: 0o600 });
    const where = `${STREAM_IPS.pn}:${LINK_PORT}`;
    const link = stream ? { link: { listen: where, connect: where, key } } : {};
    writeFileSync(
      this.configPath(side),
      JSON.stringify({ role: side, stateDir: `${this.lab.dir}/${side}`, ...link, nodes: [node] }),
    );
  }

  async startDaemon(side: Side): Promise<void> {
    const started = this.lab.spawn(HOSTS[side], process.execPath, [PROGRAM, side, '--config', this.configPath(side)]);
    this.daemons[side] = started;
    if (side === 'primary') this.unprotectedBefore = 0;
    await started.waitFor(/"msg":"ready"/, 60_000);
  }

  /** `kill -9` of a daemon; what it knew is in its state directory. */
  async killDaemon(side: Side): Promise<void> {
    await this.daemons[side].stop('SIGKILL');
  }

  /** A controller says INIT; after a restart of the daemon, or of the pair, it says it again. */
  async attach(side: Side): Promise<Controller> {
    this.controllers[side]?.close();
    const controller = new Controller(this.socketPath(side), side);
    this.controllers[side] = controller;
    await until('free node', async () => {
      // The daemon may hear of the former controller's end after it hears the new one.
      const result = await controller.init();
      if (result !== 0 && result !== -EEXIST) throw new Error(`${side}: PROXY_INIT was answered with ${result}`);
      return result === 0;
    });
    return controller;
  }

  async startGuest(side: Side): Promise<void> {
    const guest = GUESTS[side];
    const server = this.lab.spawn(guest, process.execPath, [SERVER, String(GUEST_PORT), SECRETS[side]]);
    await server.waitFor(/listening/, 60_000);
  }

  stats(side: Side): Promise<NodeStats> {
    return this.controllers[side].stats();
  }

  /** Everything was compared, and nothing was found: else throws with the counters. */
  async provenEqual(): Promise<NodeStats> {
    const stats = await this.stats('primary');
    const { counters, requests } = stats;
    const asked = Object.values(requests).reduce((sum, n) => sum + n, 0);
    const good =
      counters.compared_packets! > 0 &&
      counters.primary_unprotected === this.unprotectedBefore &&
      counters.primary_bypassed === 0 &&
      counters.divergences === 0 &&
      counters.checkpoints_done === 0 &&
      asked === 0 &&
      this.controllers.primary.notices === 0;
    if (!good)
      throw new Error(`not everything was compared equal: ${JSON.stringify(stats)}\n${this.daemons.primary.output}`);
    return stats;
  }

  /** Everything that is known, for the message of a test that failed. */
  async account(): Promise<string> {
    const sides: Side[] = ['primary', 'secondary'];
    const stats = await Promise.all(sides.map((side) => this.stats(side).catch(String)));
    const sockets = (['client', 'pvm', 'svm'] as const).map(
      (role) => `${role}:\n${this.lab.execSync(role, 'ss', ['-tanioeH'])}`,
    );
    return [...sides.map((side, i) => `${this.daemons[side].output}\n${JSON.stringify(stats[i])}`), ...sockets].join(
      '\n',
    );
  }

  /** Both daemons have found each other. */
  async linked(): Promise<void> {
    if (!this.isStream) return;
    await this.daemons.primary.waitFor(/link: the other side is connected/, 20_000);
  }

  private async beginProof(): Promise<void> {
    this.unprotectedBefore = (await this.stats('primary')).counters.primary_unprotected!;
  }

  /** A primary node again, after it was killed: links, guest, daemon; and a new pair with the secondary. */
  async rebuildPrimary(): Promise<void> {
    const { lab } = this;
    const { ns } = lab;
    // The last announcement of where the guest is would teach the new pair's bridges the place of the old one.
    const said = (what: RegExp): number => this.daemons.secondary.output.match(what)?.length ?? 0;
    await until('announcements', () => said(/addresses are announced/g) === said(/FAILOVER/g));
    const batch = (command: string[], lines: readonly string[]): void => {
      execFileSync(command[0]!, command.slice(1), { input: `${lines.join('\n')}\n`, stdio: ['pipe', 'pipe', 'pipe'] });
    };
    // Behind a stream link the daemon sees to the port itself, when it is told of a new pair.
    const port = this.isStream ? [] : ['link set tap0 master colobr0'];
    batch(['ip', '-n', ns.sn, '-batch', '-'], [...port, 'link set br0 type bridge fdb_flush']);
    // The switch has learned that the guest is at the secondary node.
    batch(['ip', '-n', ns.client, '-batch', '-'], ['link set lan0 type bridge fdb_flush']);
    batch(
      ['ip', '-batch', '-'],
      [
        `link add name tap0 mtu ${lab.options.mtu} netns ${ns.pn} type veth peer name eth0 mtu ${lab.options.mtu} netns ${ns.pvm}`,
      ],
    );
    batch(['ip', '-n', ns.pvm, '-batch', '-'], insideLines('pvm', lab.options));
    batch(['ip', '-n', ns.pn, '-batch', '-'], ['link set nic0 up', 'link set fwd0 up', 'link set tap0 master br0 up']);
    lab.execSync('pn', 'sysctl', ['-qw', 'net.ipv6.conf.tap0.disable_ipv6=1']);
    if (!this.isStream) batch(['tc', '-n', ns.pn, '-batch', '-'], MIRROR_LINES);
    rmSync(`${lab.dir}/primary`, { recursive: true, force: true });
    await Promise.all([this.startGuest('primary'), this.startDaemon('primary'), this.portsForward()]);
    // The guest that took over is to be a copy again: what its connections lived on is forgotten.
    const isolated = said(/its port is isolated/g);
    await (await this.attach('secondary')).reset();
    if (this.isStream) {
      await until('isolated guest', () => said(/its port is isolated/g) > isolated);
      // Until then it has spoken, and both bridges have learned where.
      for (const [role, bridge] of [
        ['client', 'lan0'],
        ['pn', 'br0'],
      ] as const) {
        this.lab.execSync(role, 'ip', ['link', 'set', bridge, 'type', 'bridge', 'fdb_flush']);
      }
    }
    await this.linked();
    await this.attach('primary');
    await this.beginProof();
  }

  async destroy(): Promise<void> {
    for (const controller of Object.values(this.controllers)) controller.close();
    await this.lab.destroy();
  }

  /** A bridge learns of a port's carrier in the kernel's own time. */
  private async portsForward(): Promise<void> {
    await until('forwarding bridge ports', () =>
      (['client', 'pn', 'sn'] as const).every((role) =>
        (JSON.parse(this.lab.execSync(role, 'bridge', ['-j', 'link'])) as { state: string }[]).every(
          (port) => port.state === 'forwarding',
        ),
      ),
    );
  }

  private applyRules(): void {
    const mangle = (...rules: string[]): string => `*mangle\n${rules.join('\n')}\nCOMMIT\n`;
    const from = (port: string, queue: number, ...match: string[]): string =>
      ['-A PREROUTING', ...match, `-m physdev --physdev-in ${port} -j NFQUEUE --queue-num ${queue}`].join(' ');
    const udp = [from('tap0', 102, '-p udp'), from('fwd0', 103, '-p udp')];
    if (this.isStream) {
      for (const side of ['primary', 'secondary'] as const) this.colo(side, 'rules', 'apply');
      return;
    }
    const primary = `*raw\n-A PREROUTING -m physdev --physdev-in fwd0 -j CT --zone 6535\nCOMMIT\n${mangle(...udp, from('tap0', 100), from('fwd0', 101))}`;
    const secondary = mangle(
      from('tap0', 100),
      '-A FORWARD -m physdev --physdev-out tap0 --physdev-is-bridged -j NFQUEUE --queue-num 101',
    );
    for (const restore of ['iptables-restore', 'ip6tables-restore']) {
      this.lab.execSync('pn', restore, ['--noflush'], primary);
      this.lab.execSync('sn', restore, ['--noflush'], secondary);
    }
  }
}
