// Structured log lines on standard error, one JSON object each, for journalctl and its kin. Never called per packet.

import { writeSync } from 'node:fs';
import { type Line, LOG_LEVELS, type Log, type LogLevel } from '../core/log';

export interface Logger extends Log {
  fatal: Line;
  /** The same with further fields in every line. */
  child(fields: Record<string, unknown>): Logger;
}

/** A reader that takes nothing stops this process for so long, then the line is lost. */
const PATIENCE_MS = 1000;
const RETRY_MS = 10;
const STDERR = 2;

/** Lines below `level` are not written. */
export function createLogger(level: LogLevel, write: (line: string) => void = toStderr): Logger {
  return make(LOG_LEVELS.indexOf(level), { name: 'colo' }, write);
}

function make(least: number, base: Record<string, unknown>, write: (line: string) => void): Logger {
  const line = (level: LogLevel): Line => {
    if (LOG_LEVELS.indexOf(level) < least) return () => {};
    return (fields, text) => write(`${JSON.stringify({ level, time: new Date(), ...base, ...fields, msg: text }, plain)}\n`);
  };
  return {
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    fatal: line('fatal'),
    child: (fields) => make(least, { ...base, ...fields }, write),
  };
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

/** At once, so that the last words of a process that ends are written, too. */
function toStderr(line: string): void {
  let bytes = Buffer.from(line);
  for (let waitedMs = 0; bytes.length > 0 && waitedMs < PATIENCE_MS; ) {
    try {
      bytes = bytes.subarray(writeSync(STDERR, bytes));
    } catch (error) {
      // Nobody reads any more: nobody can be told.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      waitedMs += RETRY_MS;
    }
  }
}
