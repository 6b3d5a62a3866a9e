// What of a logger is needed here; pino's fits. Never called per packet.

type Line = (fields: Record<string, unknown>, text: string) => void;

export interface Log {
  info: Line;
  warn: Line;
  error: Line;
}
