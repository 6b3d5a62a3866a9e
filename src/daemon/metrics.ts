// Prometheus metrics on an opt-in loopback port, in its text format 0.0.4. The engines count in typed arrays; a scrape copies them.

import type { Server } from 'node:http';
import { OperatorError } from '../core/errors';
import { HOLD_BUCKETS_MS } from '../pmycolo/counters';

/** What a node tells a scrape. */
export interface NodeMetrics {
  labels: { node: string; role: string };
  /** Monotonic counters by name. */
  counters: Record<string, number>;
  /** Checkpoint requests by cause. */
  requests: Record<string, number>;
  gauges: Record<string, number>;
  /** Counts by HOLD_BUCKETS_MS and one for the rest, and the sum in ms. */
  holdBuckets?: Float64Array;
  holdMsSum?: number;
}

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Labels = Readonly<Record<string, string | number>>;

/** What a scrape is answered. */
export function metricsText(nodes: readonly NodeMetrics[]): string {
  const each = (values: (n: NodeMetrics) => Record<string, number>, label: string): string[] =>
    nodes.flatMap((n) => Object.entries(values(n)).map(([name, value]) => sample('', { ...n.labels, [label]: name }, value)));
  return [
    family('colo_events_total', 'counter', 'What the engines counted, by event (see docs/OPERATIONS.md).', each((n) => n.counters, 'event')),
    family('colo_checkpoint_requests_total', 'counter', 'Checkpoints asked for, by cause.', each((n) => n.requests, 'cause')),
    family(
      'colo_state',
      'gauge',
      'Present values: held packets and bytes, flows, protection, kernel queue lengths and drops.',
      each((n) => n.gauges, 'what'),
    ),
    family('colo_hold_seconds', 'histogram', 'How long PVM packets were held.', nodes.flatMap(holdSamples)),
  ].join('\n');
}

function family(name: string, type: string, help: string, samples: readonly string[]): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.map((line) => `${name}${line}\n`).join('')}`;
}

/** `suffix` goes to the family's name. */
function sample(suffix: string, labels: Labels, value: number): string {
  const texts = Object.entries(labels).map(([name, label]) => `${name}="${escaped(String(label))}"`);
  return `${suffix}{${texts.join(',')}} ${value}`;
}

function escaped(label: string): string {
  return label.replace(/[\\"\n]/g, (letter) => (letter === '\n' ? '\\n' : `\\${letter}`));
}

function holdSamples({ labels, holdBuckets, holdMsSum = 0 }: NodeMetrics): string[] {
  if (holdBuckets === undefined) return [];
  let sum = 0;
  const buckets = Array.from(holdBuckets, (count, i) => {
    sum += count;
    const le = i < HOLD_BUCKETS_MS.length ? HOLD_BUCKETS_MS[i]! / 1000 : '+Inf';
    return sample('_bucket', { le, ...labels }, sum);
  });
  return [...buckets, sample('_sum', labels, holdMsSum / 1000), sample('_count', labels, sum)];
}

/** Serves GET /metrics on 127.0.0.1 only. */
export async function serveMetrics(port: number, collect: () => readonly NodeMetrics[]): Promise<Server> {
  // Loaded only where it is wanted: it costs a tenth of what a process needs to start.
  const { createServer } = require('node:http') as typeof import('node:http');
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('see /metrics\n');
      return;
    }
    response.writeHead(200, { 'content-type': CONTENT_TYPE }).end(metricsText(collect()));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new OperatorError('EMETRICS', `cannot serve metrics on 127.0.0.1:${port}: ${cause.message}`, 'choose another --metrics-port', { cause }),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}
