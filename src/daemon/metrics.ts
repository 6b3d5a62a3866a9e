// Prometheus metrics on an opt-in loopback port. The engines count in typed arrays; a scrape copies them.

import { createServer, type Server } from 'node:http';
import { Counter, Gauge, type Histogram, Registry } from 'prom-client';
import { OperatorError } from '../core/errors';
import { HOLD_BUCKETS_MS } from '../pmycolo/counters';

/** A node's values for one scrape. */
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

export function createRegistry(collectNodes: () => NodeMetrics[]): Registry {
  const registry = new Registry();
  const events = new Counter({
    name: 'colo_events_total',
    help: 'What the engines counted, by event (see docs/OPERATIONS.md).',
    labelNames: ['node', 'role', 'event'],
    registers: [registry],
    collect() {
      this.reset();
      for (const n of collectNodes()) {
        for (const [event, value] of Object.entries(n.counters)) this.inc({ ...n.labels, event }, value);
      }
    },
  });
  const requests = new Counter({
    name: 'colo_checkpoint_requests_total',
    help: 'Checkpoints asked for, by cause.',
    labelNames: ['node', 'role', 'cause'],
    registers: [registry],
    collect() {
      this.reset();
      for (const n of collectNodes()) {
        for (const [cause, value] of Object.entries(n.requests)) this.inc({ ...n.labels, cause }, value);
      }
    },
  });
  const state = new Gauge({
    name: 'colo_state',
    help: 'Present values: held packets and bytes, flows, protection, kernel queue lengths and drops.',
    labelNames: ['node', 'role', 'what'],
    registers: [registry],
    collect() {
      this.reset();
      for (const n of collectNodes()) {
        for (const [what, value] of Object.entries(n.gauges)) this.set({ ...n.labels, what }, value);
      }
    },
  });
  registry.registerMetric(new HoldHistogram(collectNodes) as unknown as Histogram);
  void events;
  void requests;
  void state;
  return registry;
}

/** prom-client's own histogram can only observe; ours was counted already. */
class HoldHistogram {
  readonly name = 'colo_hold_seconds';
  readonly help = 'How long PVM packets were held.';
  readonly type = 'histogram';
  readonly aggregator = 'sum';

  constructor(private readonly collectNodes: () => NodeMetrics[]) {}

  get() {
    const values: { labels: Record<string, string | number>; value: number; metricName: string }[] = [];
    for (const n of this.collectNodes()) {
      if (n.holdBuckets === undefined) continue;
      let sum = 0;
      for (let i = 0; i <= HOLD_BUCKETS_MS.length; i++) {
        sum += n.holdBuckets[i]!;
        const le = i < HOLD_BUCKETS_MS.length ? HOLD_BUCKETS_MS[i]! / 1000 : '+Inf';
        values.push({ metricName: `${this.name}_bucket`, labels: { le, ...n.labels }, value: sum });
      }
      values.push({ metricName: `${this.name}_sum`, labels: n.labels, value: (n.holdMsSum ?? 0) / 1000 });
      values.push({ metricName: `${this.name}_count`, labels: n.labels, value: sum });
    }
    return { name: this.name, help: this.help, type: this.type, aggregator: this.aggregator, values };
  }

  reset(): void {}
}

/** Serves GET /metrics on 127.0.0.1 only. */
export async function serveMetrics(port: number, registry: Registry): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('see /metrics\n');
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      (error: unknown) => response.writeHead(500, { 'content-type': 'text/plain' }).end(`${String(error)}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new OperatorError(
          'EMETRICS',
          `cannot serve metrics on 127.0.0.1:${port}: ${cause.message}`,
          'choose another --metrics-port',
          { cause },
        ),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}
