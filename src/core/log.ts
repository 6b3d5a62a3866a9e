// What of a logger is needed here. Never called per packet.

export type Line = (fields: Record<string, unknown>, text: string) => void;

export interface Log {
  info: Line;
  warn: Line;
  error: Line;
}

/** From everything to nothing. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
