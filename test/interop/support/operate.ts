// What an operator does with a pair of QEMUs: QMP, and the beginning of COLO.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { byteStream } from '../../../src/io/stream/byte-stream';
import { parseEndpoint } from '../../../src/io/stream/chardev';
import { QmpClient } from '../../../src/qmp/client';
import { ROOT } from '../../lib/root';
import { until } from '../../netns/support/wait';

const SHIM = join(ROOT, 'test', 'guest', 'tcg-colo-shim.c');

/** Builds the library that makes COLO work without KVM; its path. */
export function buildShim(directory: string): string {
  const path = join(directory, 'shim.so');
  execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', path, SHIM, '-ldl']);
  return path;
}

/** Resolves when QEMU at this Unix socket takes commands. */
export async function connectQmp(path: string): Promise<QmpClient> {
  const nothing = () => {};
  const client = new QmpClient(
    byteStream(parseEndpoint(`unix:${path},reconnect=0.1`)),
    { onReady: nothing, onEvent: nothing, onClose: nothing },
    { info: nothing, warn: nothing, error: nothing },
  );
  await client.open();
  await until(`QMP at ${path}`, () => client.ready);
  return client;
}

export async function coloMode(client: QmpClient): Promise<string> {
  return ((await client.execute('query-colo-status')) as { mode: string }).mode;
}

/** Resolves when both say that they are in COLO. A checkpoint comes each `delayMs`, and when it is asked for. */
export async function beginColo(primary: QmpClient, secondary: QmpClient, uri: string, delayMs: number): Promise<void> {
  const capabilities = [{ capability: 'x-colo', state: true }];
  await secondary.execute('migrate-set-capabilities', { capabilities });
  await primary.execute('migrate-set-capabilities', { capabilities });
  await primary.execute('migrate-set-parameters', { 'x-checkpoint-delay': delayMs, 'max-bandwidth': 1 << 30 });
  await primary.execute('migrate', { uri });
  await until('COLO as primary', async () => (await coloMode(primary)) === 'primary');
  await until('COLO as secondary', async () => (await coloMode(secondary)) === 'secondary');
}
