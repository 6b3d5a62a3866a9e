import { get } from 'node:http';
import { createRegistry, type NodeMetrics, serveMetrics } from '../../../src/daemon/metrics';
import { HOLD_BUCKETS_MS, PrimaryCounters } from '../../../src/pmycolo/counters';

function nodeMetrics(): NodeMetrics {
  const counters = new PrimaryCounters();
  for (const ms of [0, 1, 3, 9000]) counters.noteHold(ms);
  counters.requests[0] = 7;
  return {
    labels: { node: 'vm1', role: 'primary' },
    counters: { ...counters.snapshot(), compared_packets: 42 },
    requests: counters.requestsByCause(),
    gauges: { held_packets: 3, guest_queue_drops: 2 },
    holdBuckets: counters.holdBuckets,
    holdMsSum: counters.holdMsSum,
  };
}

test('counters, causes, gauges and the histogram, in the text format', async () => {
  const text = await createRegistry(() => [nodeMetrics()]).metrics();
  expect(text).toContain('colo_events_total{node="vm1",role="primary",event="compared_packets"} 42');
  expect(text).toContain('colo_checkpoint_requests_total{node="vm1",role="primary",cause="payload"} 7');
  expect(text).toContain('colo_state{node="vm1",role="primary",what="held_packets"} 3');
  expect(text).toContain('# TYPE colo_hold_seconds histogram');
  expect(text).toContain('colo_hold_seconds_bucket{le="0.001",node="vm1",role="primary"} 2');
  expect(text).toContain('colo_hold_seconds_bucket{le="0.005",node="vm1",role="primary"} 3');
  expect(text).toContain('colo_hold_seconds_bucket{le="+Inf",node="vm1",role="primary"} 4');
  expect(text).toContain('colo_hold_seconds_sum{node="vm1",role="primary"} 9.004');
  expect(text).toContain('colo_hold_seconds_count{node="vm1",role="primary"} 4');
});

test('a second scrape does not add up', async () => {
  const registry = createRegistry(() => [nodeMetrics()]);
  await registry.metrics();
  expect(await registry.metrics()).toContain('event="compared_packets"} 42');
});

test('every hold falls into a bucket', () => {
  const counters = new PrimaryCounters();
  for (const bound of HOLD_BUCKETS_MS) {
    counters.noteHold(bound);
    counters.noteHold(bound + 1);
  }
  expect(counters.holdBuckets.reduce((a, b) => a + b, 0)).toBe(HOLD_BUCKETS_MS.length * 2);
});

test('served on loopback, and a port that is taken is an error with a hint', async () => {
  const server = await serveMetrics(
    0,
    createRegistry(() => [nodeMetrics()]),
  );
  const { port, address } = server.address() as { port: number; address: string };
  expect(address).toBe('127.0.0.1');
  const [status, body] = await new Promise<[number, string]>((resolve) => {
    get({ host: '127.0.0.1', port, path: '/metrics' }, (r) => {
      let text = '';
      r.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      r.on('end', () => resolve([r.statusCode!, text]));
    });
  });
  expect(status).toBe(200);
  expect(body).toContain('colo_state');
  await expect(
    serveMetrics(
      port,
      createRegistry(() => []),
    ),
  ).rejects.toMatchObject({ code: 'EMETRICS' });
  server.close();
});
