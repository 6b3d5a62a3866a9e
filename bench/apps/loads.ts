// What the clients of the benchmark of applications do, and how their answers are read: each load gives requests per
// second.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../test/lib/root';
import { GUEST_IP, type Lab } from '../../test/netns/lab';
import { postgresProgram } from '../../test/netns/support/servers';

export const PIPELINE_PORT = 8080;
export const PIPELINE = join(ROOT, 'bench/apps/pipeline.js');
/** The file that nginx serves. */
export const PAGE = { name: 'page', bytes: Buffer.alloc(1024, 0x70) };

export type Load = (lab: Lab, seconds: number) => Promise<number>;

/** Enough for seconds at the rate of a good run; a slow one takes longer, up to the time that a command may take. */
const REDIS_REQUESTS_PER_SECOND = 15_000;

async function ask(lab: Lab, seconds: number, file: string, args: readonly string[], rate: RegExp): Promise<number> {
  const timeoutMs = (seconds + 60) * 1000;
  const { stdout } = await lab.exec('client', file, args, { timeoutMs });
  const found = rate
    .exec(stdout)
    ?.slice(1)
    .find((group) => group !== undefined);
  if (found === undefined) throw new Error(`${file} gave no rate:\n${stdout}`);
  return Number(found);
}

const wrk = (lab: Lab, seconds: number, ...more: string[]): Promise<number> => {
  const args = ['-t', '1', '-c', '50', '-d', `${seconds}s`, ...more, `http://${GUEST_IP}/${PAGE.name}`];
  return ask(lab, seconds, 'wrk', args, /^Requests\/sec:\s+([\d.]+)/m);
};

export const pgbench = (lab: Lab, seconds: number, ...more: string[]): Promise<number> => {
  const server = ['-h', GUEST_IP, '-U', 'postgres', 'postgres'];
  const args = ['-n', '-c', '8', '-j', '1', '-T', `${seconds}`, ...more, ...server];
  return ask(lab, seconds, postgresProgram('pgbench'), args, /^tps = ([\d.]+)|actually processed: (0)$/m);
};

/** By the key of the ratio that it gives, `apps.KEY_ratio`. */
export const LOADS = {
  dns_tcp: (lab, seconds) => {
    const names = join(lab.dir, 'names');
    writeFileSync(names, 'www.example.test A\n');
    const args = ['-s', GUEST_IP, '-m', 'tcp', '-c', '10', '-d', names, '-l', `${seconds}`];
    return ask(lab, seconds, 'dnsperf', args, /Queries per second:\s+([\d.]+)/);
  },
  pipeline: (lab, seconds) =>
    ask(lab, seconds, process.execPath, [PIPELINE, 'ask', GUEST_IP, `${PIPELINE_PORT}`, `${seconds}`], /([\d.]+)/),
  redis: (lab, seconds) => {
    const requests = `${Math.ceil(REDIS_REQUESTS_PER_SECOND * seconds)}`;
    const args = ['-h', GUEST_IP, '-c', '50', '-n', requests, '-t', 'get', '--csv'];
    return ask(lab, seconds, 'redis-benchmark', args, /^"GET","([\d.]+)"/m);
  },
  pg_select: (lab, seconds) => pgbench(lab, seconds, '-S'),
  nginx: (lab, seconds) => wrk(lab, seconds),
  nginx_short: (lab, seconds) => wrk(lab, seconds, '-H', 'Connection: close'),
} satisfies Record<string, Load>;

export type LoadName = keyof typeof LOADS;
