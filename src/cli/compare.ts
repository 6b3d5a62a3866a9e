// `colo compare`: did the two guests send the same? Out of two captures, after the fact and without privileges.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { compareCaptures, DEFAULT_MAX_DIFFERENCES } from '../replay/captures';
import { comparisonText } from './compare-text';
import { printJson } from './output';

interface Flags {
  guest: string[];
  json?: boolean;
  maxDifferences: number;
  secondaryTranslated?: boolean;
}

const EXIT_STATUS = { equal: 0, different: 1, incomplete: 2 } as const;

const HELP = `
PRIMARY and SECONDARY are pcap or pcapng files, best taken at the same time at each guest's port and begun before the
connections that are to be compared: the SYNs show how the two guests' sequence numbers correspond.

Without --guest, the guest's addresses are those that send in both captures; if these send to one another, the guest is the
one that all the others send to, if there is one.

A flow is compared up to its first difference. Bytes that only one side has sent at the end of the captures are a difference,
too. Bytes missing in the middle of a stream were lost by the capture: they are left out, and later ones compared.

Exit status: 0 everything that the guests sent is equal; 1 different; 2 failure, or nothing differs but some packets
could not be compared ("left out": damaged packets, holes, connections without a SYN). ARP, neighbour discovery and multicast
membership are never compared and do not count.`;

export function addCompareCommand(program: Command): void {
  program
    .command('compare')
    .description('compare the output of two guests by two captures')
    .argument('<primary>', "capture of the primary guest's packets")
    .argument('<secondary>', "capture of the secondary guest's packets")
    .addOption(
      new Option('--guest <address>', 'address of the guest (may be repeated)')
        .argParser((one: string, all: string[]) => [...all, one])
        .default([], 'those that send in both captures'),
    )
    .option('--max-differences <n>', 'greatest number of differing flows to show', count, DEFAULT_MAX_DIFFERENCES)
    .option('--secondary-translated', "the secondary's connections have the primary's sequence numbers already")
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action((primary: string, secondary: string, flags: Flags) => {
      const result = compareCaptures(primary, secondary, {
        guests: flags.guest,
        maxDifferences: flags.maxDifferences,
        secondaryTranslated: flags.secondaryTranslated,
      });
      if (flags.json) printJson(result);
      else process.stdout.write(comparisonText(result));
      if (!result.equal) process.exitCode = EXIT_STATUS[result.result];
    });
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('it must be a number, 0 or more');
  return Number(text);
}
