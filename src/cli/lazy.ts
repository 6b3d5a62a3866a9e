// Commands that are loaded on demand: loading is most of a program's start.

import type { Command } from 'commander';

/** In the order of the help. A module that adds several commands stands here once for each. */
export type Commands = Readonly<Record<string, (to: Command) => void>>;

/**
 * Adds the command of that name, or all without a known name: help lists all, and suggestions for a mistyped word need
 * them.
 */
export function addCommands(to: Command, commands: Commands, name: string | undefined): void {
  if (name !== undefined && Object.hasOwn(commands, name)) commands[name]!(to);
  else for (const add of new Set(Object.values(commands))) add(to);
}
