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
connections that are to be compared: the SYNs tell how the two guests' sequence numbers belong together.

Without --guest, the guest's addresses are those that send in both captures; where these send to one another, it is the
one that all the others speak with, if there is one.

A flow is compared up to its first difference. What is left at the end of the captures, and was sent by one side only, is
a difference, too. What lacks in the middle of a stream was lost by the capture: it is left out, and what stands behind it compared.

Exit status: 0 all that the guests sent is equal; 1 different; 2 trouble, or nothing differs but something of the guests'
could not be compared ("left out": damaged packets, holes, connections without a SYN). ARP, neighbour discovery and multicast
membership are never compared and do not count.`;

export function addCompareCommand(program: Command): void {
  program
    .command('compare')
    .description('compare what two guests sent, out of two captures')
    .argument('<primary>', "capture of the primary guest's packets")
    .argument('<secondary>', "capture of the secondary guest's packets")
    .addOption(
      new Option('--guest <address>', 'address of the guest (may be repeated)')
        .argParser((one: string, all: string[]) => [...all, one])
        .default([], 'those that send in both captures'),
    )
    .option('--max-differences <n>', 'show at most so many differing flows', count, DEFAULT_MAX_DIFFERENCES)
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
