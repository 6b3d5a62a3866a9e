// All benchmarks: writes bench/results/latest.json and a table with what must be reached.
// node build/bench/bench/run.js [start] [nfqueue] [engine] [e2e] [link] [chardev] [apps] [guests]   (default: all but guests)

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import Table from 'cli-table3';
import { type AppsResult, runAppsBench } from './apps/run';
import { type ChardevResult, runChardevBench } from './chardev/run';
import { type E2eResult, runE2eBench } from './e2e';
import type { EngineResult } from './engine/run';
import { type GuestsResult, runGuestsBench } from './guests';
import { type LinkResult, runLinkBench } from './link';
import { runNfqueueBench } from './nfqueue/run';
import type { StartResult } from './start';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const FILE = join(ROOT, 'bench/results/latest.json');

interface Results {
  machine: string;
  node: string;
  start?: StartResult;
  nfqueue?: { ours_pps: number; c_pps: number; npm_pps: number };
  engine?: EngineResult;
  e2e?: E2eResult;
  link?: LinkResult;
  chardev?: ChardevResult;
  apps?: AppsResult;
  guests?: GuestsResult;
}

function previous(): Partial<Results> {
  try {
    return JSON.parse(readFileSync(FILE, 'utf8')) as Results;
  } catch {
    return {};
  }
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const want = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
  const results: Results = {
    ...previous(),
    machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}`,
    node: process.version,
  };
  // A process of its own: the engine is measured as the daemon runs it, with nothing else compiled into the same heap.
  if (want('engine')) {
    console.log('engine ...');
    results.engine = JSON.parse(
      execFileSync(process.execPath, [join(__dirname, 'engine/run.js'), '--json'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    ) as EngineResult;
  }
  if (want('start')) {
    console.log('start ...');
    results.start = JSON.parse(
      execFileSync('unshare', ['-n', process.execPath, join(__dirname, 'start.js')], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    ) as StartResult;
  }
  if (want('nfqueue')) {
    console.log('nfqueue ...');
    results.nfqueue = await runNfqueueBench();
  }
  if (want('e2e')) {
    console.log('end to end ...');
    results.e2e = await runE2eBench((line) => console.log(line));
  }
  if (want('link')) {
    console.log('link ...');
    results.link = await runLinkBench((line) => console.log(line));
  }
  if (want('chardev')) {
    console.log('chardev ...');
    results.chardev = await runChardevBench((line) => console.log(line));
  }
  if (want('apps')) {
    console.log('applications ...');
    results.apps = await runAppsBench((line) => console.log(line));
  }
  if (wanted.includes('guests')) {
    console.log('guests ...');
    results.guests = await runGuestsBench((line) => console.log(line));
  }
  // A quick run only shows that all works.
  if (process.env.COLO_BENCH_QUICK !== '1') {
    mkdirSync(join(ROOT, 'bench/results'), { recursive: true });
    writeFileSync(FILE, `${JSON.stringify(results, null, 2)}\n`);
  }
  print(results);
}

function print(r: Results): void {
  const table = new Table({ head: ['what', 'measured', 'must reach', 'held'], style: { head: [], border: [] } });
  const row = (what: string, measured: string, goal: string, held: boolean): void => {
    table.push([what, measured, goal, held ? 'yes' : 'NO']);
  };
  const n = (x: number): string => Math.round(x).toLocaleString('en');
  if (r.start !== undefined) startRows(r.start, row);
  if (r.nfqueue !== undefined) {
    const { ours_pps, c_pps, npm_pps } = r.nfqueue;
    row(
      'NFQUEUE rewrite, ours / C',
      `${n(ours_pps)} / ${n(c_pps)} = ${(ours_pps / c_pps).toFixed(2)}`,
      '>= 0.9',
      ours_pps >= 0.9 * c_pps,
    );
    row(
      'NFQUEUE rewrite, ours / npm nfqueue',
      `${n(ours_pps)} / ${n(npm_pps)} = ${(ours_pps / npm_pps).toFixed(1)}`,
      '>= 4',
      ours_pps >= 4 * npm_pps,
    );
  }
  if (r.engine !== undefined) {
    const e = r.engine;
    row('engine, pairs/s, 1400 B', n(e.pairs_per_s_1400), '>= 1,000,000', e.pairs_per_s_1400 >= 1e6);
    row('engine, pairs/s, 64 B', n(e.pairs_per_s_64), '>= 1,000,000', e.pairs_per_s_64 >= 1e6);
    const single = `${n(e.pairs_per_s_1400_single)} / ${n(e.pairs_per_s_64_single)}`;
    row('the same, packets handed in one by one, 1400 B / 64 B', single, '', true);
    row("engine / the machine's limit, 1400 B", e.limit_ratio_1400.toFixed(3), '>= 0.12', e.limit_ratio_1400 >= 0.12);
    row("engine / the machine's limit, 64 B", e.limit_ratio_64.toFixed(3), '>= 0.03', e.limit_ratio_64 >= 0.03);
    row('engine, cost at 100,000 flows / 10', e.flow_growth.toFixed(2), '<= 2', e.flow_growth <= 2);
    row('engine, bytes per idle flow', n(e.bytes_per_flow), '<= 512', e.bytes_per_flow <= 512);
    const { first_pairs_per_s_warmed: warmed, first_pairs_per_s_cold: cold } = e;
    const share = `${n(warmed)} / ${n(cold)} = ${(warmed / cold).toFixed(2)}`;
    row('engine, first 40 MiB, pairs/s: warmed up / cold', share, '> 1', warmed > cold);
  }
  if (r.e2e !== undefined) {
    const e = r.e2e;
    row(
      'bulk TCP, Gbit/s: protected / two pairs (unprotected)',
      `${e.protected_gbps.toFixed(2)} / ${e.two_pairs_gbps.toFixed(2)} (${e.unprotected_gbps.toFixed(2)}) = ${(e.protected_gbps / e.two_pairs_gbps).toFixed(2)}`,
      '>= 0.5',
      e.protected_gbps >= 0.5 * e.two_pairs_gbps,
    );
    if (e.protected_stream_gbps !== undefined) {
      const streamed = `${e.protected_stream_gbps.toFixed(2)} / ${e.two_pairs_gbps.toFixed(2)} = ${(e.protected_stream_gbps / e.two_pairs_gbps).toFixed(2)}`;
      row('the same over a stream link', streamed, '', true);
    }
    row(
      '1-byte request, added us p50 (p99)',
      `${n(e.added_us_p50)} (${n(e.added_us_p99)}), ${e.cpus}`,
      'p50 <= 150',
      e.added_us_p50 <= 150,
    );
  }
  if (r.link !== undefined) linkRows(r.link, row);
  if (r.chardev !== undefined) {
    const c = r.chardev;
    for (const [name, what] of [
      ['1400', 'TCP 1400 B'],
      ['10', 'TCP 10 B'],
      ['udp18', 'UDP 18 B, 1,000 flows'],
    ] as const) {
      const rates = `${n(c[`ours_pps_${name}`])} / ${n(c[`qemu_pps_${name}`])} = ${c[`ratio_${name}`].toFixed(1)} (generator ${n(c[`generator_pps_${name}`])})`;
      row(`chardev, pairs/s, ${what}: ours / QEMU`, rates, '>= 5', c[`ratio_${name}`] >= 5);
    }
    row(
      'chardev, ping-pong p50 us: ours / QEMU',
      `${n(c.ours_p50_us)} / ${n(c.qemu_p50_us)} = ${c.latency_ratio.toFixed(2)}`,
      '<= 1',
      c.latency_ratio <= 1,
    );
    const cpu = `${c.ours_cpu_us_1400.toFixed(2)} / ${c.qemu_cpu_us_1400.toFixed(2)} = ${c.cpu_ratio_1400.toFixed(2)}`;
    row('chardev, CPU us per pair, 1400 B: ours / QEMU', cpu, '<= 0.3', c.cpu_ratio_1400 <= 0.3);
    const calls = `${c.syscalls_per_packet.toFixed(3)} (${c.qemu_syscalls_per_packet.toFixed(1)})`;
    row('chardev, system calls per released packet (QEMU)', calls, '<= 0.2', c.syscalls_per_packet <= 0.2);
    const connections = `${n(c.ours_conn_per_s_100000)} / ${n(c.ours_conn_per_s_100)} = ${c.conn_growth.toFixed(2)}`;
    row('chardev, new connections/s with 100,000 open / 100', connections, '>= 0.7', c.conn_growth >= 0.7);
  }
  if (r.apps !== undefined) appsRows(r.apps, row);
  if (r.guests !== undefined) {
    const { idle_checkpoints: asked, idle_seconds: seconds } = r.guests;
    row(`guests, checkpoints asked for by an idle pair in ${seconds} s`, n(asked), '0', asked === 0 && seconds >= 60);
  }
  console.log(table.toString());
}

function startRows(s: StartResult, row: Row): void {
  for (const [what, ms, ratio, goal] of [
    ['colo --version', s.version_ms, s['cli.version_ratio'], 2],
    ['colo ctl status', s.ctl_ms, s['cli.ctl_ratio'], 3],
    ['daemon until ready', s.ready_ms, s['daemon.ready_ratio'], 5],
  ] as const) {
    row(
      `start, ms: ${what} / node -e 0`,
      `${ms.toFixed(0)} / ${s.node_ms.toFixed(0)} = ${ratio.toFixed(2)}`,
      `<= ${goal}`,
      ratio <= goal,
    );
  }
}

type Row = (what: string, measured: string, goal: string, held: boolean) => void;

function linkRows(l: LinkResult, row: Row): void {
  const { 'link.bytes_ratio': bytes, 'link.throughput_ratio': throughput } = l;
  const { 'link.loss_ratio': loss, 'link.latency_ratio': latency } = l;
  const rates = (a: number, b: number, ratio: number): string =>
    `${a.toFixed(2)} / ${b.toFixed(2)} = ${ratio.toFixed(2)}`;
  row('link, bytes between the hosts / bytes to the client', bytes.toFixed(3), '<= 0.05', bytes <= 0.05);
  row('the same, frames of 1,448 bytes', l['link.bytes_ratio_1448'].toFixed(3), '', true);
  const down = rates(l.stream_gbps, l.ethernet_gbps, throughput);
  row('link, bulk download, Gbit/s: stream / ethernet', down, '>= 0.9', throughput >= 0.9);
  const up = rates(l.stream_upload_gbps, l.ethernet_upload_gbps, l['link.upload_ratio']);
  row('link, bulk upload, Gbit/s: stream / ethernet', up, '', true);
  const lossy = rates(l.relay_lossy_gbps, l.relay_gbps, loss);
  row('link, bulk download through a relay, Gbit/s: 1 % lost, 1 % overtaken / none', lossy, '>= 0.5', loss >= 0.5);
  const added = `${l.stream_added_us_p50.toFixed(0)} / ${l.ethernet_added_us_p50.toFixed(0)} = ${latency.toFixed(2)}`;
  row('link, 1-byte request, added us p50: stream / ethernet', added, '<= 1.5', latency <= 1.5);
  row('link, runs repeated because a checkpoint was asked for, at most', `${l.checkpoints}`, '', true);
}

function appsRows(a: AppsResult, row: Row): void {
  const ratio = (key: keyof AppsResult['rates'], what: string, goal: number): void => {
    const { protected: mine, two_pairs } = a.rates[key];
    const measured = a[`${key}_ratio`];
    const text = `${mine.toLocaleString('en')} / ${two_pairs.toLocaleString('en')} = ${measured.toFixed(2)}`;
    row(`${what}/s: protected / two pairs`, text, `>= ${goal}`, measured >= goal);
  };
  ratio('dns_tcp', 'unbound over TCP, queries', 0.3);
  ratio('pipeline', '10 pipelined requests, two writes each, answers', 0.3);
  ratio('redis', 'redis, 50 clients, requests', 0.5);
  ratio('pg_select', 'PostgreSQL select, 8 clients, transactions', 0.4);
  const stall = a.pg_rw_stall_ms;
  row(
    'PostgreSQL read-write, 8 clients, ms from last progress to request, median (count, rate)',
    `${stall ?? 'nothing stalled'} (${a.pg_rw_stalls}, ${a.pg_rw_tps.toFixed(1)}/s)`,
    '<= 150',
    stall !== null && stall <= 150,
  );
  ratio('nginx', 'nginx, 1 kB, 50 connections, requests', 0.4);
  ratio('nginx_short', 'nginx, 1 kB, a connection each, requests', 0.25);
  for (const [what, measured, goal] of [
    ['download, median', a.gap_down_ms_p50, 50],
    ['upload, median', a.gap_up_ms_p50, 250],
    ['both, p99', a.gap_ms_p99, 400],
  ] as const) {
    row(`gap at kill -9, ms: ${what}`, measured.toFixed(0), `<= ${goal}`, measured <= goal);
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
