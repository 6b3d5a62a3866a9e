// Commands that are loaded when they are asked for: loading is most of what a program takes to start.

import type { Command } from 'commander';

/** In the order of the help. A module that adds several commands stands here once for each. */
export type Commands = Readonly<Record<string, (to: Command) => void>>;

/**
 * Adds the command of that name, or all where there is none: help shows them all, and a wrong word may be like one of
 * them.
 */
export function addCommands(to: Command, commands: Commands, name: string | undefined): void {
  if (name !== undefined && Object.hasOwn(commands, name)) commands[name]!(to);
  else for (const add of new Set(Object.values(commands))) add(to);
}
