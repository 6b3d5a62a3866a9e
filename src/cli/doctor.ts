// `colo doctor`: checks this machine, and advises. Exit status 0: everything needed is there; 1: something is missing.

import { type Command, Option } from 'commander';
import { addConfigOptions, type Config, loadConfig, type Role } from '../config/config';
import type { LinkSettings } from '../config/link';
import { OperatorError } from '../core/errors';
import { readLinkKey } from '../daemon/link-key';
import { answer, type Check, type Question, unanswered } from '../doctor/check';
import { dropNamespace, kernelQuestions, makeNamespace, type ProbeNamespace, sweepNamespaces } from '../doctor/kernel';
import { machineQuestions, mayProbe } from '../doctor/machine';
import { formatEndpoint, parseEndpoint } from '../io/stream/endpoint';
import { checkRules, missingRules } from '../rules';
import { printJson, printTable } from './output';

const EXIT_MISSING = 1;

type Flags = Record<string, unknown> & { json?: boolean; iptables?: string; nftables?: boolean; role?: Role };

export function addDoctorCommand(program: Command): void {
  addConfigOptions(
    program.command('doctor').description('check what this kernel and machine have and lack, and what to do'),
  )
    .addOption(new Option('--role <role>', 'role of this host, when no file has it').choices(['primary', 'secondary']))
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
With a configuration, the interfaces and bridges that it names are looked at, too, and whether its rules are in place.
What the kernel can do is tried in a network namespace of its own: nothing of the host is changed.`,
    )
    .action(async (flags: Flags) => {
      const config =
        flags.config !== undefined || flags.guestPort !== undefined ? loadConfig(flags, flags.role) : undefined;
      const checks = await examine(
        config?.iptables ?? flags.iptables ?? 'iptables',
        config?.nftables ?? flags.nftables !== false,
        config,
      );
      const lacking = checks.filter(({ needed, state }) => needed && state !== 'ok');
      if (flags.json) printJson({ ok: lacking.length === 0, checks });
      else print(checks);
      if (lacking.length > 0) process.exitCode = EXIT_MISSING;
    });
}

async function examine(iptables: string, nftables: boolean, config: Config | undefined): Promise<Check[]> {
  const checks: Check[] = [];
  for (const question of machineQuestions(iptables, nftables)) checks.push(await answer(question));
  checks.push(...(await examineKernel(iptables, nftables)));
  if (config) {
    const wiring = await examineWiring(config);
    checks.push(...wiring);
    if (config.link !== undefined) checks.push(await examineLink(config.link));
    if (wiring[0]!.state === 'ok') checks.push(await examineRules(config));
  }
  return checks;
}

async function examineKernel(iptables: string, nftables: boolean): Promise<Check[]> {
  const nowhere: ProbeNamespace = { name: '', outside: '', port: '', bridge: '' };
  const skipped = (why: string) =>
    kernelQuestions(nowhere, iptables, nftables).map((question) => unanswered(question, why));
  if (!mayProbe()) return skipped('to try it, run as root');
  let ns: ProbeNamespace;
  try {
    await sweepNamespaces();
    ns = await makeNamespace();
  } catch (error) {
    return skipped(`no network namespace: ${(error as Error).message}`);
  }
  // Ctrl-C must not leave the namespace behind.
  const interrupted = () => void dropNamespace(ns).finally(() => process.exit(130));
  process.once('SIGINT', interrupted);
  try {
    const checks: Check[] = [];
    for (const question of kernelQuestions(ns, iptables, nftables)) checks.push(await answer(question));
    return checks;
  } finally {
    process.off('SIGINT', interrupted);
    await dropNamespace(ns);
  }
}

async function examineWiring(config: Config): Promise<Check[]> {
  const base = { id: 'wiring', what: 'interfaces and bridges of the configuration' };
  try {
    const warnings = await checkRules(config);
    const good: Check = { ...base, state: 'ok', needed: true, found: 'as they should be' };
    return [
      good,
      ...warnings.map(
        (found): Check => ({ id: 'warning', what: 'worth a look', state: 'missing', needed: false, found }),
      ),
    ];
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const found = error.message.split('\n').join('; ');
    return [
      { ...base, state: 'missing', needed: true, found, ...(error.hint === undefined ? {} : { todo: error.hint }) },
    ];
  }
}

function examineLink({ endpoint, key }: LinkSettings): Promise<Check> {
  return answer({
    id: 'link',
    what: 'link to the other host',
    needed: true,
    todo: 'see docs/LINK.md',
    ask: () => {
      const where = parseEndpoint(endpoint);
      if (key !== undefined) readLinkKey(key);
      const does = where.server ? 'listens at' : 'dials';
      const carried = key !== undefined ? 'encrypted' : where.kind === 'unix' ? 'on this host' : 'WITHOUT A KEY';
      return `${does} ${formatEndpoint({ ...where, server: false })}, ${carried}`;
    },
  });
}

/** Not needed: the doctor runs before the rules are applied. */
function examineRules(config: Config): Promise<Check> | Check {
  const question: Question = {
    id: 'rules',
    what: 'rules of the configuration',
    needed: false,
    todo: 'colo rules apply (until then nothing is compared or translated, whatever colo status says)',
    ask: async () => {
      const missing = await missingRules(config);
      if (missing.length > 0) throw new Error(missing.join('; '));
      return 'in place';
    },
  };
  return mayProbe() ? answer(question) : unanswered(question, 'to see them, run as root');
}

const WORDS: Record<Check['state'], string> = { ok: 'ok', missing: 'MISSING', unknown: '?' };

function print(checks: readonly Check[]): void {
  printTable(
    ['', 'what', 'found'],
    checks.map(({ state, needed, what, found }) => [
      state === 'missing' && !needed ? 'lacks' : WORDS[state],
      what,
      found,
    ]),
  );
  const open = checks.filter(({ todo }) => todo !== undefined);
  if (open.length > 0) console.log(`\n${open.map(({ what, todo }) => `${what}: ${todo}`).join('\n')}`);
  const needed = checks.filter((check) => check.needed && check.state !== 'ok').length;
  console.log(
    `\n${needed === 0 ? 'everything needed is there' : `${needed} needed thing${needed === 1 ? '' : 's'} missing or unknown`}`,
  );
}
