// `colo qemu netdev`: QEMU's filters outside QEMU, between a guest port and a host port. `mirror`, `redirector` and
// `rewriter` are the same with one filter.

import { type Command, Option } from 'commander';
import { complaints } from '../config/errors';
import { readConfigFile } from '../config/file';
import { OperatorError } from '../core/errors';
import type { FilterType } from '../qemu/netdev/filter-options';
import {
  type NetdevConfig,
  type NetdevFlags,
  netdevFromFile,
  netdevFromFlags,
  netdevSchema,
} from '../qemu/netdev/netdev-config';
import { keepWhatIsNeeded } from './qemu-capabilities';

const PORTS = 'ENDPOINT (unix:PATH or tcp:HOST:PORT, then ,server or ,reconnect=SECONDS), tap:NAME or none';

const HELP = `
Filters, with QEMU's names and defaults:
  mirror,id=ID,outdev=CHARDEV               a copy to outdev; dropped when outdev has no peer
  redirector,id=ID,indev=..,outdev=..       to outdev instead of on; dropped when outdev has no peer, unless fail_open=on
  rewriter,id=ID[,state=FILE][,max_flows=N] the primary's numbers for the guest's TCP connections
Each takes queue=tx|rx|all, position=head|tail|id=ID, insert=before|behind, status=on|off; the first two vnet_hdr_support=on|off.
SIGTERM, SIGINT  end`;

type Flags = Partial<NetdevFlags> & { logLevel: string };

export function addQemuNetdevCommands(group: Command): void {
  const netdev = group
    .command('netdev')
    .description('a guest port and a host port with filters between them')
    .option('--config <file>', 'a YAML file instead of the other options')
    .option('--id <id>', 'its name in the `netdev=` of filters (default hn0)')
    .addOption(
      new Option('--chardev <device>', 'id=ID,ENDPOINT, or as for QEMU: socket,id=ID,path=... (again for each)')
        .argParser(collect)
        .default([], 'none'),
    )
    .addOption(
      new Option('--filter <filter>', 'a filter, see below (again for each)').argParser(collect).default([], 'none'),
    )
    .addHelpText('after', HELP);
  addCommon(netdev).action(async (flags: Flags & { config?: string }) => {
    await run(flags.config === undefined ? fromFlags(flags) : fromFile(flags.config, flags), flags.logLevel);
  });
  addShorthand(group, 'mirror', 'a netdev that copies its frames to --outdev', ['outdev']);
  addShorthand(group, 'redirector', 'a netdev whose frames go to --outdev, and come from --indev', ['indev', 'outdev']);
  addShorthand(group, 'rewriter', "a netdev that gives the guest's TCP connections the primary's numbers", []);
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function addCommon(command: Command): Command {
  return command
    .option('--guest <port>', `the guest's port: ${PORTS}`)
    .option('--host <port>', `the host's port: ${PORTS}`)
    .option('--vnet-header-bytes <n>', 'virtio-net header of every frame at both ports: 0, 10, 12 or 20 (default 0)')
    .option('--control <path>', 'path of a socket for `colo qemu ctl`')
    .option('--qmp <endpoint>', 'a QMP socket of the secondary: the rewriter learns of checkpoints and of the failover')
    .addOption(new Option('--log-level <level>').choices(['debug', 'info', 'warn', 'error']).default('info'));
}

interface ShorthandFlags extends Flags {
  queue?: string;
  indev?: string;
  outdev?: string;
  status?: string;
  vnetHdrSupport?: string;
  vnet_hdr_support?: string;
  failOpen?: string;
  state?: string;
  maxFlows?: string;
}

function addShorthand(
  group: Command,
  type: FilterType,
  description: string,
  devices: readonly ('indev' | 'outdev')[],
): void {
  const command = group.command(type).description(description);
  addCommon(command)
    .addOption(new Option('--queue <queue>', 'frames to the guest, from it, or both').choices(['tx', 'rx', 'all']))
    .addOption(new Option('--status <status>', 'on or off at the start').choices(['on', 'off']));
  for (const device of devices)
    command.option(`--${device} <endpoint>`, device === 'indev' ? 'frames come from here' : 'frames go here');
  // By QEMU's name, and the same with dashes.
  if (devices.length > 0) {
    const names = ['vnet_hdr_support', 'vnet-hdr-support'];
    for (const name of names)
      command.addOption(
        new Option(`--${name} <on|off>`, 'the size of a virtio-net header stands before every frame')
          .choices(['on', 'off'])
          .hideHelp(name === names[1]),
      );
  }
  if (type === 'redirector')
    command.addOption(
      new Option('--fail-open <on|off>', 'let frames pass when outdev has no peer').choices(['on', 'off']),
    );
  if (type === 'rewriter') {
    command.option('--state <file>', 'file in which the offsets outlive the process');
    command.option('--max-flows <n>', 'greatest number of connections');
  }
  command.action(async (flags: ShorthandFlags) => {
    const options: [string, string | undefined][] = [
      ['queue', flags.queue],
      ['status', flags.status],
      ['vnet_hdr_support', flags.vnetHdrSupport ?? flags.vnet_hdr_support],
      ['fail_open', flags.failOpen],
      ['state', flags.state],
      ['max_flows', flags.maxFlows],
    ];
    const chardev: string[] = [];
    for (const device of devices) {
      if (flags[device] === undefined) continue;
      chardev.push(`id=${device},${flags[device]}`);
      options.push([device, device]);
    }
    const given = options.filter(([, value]) => value !== undefined);
    const filter = [
      type,
      `id=${type}0`,
      ...given.map(([name, value]) => `${name}=${value!.replaceAll(',', ',,')}`),
    ].join(',');
    await run(fromFlags({ ...flags, chardev, filter: [filter] }), flags.logLevel);
  });
}

function fromFlags(flags: Flags): NetdevConfig {
  const { guest, host } = flags;
  if (guest === undefined || host === undefined) {
    throw new OperatorError('EUSAGE', `--${guest === undefined ? 'guest' : 'host'} is missing`, `it is ${PORTS}`);
  }
  return netdevFromFlags({ ...flags, guest, host, chardev: flags.chardev ?? [], filter: flags.filter ?? [] });
}

function fromFile(path: string, flags: Flags): NetdevConfig {
  for (const name of ['guest', 'host', 'id', 'control', 'qmp', 'vnetHeaderBytes'] as const) {
    if (flags[name] !== undefined)
      throw new OperatorError('EUSAGE', `--${name} cannot be used with --config: write it into the file`);
  }
  if (flags.chardev!.length + flags.filter!.length > 0) {
    throw new OperatorError('EUSAGE', '--chardev and --filter cannot be used with --config: write them into the file');
  }
  const source = readConfigFile(path);
  const parsed = netdevSchema.safeParse(source.value);
  if (parsed.success) return netdevFromFile(parsed.data);
  const lines = complaints(netdevSchema, parsed.error.issues, source.value).map(
    (c) => `${source.place(c.path)}: ${c.text}`,
  );
  throw new OperatorError('ECONFIG', lines.join('\n'), 'see docs/examples/netdev.yaml');
}

/** Gives up capabilities, then loads the netdev. */
async function run(config: NetdevConfig, logLevel: string): Promise<void> {
  const { guest, host, devices, qmp } = config;
  keepWhatIsNeeded({
    tap: guest.kind === 'tap' || host.kind === 'tap',
    endpoints: [guest, host]
      .map((port) => (port.kind === 'socket' ? port.endpoint : undefined))
      .concat(
        devices.map(({ endpoint }) => endpoint),
        qmp,
      ),
  });
  const { runNetdev } = require('../daemon/run-netdev') as typeof import('../daemon/run-netdev');
  await runNetdev(config, logLevel);
}
