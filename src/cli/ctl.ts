// `colo ctl` and `colo status`: the operator's side of the control channel, over the daemon's Unix socket.

import { existsSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { OperatorError } from '../core/errors';
import { ColoMode } from '../netlink/colo-generation2';
import { generation2, own } from '../nfnetlink-colo/client';
import { ask, type Refusals } from './control-client';
import { printJson, printTable } from './output';

const DEFAULT_SOCKETS = ['/run/colo/primary.sock', '/run/colo/secondary.sock'];

interface CommonOptions {
  socket?: string;
  node?: string;
  json?: boolean;
}

function addCommon(command: Command): Command {
  return command
    .option(
      '--socket <path>',
      "the daemon's control socket (default: the one that exists of /run/colo/{primary,secondary}.sock)",
    )
    .option('--node <index>', 'which node (default: the only one)')
    .option('--json', 'print JSON');
}

function socketOf(options: CommonOptions): string {
  if (options.socket !== undefined) return options.socket;
  const found = DEFAULT_SOCKETS.filter((path) => existsSync(path));
  if (found.length === 1) return found[0]!;
  throw new OperatorError(
    'ESOCKET',
    found.length === 0
      ? `no daemon serves ${DEFAULT_SOCKETS.join(' or ')}`
      : 'both a primary and a secondary daemon run here',
    'name its control socket with --socket',
  );
}

function nodeOf(options: CommonOptions): number | undefined {
  if (options.node === undefined) return undefined;
  const node = Number(options.node);
  if (!Number.isInteger(node) || node < 0 || node > 0xffffffff) {
    throw new OperatorError('EUSAGE', `--node ${options.node} is no node index`, 'give the index of the configuration');
  }
  return node;
}

interface StatusReply {
  nodes?: Record<string, unknown>[];
  [key: string]: unknown;
}

/** Mode of the addressed node, asked of the daemon so that the operator need not give it. */
async function modeOf(socket: string, node: number | undefined): Promise<ColoMode> {
  const status = (await ask(socket, own.status({ node }))) as StatusReply;
  const nodes = status.nodes ?? [];
  if (node === undefined && nodes.length > 1) {
    const names = nodes.map(({ index, name }) => `${index} (${name})`).join(', ');
    throw new OperatorError('EUSAGE', `which node? configured: ${names}`, 'name it with --node');
  }
  const role = status.role ?? (nodes[0]?.role as string | undefined);
  return role === 'secondary' ? ColoMode.SECONDARY : ColoMode.PRIMARY;
}

const INIT_REFUSALS: Refusals = {
  EEXIST: ['the node has a controller already', '`colo ctl status --json` shows which; `colo ctl leave` ends it'],
};

const REFUSALS: Refusals = {
  EEXIST: ['the node has no controller', '`colo ctl init` begins protection'],
  EINVAL: ['the node is unprotected, or has failed over', '`colo ctl status` shows it'],
};

function done(options: CommonOptions, what: string): void {
  if (options.json) printJson({ ok: true, done: what });
  else console.log(what);
}

export function addCtlCommand(program: Command): void {
  const ctl = program
    .command('ctl')
    .description('control a running daemon: init, checkpoint, failover, reset, release, leave, status, stats, bypass');

  addCommon(
    ctl
      .command('init')
      .description('begin protection (PROXY_INIT); it lasts until `ctl leave`, or a controller takes over'),
  ).action(async (options: CommonOptions) => {
    const socket = socketOf(options);
    const mode = await modeOf(socket, nodeOf(options));
    await ask(socket, generation2.init(mode, { pid: nodeOf(options) ?? 0, detached: true }), INIT_REFUSALS);
    done(options, 'protection begins');
  });

  const simple = (
    name: string,
    description: string,
    what: string,
    request: (mode: ColoMode, pid: number) => Uint8Array,
  ): void => {
    addCommon(ctl.command(name).description(description)).action(async (options: CommonOptions) => {
      const socket = socketOf(options);
      const node = nodeOf(options);
      const mode = await modeOf(socket, node);
      if (name === 'failover' && mode === ColoMode.PRIMARY) {
        throw new OperatorError(
          'EROLE',
          'a failover is for a secondary, and this daemon is a primary',
          'run this on the secondary host',
        );
      }
      await ask(socket, request(mode, node ?? 0), REFUSALS);
      done(options, what);
    });
  };
  simple(
    'checkpoint',
    'the guests are stopped and equal (DO_CHECKPOINT): release held packets, begin the next epoch',
    'checkpoint done',
    (mode, pid) => generation2.checkpoint(mode, { pid, ack: true }),
  );
  simple('failover', 'the primary is dead (DO_FAILOVER): the secondary takes over', 'failover done', (mode, pid) =>
    generation2.failover(mode, { pid, ack: true }),
  );
  simple(
    'reset',
    'forget the connections, and a failover (PROXY_RESET); held packets are dropped',
    'reset done',
    (mode, pid) => generation2.reset(mode, { pid, ack: true }),
  );

  const plain = (name: string, description: string, what: string, request: typeof own.release): void => {
    addCommon(ctl.command(name).description(description)).action(async (options: CommonOptions) => {
      await ask(socketOf(options), request({ node: nodeOf(options) }));
      done(options, what);
    });
  };
  plain('release', 'release all held packets now, unverified, in order', 'released', own.release);
  plain(
    'leave',
    'end protection: as if the controller went away (see onControllerLoss)',
    'the controller has left',
    own.leave,
  );

  addCommon(ctl.command('status').description('state of the daemon and its nodes')).action((options: CommonOptions) =>
    showStatus(options),
  );

  addCommon(ctl.command('stats').description('all counters')).action(async (options: CommonOptions) => {
    const stats = await ask(socketOf(options), own.stats({ node: nodeOf(options) }));
    if (options.json) printJson(stats);
    else printFlat(stats);
  });

  const bypass = ctl.command('bypass').description('rules for traffic that is not compared');
  addCommon(bypass.command('list').description('the rules in force')).action(async (options: CommonOptions) => {
    const reply = await ask(socketOf(options), own.bypassList({ node: nodeOf(options) }));
    if (options.json) printJson(reply);
    else printFlat(reply);
  });
  const rule = (command: Command): Command =>
    addCommon(command)
      .option('--protocol <name>', 'tcp, udp, icmp, icmpv6, gre, ... or a number')
      .option('--prefix <address>', 'address or prefix, such as 10.0.0.0/8')
      .option('--ports <range>', 'port or range, such as 3389 or 8000-8080')
      .addOption(
        new Option('--end <end>', 'whose address and port').choices(['guest', 'peer', 'either']).default('either'),
      );
  rule(bypass.command('add').description('add a rule')).action(async (options: CommonOptions & RuleOptions) => {
    await ask(socketOf(options), own.bypassAdd(ruleOf(options), { node: nodeOf(options) }));
    done(options, 'rule added');
  });
  rule(bypass.command('remove').description('remove a rule')).action(async (options: CommonOptions & RuleOptions) => {
    await ask(socketOf(options), own.bypassRemove(ruleOf(options), { node: nodeOf(options) }));
    done(options, 'rule removed');
  });
  addCommon(bypass.command('flush').description('remove all rules')).action(async (options: CommonOptions) => {
    await ask(socketOf(options), own.bypassFlush({ node: nodeOf(options) }));
    done(options, 'all rules removed');
  });
}

interface RuleOptions {
  protocol?: string;
  prefix?: string;
  ports?: string;
  end: string;
}

function ruleOf(o: RuleOptions): Record<string, unknown> {
  const rule: Record<string, unknown> = { end: o.end };
  if (o.protocol !== undefined) rule.protocol = /^\d+$/.test(o.protocol) ? Number(o.protocol) : o.protocol;
  if (o.prefix !== undefined) rule.prefix = o.prefix;
  if (o.ports !== undefined) rule.ports = /^\d+$/.test(o.ports) ? Number(o.ports) : o.ports;
  return rule;
}

export function addStatusCommand(program: Command): void {
  addCommon(program.command('status').description('state of the daemon and its nodes'))
    .option('--watch', 'refresh every second until interrupted')
    .action(async (options: CommonOptions & { watch?: boolean }) => {
      if (!options.watch) return showStatus(options);
      process.once('SIGINT', () => process.exit(0));
      for (;;) {
        if (process.stdout.isTTY && !options.json) process.stdout.write('\x1b[H\x1b[2J');
        await showStatus(options);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    });
}

async function showStatus(options: CommonOptions): Promise<void> {
  const status = (await ask(socketOf(options), own.status({ node: nodeOf(options) }))) as StatusReply;
  if (options.json) {
    printJson(status);
    return;
  }
  const nodes = status.nodes ?? [];
  const { nodes: _, ...rest } = status;
  console.log(
    Object.entries(rest)
      .filter(([, value]) => typeof value !== 'object')
      .map(([key, value]) => `${key} ${value}`)
      .join('  '),
  );
  for (const node of nodes)
    if (LOUD.has(String(node.state)))
      console.log(`!! node ${node.name ?? node.index}: ${String(node.state).toUpperCase()}`);
  if (rest.netlinkFailure !== undefined)
    console.log(`!! NO CONTROLLER CAN BE HEARD OVER NETLINK: ${String(rest.netlinkFailure)}`);
  for (const { name, index, rulesMissing } of nodes) {
    const missing = (rulesMissing ?? []) as string[];
    if (missing.length > 0)
      console.log(`!! node ${name ?? index}: RULES ARE GONE (colo rules apply): ${missing.join('; ')}`);
  }
  printTable(
    ['node', 'name', 'mode', 'state', 'flows', 'held', 'held bytes', 'checkpoints', 'divergences'],
    nodes.map((n) =>
      [n.index, n.name, n.mode, n.state, n.flows, n.heldPackets, n.heldBytes, n.checkpoints, n.divergences].map((v) =>
        v === undefined || v === null ? '-' : String(v),
      ),
    ),
  );
}

/** States that an operator must not overlook. */
const LOUD = new Set(['unprotected', 'rules-missing', 'guest-dead', 'controller-lost', 'failed-over']);

function printFlat(value: unknown, prefix = ''): void {
  if (typeof value !== 'object' || value === null) {
    console.log(`${prefix.padEnd(40)} ${String(value)}`);
    return;
  }
  for (const [key, inner] of Object.entries(value)) printFlat(inner, prefix === '' ? key : `${prefix}.${key}`);
}
