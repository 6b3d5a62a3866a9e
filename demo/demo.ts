// A demonstration on one machine: a client, two hosts and two guests as network namespaces, both daemons, and a small
// controller. It shows a protected download, a divergence, and the death of the primary in the middle of a download.
// Namespaces cannot copy one another's memory, so a checkpoint here is only its messages; all the rest is as in
// production.

import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';
import { GUEST_IP, Lab, type LabProcess } from '../test/netns/lab';
import { Controller } from './controller';

const ROOT = process.env.COLO_ROOT ?? process.cwd();
const COLO = join(ROOT, 'bin/colo');
const CLIENT = join(ROOT, 'demo/client.js');
const FILE_BYTES = 48 << 20;
const RATE = 16e6;
const SECRET = { pvm: 'the primary drew 4711\n', svm: 'the secondary had 815\n' };

const started = Date.now();
function say(text: string): void {
  console.log(`[${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s] ${text}`);
}

interface Row {
  what: string;
  held: boolean;
  detail: string;
}
const rows: Row[] = [];
function judge(what: string, held: boolean, detail: string): void {
  rows.push({ what, held, detail });
  say(`${held ? 'OK  ' : 'FAIL'} ${what}: ${detail}`);
}

async function main(): Promise<void> {
  say('building client, PN, SN and two guests as network namespaces');
  const lab = await Lab.create({ plumbing: false });
  const stop = (): void => {
    say('interrupted: cleaning up');
    void lab.destroy().finally(() => process.exit(130));
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const controller = new Controller(1);
  try {
    await run(lab, controller);
  } finally {
    controller.close();
    await lab.destroy();
    say('namespaces, processes and files of the demonstration are gone');
  }
}

async function run(lab: Lab, controller: Controller): Promise<void> {
  const file = randomBytes(FILE_BYTES);
  const sha256 = createHash('sha256').update(file).digest('hex');
  for (const guest of ['pvm', 'svm'] as const) serve(lab, guest, file);
  say(`both guests serve a file of ${FILE_BYTES >> 20} MiB, sha256 ${sha256.slice(0, 16)}..., by busybox httpd`);

  const daemons = {} as Record<'primary' | 'secondary', LabProcess>;
  for (const [role, ns] of [['primary', 'pn'], ['secondary', 'sn']] as const) {
    const config = join(lab.dir, `${role}.yaml`);
    writeFileSync(
      config,
      `role: ${role}\nstateDir: ${join(lab.dir, role)}\nnodes:\n  - index: 1\n    name: demo\n    guestPort: tap0\n    forwardPort: fwd0\n`,
    );
    await lab.exec(ns, COLO, ['rules', 'apply', '--config', config]);
    daemons[role] = lab.spawn(ns, COLO, [role, '--config', config]);
    await daemons[role].waitFor(/"msg":"ready"/);
  }
  say('rules applied on both hosts, both daemons run');
  await controller.init('secondary', join(lab.dir, 'secondary/secondary.sock'));
  await controller.init('primary', join(lab.dir, 'primary/primary.sock'));
  say('the controller has said PROXY_INIT to both: from now on nothing leaves that the secondary has not said too');

  await protectedDownload(lab, sha256);
  await divergence(lab, controller);
  await death(lab, controller, sha256);
}

function serve(lab: Lab, guest: 'pvm' | 'svm', file: Buffer): void {
  const dir = join(lab.dir, `www-${guest}`);
  mkdirSync(dir);
  writeFileSync(join(dir, 'file'), file);
  writeFileSync(join(dir, 'secret'), SECRET[guest]);
  // The server tells the file's time, which a real pair of guests shares with its disk.
  for (const name of ['file', 'secret']) utimesSync(join(dir, name), 1e9, 1e9);
  lab.spawn(guest, 'busybox', ['httpd', '-f', '-p', '80', '-h', dir]);
}

/** The server's Date header changes with the second; two guests that answer on both sides of its border differ. */
function middleOfASecond(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, (1300 - (Date.now() % 1000)) % 1000));
}

interface Download {
  bytes: number;
  sha256: string;
  longestSilenceMs: number;
}

async function resultOf(client: LabProcess): Promise<Download> {
  const [line] = await client.waitFor(/\{.*\}/, 60_000);
  return JSON.parse(line) as Download;
}

async function protectedDownload(lab: Lab, sha256: string): Promise<void> {
  say('(1) a download through the proxy');
  await middleOfASecond();
  const client = lab.spawn('client', process.execPath, [CLIENT, GUEST_IP, '/file', '1e12']);
  const begin = Date.now();
  const got = await resultOf(client);
  judge(
    'download',
    got.sha256 === sha256,
    `${got.bytes} bytes, sha256 ${got.sha256.slice(0, 16)}... ${got.sha256 === sha256 ? 'equal' : 'DIFFERENT'}, ${((got.bytes * 8) / (Date.now() - begin) / 1e6).toFixed(2)} Gbit/s with connection set-up`,
  );
}

async function divergence(lab: Lab, controller: Controller): Promise<void> {
  say(`(2) a divergence: /secret is "${SECRET.pvm.trim()}" in the primary, "${SECRET.svm.trim()}" in the secondary`);
  await middleOfASecond();
  const noticed = new Promise<void>((resolve) => {
    controller.onNotice = resolve;
  });
  const before = controller.notices;
  const port = '40123';
  const client = lab.spawn('client', 'curl', ['-s', '-N', '--local-port', port, '--max-time', '30', `http://${GUEST_IP}/secret`]);
  await noticed;
  say('the primary daemon has asked for a checkpoint; the controller lets a second pass');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const early = client.output;
  say(`what the client has seen until now: ${early.length} bytes`);
  // A checkpoint would make the SVM a copy of the PVM, which has said all it has to say on this connection. A namespace
  // cannot become a copy, so the SVM is made to say nothing more on it, either.
  await controller.checkpoint(async () => {
    await lab.exec('svm', 'iptables', ['-A', 'OUTPUT', '-p', 'tcp', '--dport', port, '-j', 'DROP']);
  });
  say('DO_CHECKPOINT to both');
  await client.ended(30_000);
  // The next one, as controllers make them every few seconds, covers the end of the connection.
  await controller.checkpoint();
  judge('nothing unverified left', early === '', `${early.length} bytes before the checkpoint`);
  judge('after the checkpoint', client.output === SECRET.pvm, `the client has "${client.output.trim()}"`);
  judge('one request', controller.notices - before === 1, `${controller.notices - before} KERNEL_NOTIFY`);
}

async function death(lab: Lab, controller: Controller, sha256: string): Promise<void> {
  say('(3) kill -9 of everything on the primary host in the middle of a download');
  await middleOfASecond();
  const client = lab.spawn('client', process.execPath, [CLIENT, GUEST_IP, '/file', String(RATE)]);
  await client.waitFor(/1[5-9] MB/, 60_000);
  const options = await lab.exec('client', 'ss', ['-tinoH', 'dst', GUEST_IP]);
  const words = ['ts', 'sack', 'wscale'].filter((word) => new RegExp(`\\b${word}\\b`).test(options.stdout));
  say(`the connection uses ${words.join(', ')}; now the primary dies`);
  lab.killPrimary(true);
  const killed = Date.now();
  await controller.failover();
  say(`DO_FAILOVER acknowledged ${Date.now() - killed} ms after the kill`);
  const got = await resultOf(client);
  judge('timestamps, SACK, window scaling on', words.length === 3, words.join(', '));
  judge(
    'same connection finished',
    got.sha256 === sha256 && got.bytes === FILE_BYTES,
    `${got.bytes} bytes, sha256 ${got.sha256 === sha256 ? 'equal' : 'DIFFERENT'}`,
  );
  judge('gap', true, `the longest silence that the client saw was ${got.longestSilenceMs} ms`);
}

main().then(
  () => {
    const table = new Table({ head: ['what', 'held', 'detail'], style: { head: [], border: [] } });
    for (const row of rows) table.push([row.what, row.held ? 'yes' : 'NO', row.detail]);
    console.log(table.toString());
    process.exit(rows.length > 0 && rows.every((row) => row.held) ? 0 : 1);
  },
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
