// Real servers, Debian's, one of each in both guests: configured so that two copies of a program, which are no copies
// of one another's memory, give the same answers. Configurations and data lie in the laboratory's directory.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../lib/root';
import type { Lab, LabProcess } from '../lab';
import { until } from './wait';

export type Guest = 'pvm' | 'svm';
export const SERVER_NAMES = ['nginx', 'redis', 'postgresql', 'unbound', 'mosquitto', 'iperf3'] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

export const SERVER_PORTS: Readonly<Record<ServerName, number>> = {
  nginx: 80,
  redis: 6379,
  postgresql: 5432,
  unbound: 53,
  mosquitto: 1883,
  iperf3: 5201,
};

const SHIM = join(ROOT, 'test', 'netns', 'guest', 'same-answers.c');

interface Command {
  file: string;
  args: string[];
  env?: Record<string, string>;
  /** What it says when it can be used; without it a listening port is enough. */
  ready?: RegExp;
}

/** PostgreSQL refuses to run as root. Process ids are told to clients, so each guest counts its own. */
const AS_POSTGRES = ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--clear-groups'];
const OWN_PIDS = ['unshare', '--pid', '--fork', '--mount-proc'];
/** Dies with whom OWN_PIDS started it for; said last, as a change of user takes it back. */
const AND_DIES = ['setpriv', '--pdeathsig', 'KILL'];

/** Debian keeps them out of PATH, by version. */
export function postgresProgram(name: string): string {
  const root = '/usr/lib/postgresql';
  const newest = readdirSync(root)
    .map(Number)
    .sort((a, b) => a - b)
    .at(-1);
  return join(root, `${newest}`, 'bin', name);
}

export class Servers {
  private readonly shim: string;

  /** `files` of nginx, by name. */
  constructor(
    private readonly lab: Lab,
    private readonly files: Readonly<Record<string, Buffer>>,
  ) {
    this.shim = join(lab.dir, 'same-answers.so');
    execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', this.shim, SHIM, '-ldl']);
    chmodSync(lab.dir, 0o755);
  }

  /** Starts one in a guest; resolves when it takes connections. */
  async start(guest: Guest, name: ServerName): Promise<LabProcess> {
    const dir = join(this.lab.dir, `${name}-${guest}`);
    mkdirSync(dir);
    const { file, args, env, ready } = this.command(name, dir);
    const started = this.lab.spawn(guest, file, args, { env: { ...process.env, ...env } });
    if (ready !== undefined) await started.waitFor(ready);
    await until(`${name} in ${guest}`, () => {
      if (started.exitCode !== undefined) throw new Error(`${name} in ${guest} ended: ${started.output}`);
      return this.lab.execSync(guest, 'ss', ['-Hltn', 'sport', '=', `:${SERVER_PORTS[name]}`]) !== '';
    });
    return started;
  }

  async startBoth(names: readonly ServerName[], guests: readonly Guest[] = ['pvm', 'svm']): Promise<void> {
    if (names.includes('postgresql')) this.makeCluster();
    await Promise.all(names.flatMap((name) => guests.map((guest) => this.start(guest, name))));
  }

  private command(name: ServerName, dir: string): Command {
    const port = SERVER_PORTS[name];
    const file = (what: string, lines: readonly string[]): string => {
      writeFileSync(join(dir, what), `${lines.join('\n')}\n`);
      return join(dir, what);
    };
    switch (name) {
      case 'nginx': {
        for (const [path, bytes] of Object.entries(this.files)) {
          writeFileSync(join(dir, path), bytes);
          // Told in Last-Modified.
          utimesSync(join(dir, path), 1e9, 1e9);
        }
        const conf = file('nginx.conf', [
          'user root; daemon off; master_process off; pid nginx.pid; error_log stderr warn;',
          'events { worker_connections 1024; }',
          'http { access_log off; keepalive_timeout 3600; keepalive_requests 1000000000;',
          `  server { listen ${port} backlog=4096; listen [::]:${port}; root ${dir}; } }`,
        ]);
        const env = { LD_PRELOAD: this.shim, COLO_SAME: 'clock' };
        return { file: 'nginx', args: ['-p', dir, '-c', conf, '-e', 'stderr'], env };
      }
      case 'redis':
        return {
          file: 'redis-server',
          args: ['--port', `${port}`, '--dir', dir, '--save', '', '--appendonly', 'no', '--protected-mode', 'no'],
        };
      case 'postgresql': {
        const data = join(dir, 'data');
        execFileSync('cp', ['-a', this.cluster, data]);
        const settings = {
          ...{ listen_addresses: '*', port, unix_socket_directories: '', fsync: 'off', autovacuum: 'off' },
          ...{ wal_level: 'minimal', max_wal_senders: 0, max_logical_replication_workers: 0 },
        };
        const options = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
        const command = [
          ...OWN_PIDS,
          ...AS_POSTGRES,
          ...AND_DIES,
          'env',
          `LD_PRELOAD=${this.shim}`,
          postgresProgram('postgres'),
        ];
        return {
          file: command[0]!,
          args: [...command.slice(1), '-D', data, ...options],
          ready: /ready to accept connections/,
        };
      }
      case 'unbound': {
        const conf = file('unbound.conf', [
          'server:',
          '  interface: 0.0.0.0',
          '  access-control: 0.0.0.0/0 allow',
          `  port: ${port}\n  directory: "${dir}"\n  chroot: ""\n  username: ""\n  pidfile: ""`,
          '  do-daemonize: no\n  use-syslog: no\n  verbosity: 0\n  module-config: "iterator"\n  incoming-num-tcp: 64',
          '  local-zone: "example.test." static\n  local-data: "www.example.test. 60 A 192.0.2.1"',
          'remote-control:\n  control-enable: no',
        ]);
        return { file: 'unbound', args: ['-d', '-c', conf] };
      }
      case 'mosquitto': {
        const conf = file('mosquitto.conf', [
          `listener ${port}\nallow_anonymous true\nuser root\npersistence false\nsys_interval 0\nlog_dest stderr`,
        ]);
        return { file: 'mosquitto', args: ['-c', conf] };
      }
      case 'iperf3':
        return { file: 'iperf3', args: ['-s', '-p', `${port}`] };
    }
  }

  private get cluster(): string {
    return join(this.lab.dir, 'postgresql');
  }

  /** Made once and copied, so that both have the same system identifier and the same rows in the same places. */
  private makeCluster(): void {
    mkdirSync(this.cluster);
    execFileSync('chown', ['postgres:postgres', this.cluster]);
    const make = [postgresProgram('initdb'), '-D', this.cluster, '-A', 'trust', '-N', '--locale=C', '-E', 'UTF8'];
    const command = [...AS_POSTGRES, ...make];
    execFileSync(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' });
    const hba = 'host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n';
    writeFileSync(join(this.cluster, 'pg_hba.conf'), hba);
  }
}
