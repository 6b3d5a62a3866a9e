// `colo qemu compare`: colo-compare outside QEMU, by QEMU's option names. One instance by options, several by a file.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { complaints } from '../config/errors';
import { type ConfigSource, readConfigFile } from '../config/file';
import { OperatorError } from '../core/errors';
import { COMPARE_DEFAULTS, compareFileSchema, compareSettings } from '../qemu/compare/compare-config';
import { printJson } from './output';
import { keepWhatIsNeeded } from './qemu-capabilities';

const ENDPOINTS = ['primary_in', 'secondary_in', 'outdev', 'notify_dev', 'qmp'] as const;
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
const NUMBERS = [
  'compare_timeout',
  'max_compare_timeout',
  'min_checkpoint_interval',
  'expired_scan_cycle',
  'max_queue_size',
] as const;

const DESCRIPTIONS: Record<string, string> = {
  primary_in: "the primary guest's frames (from its filter-redirector)",
  secondary_in: "the secondary guest's frames",
  outdev: 'verified frames of the primary go here',
  notify_dev: 'the controller: libxl, or any other that makes checkpoints',
  qmp: 'a QMP socket of the primary QEMU: checkpoints of COLO without Xen',
  compare_timeout:
    'silence of one guest, in ms, after which a checkpoint is asked for; auto: learned from how long they wait for each other',
  max_compare_timeout: 'upper limit of auto, in ms',
  min_checkpoint_interval: 'shortest time that the primary runs between two checkpoints, in ms',
  expired_scan_cycle:
    'time until an unanswered request is repeated, in ms; silence is checked every 100 ms, or as often as this if it is less',
  max_queue_size: 'at most 16 times as many packets are held',
};

const HELP = `
ENDPOINT is unix:PATH or tcp:HOST:PORT, then ,server or ,reconnect=SECONDS. Options may be written with dashes as well. Instead of
them, --config FILE names a YAML file whose key \`compare\` is a list of instances with the same keys, and \`id\`.

SIGTERM, SIGINT  end; held packets are not released`;

type Flags = Record<string, string | number | boolean>;

export function addQemuCompareCommand(group: Command): void {
  const command = group
    .command('compare')
    .description("colo-compare: releases the primary's packets that the secondary has sent too")
    .addHelpText('after', HELP);
  addProperty(command, 'id', 'NAME', `for logs and metrics (default ${COMPARE_DEFAULTS.id})`);
  for (const name of ENDPOINTS) addProperty(command, name, 'ENDPOINT', DESCRIPTIONS[name]!);
  for (const name of NUMBERS) {
    const parser = name === 'compare_timeout' ? wholeOrAuto : whole;
    addProperty(command, name, 'N', `${DESCRIPTIONS[name]} (default ${COMPARE_DEFAULTS[name]})`, parser);
  }
  addProperty(
    command,
    'vnet_hdr_support',
    '[on|off]',
    'the size of a virtio-net header stands before every frame (default off)',
  );
  command
    .option('--config <file>', 'instances from a YAML file instead')
    .addOption(new Option('--metrics-port <port>', 'Prometheus metrics on this loopback port').argParser(whole))
    .addOption(new Option('--log-level <level>').choices(LOG_LEVELS).default('info'))
    .option('--json', 'print the counters as JSON when ending')
    .action(async (flags: Flags) => {
      const settings = compareSettings(checked(flags));
      const metricsPort = typeof flags.metricsPort === 'number' ? flags.metricsPort : undefined;
      keepWhatIsNeeded({
        tap: false,
        endpoints: settings.flatMap((s) => [s.primaryIn, s.secondaryIn, s.outdev, s.notifyDev, s.qmp]),
        metricsPort,
      });
      const { runCompare } = require('../daemon/run-compare') as typeof import('../daemon/run-compare');
      const counters = await runCompare(settings, String(flags.logLevel), metricsPort);
      if (flags.json === true) printJson(counters);
    });
}

/** By QEMU's name, and the same with dashes. */
function addProperty(
  command: Command,
  name: string,
  value: string,
  description: string,
  parser?: (text: string) => number | string,
): void {
  const argument = value.startsWith('[') ? value : `<${value}>`;
  const names = name.includes('_') ? [name, name.replaceAll('_', '-')] : [name];
  names.forEach((spelling, i) => {
    const option = new Option(`--${spelling} ${argument}`, description).hideHelp(i > 0);
    command.addOption(parser === undefined ? option : option.argParser(parser));
  });
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('it must be a whole number.');
  return Number(text);
}

function wholeOrAuto(text: string): number | string {
  return text === 'auto' ? text : whole(text);
}

/** The file's instances, or the one of the options. Throws OperatorError. */
function checked(flags: Flags) {
  const given = propertiesOf(flags);
  const file = typeof flags.config === 'string' ? flags.config : undefined;
  if (file !== undefined && Object.keys(given).length > 0) {
    throw new OperatorError(
      'EUSAGE',
      `--${Object.keys(given)[0]} cannot be used with --config`,
      'write it into the file',
    );
  }
  const source: ConfigSource =
    file === undefined ? { value: { compare: [given] }, place: () => '' } : readConfigFile(file);
  const parsed = compareFileSchema.safeParse(source.value);
  if (parsed.success) return parsed.data;
  const lines = complaints(compareFileSchema, parsed.error.issues, source.value).map(({ path, text }) => {
    if (file === undefined) return `--${String(path.at(-1))}${text.slice(text.indexOf(' '))}`;
    return `${source.place(path)}: ${text}`;
  });
  throw new OperatorError('ECONFIG', lines.join('\n'), 'see colo qemu compare --help');
}

/** Options by QEMU's names, with underscores or dashes. */
function propertiesOf(flags: Flags): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const name of ['id', ...ENDPOINTS, ...NUMBERS, 'vnet_hdr_support']) {
    // Commander makes primaryIn of --primary-in.
    const value = flags[name] ?? flags[name.replace(/_(\w)/g, (_all, letter: string) => letter.toUpperCase())];
    if (value !== undefined) out[name] = value;
  }
  return out;
}
