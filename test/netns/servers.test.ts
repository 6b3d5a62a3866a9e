// Real servers in both guests: each answers through the protected pair, everything compared equal, and each one's
// connection that was open when the primary node died goes on with the secondary's copy.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_IP, type LabProcess } from './lab';
import { requires } from './requires';
import { Pair } from './support/pair';
import { SERVER_NAMES, Servers } from './support/servers';
import { until } from './support/wait';

jest.setTimeout(60_000);

const FILE = randomBytes(3_000_000);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const URL = `http://${GUEST_IP}/file`;
const PSQL = ['-h', GUEST_IP, '-U', 'postgres', '-qAt'];
const NAME = 'www.example.test A\n';
const QUERIES = 20;

requires(
  'netns',
  'nfqueue',
  'gcc',
)('real servers in both guests', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create({ node: { compareTimeoutMs: 30_000 }, clientBuffer: 262_144 });
    writeFileSync(path('names'), NAME);
    await new Servers(pair.lab, { file: FILE }).startBoth(SERVER_NAMES);
  });
  afterAll(() => pair?.destroy());

  const client = (file: string, args: readonly string[]) => pair.lab.exec('client', file, args, { timeoutMs: 20_000 });
  /** A client that stays, and is told what to ask. */
  const session = (file: string, args: readonly string[]): LabProcess =>
    pair.lab.spawn('client', 'stdbuf', ['-oL', file, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  const tell = (process: LabProcess, line: string): void => {
    process.child.stdin!.write(`${line}\n`);
  };
  const path = (name: string): string => join(pair.lab.dir, name);

  describe('protected', () => {
    afterEach(() => pair.provenEqual());

    test('nginx: a file, and ten requests on one connection', async () => {
      await client('curl', ['-sS', '-o', path('whole'), URL]);
      expect(sha256(readFileSync(path('whole')))).toBe(sha256(FILE));
      const { stdout } = await client('curl', ['-sSI', ...Array<string>(10).fill(URL)]);
      expect(stdout.match(/^HTTP\/1.1 200 OK\r$/gm)).toHaveLength(10);
    });

    test('redis: values that were set', async () => {
      for (const [command, answer] of [
        ['SET a 1', 'OK\n'],
        ['INCRBY a 41', '42\n'],
        ['RPUSH l x y z', '3\n'],
        ['LRANGE l 0 -1', 'x\ny\nz\n'],
      ]) {
        expect((await client('redis-cli', ['-h', GUEST_IP, ...command!.split(' ')])).stdout).toBe(answer);
      }
    });

    test('PostgreSQL: rows that were written', async () => {
      const input =
        'create table t (n int, s text); insert into t select g, md5(g::text) from generate_series(1, 1000) g;';
      const { stdout } = await client('psql', [...PSQL, '-c', input, '-c', 'select count(*), min(s) from t']);
      expect(stdout).toMatch(/^1000\|[0-9a-f]{32}\n$/);
    });

    test.each(['udp', 'tcp'])('unbound over %s', async (transport) => {
      const args = ['-s', GUEST_IP, '-m', transport, '-c', '2', '-n', `${QUERIES}`, '-d', path('names')];
      const { stdout } = await client('dnsperf', args);
      expect(stdout).toMatch(/Queries completed:\s+20 \(100.00%\)/);
      expect(stdout).toMatch(/Response codes:\s+NOERROR 20 \(100.00%\)/);
    });

    test('mosquitto: a message to a subscriber', async () => {
      const subscriber = session('mosquitto_sub', [
        '-h',
        GUEST_IP,
        '-i',
        'sub',
        '-t',
        'news',
        '-q',
        '1',
        '-C',
        '1',
        '-d',
      ]);
      await subscriber.waitFor(/SUBACK/);
      await client('mosquitto_pub', ['-h', GUEST_IP, '-i', 'pub', '-t', 'news', '-q', '1', '-m', 'well']);
      expect(await subscriber.ended()).toBe(0);
      expect(subscriber.output).toMatch(/^well$/m);
    });
  });

  test('each open connection goes on when the primary node dies', async () => {
    const download = session('curl', ['-sS', '--no-buffer', '--limit-rate', '800k', '-o', path('slow'), URL]);
    // redis-cli would ask for a list first that each server gives in an order of its own.
    const redis = session('busybox', ['nc', GUEST_IP, '6379']);
    const sql = session('psql', PSQL);
    const subscriber = session('mosquitto_sub', ['-h', GUEST_IP, '-i', 'stays', '-t', 'late', '-C', '2', '-d']);
    const names = session('dnsperf', [
      '-s',
      GUEST_IP,
      '-m',
      'tcp',
      '-c',
      '1',
      '-Q',
      '20',
      '-n',
      '140',
      '-t',
      '60',
      '-S',
      '1',
      '-d',
      path('names'),
    ]);
    tell(redis, 'INCR before');
    tell(sql, 'begin; create temp table mine (n int); insert into mine values (41); select 11;');
    await Promise.all([
      redis.waitFor(/^:1\r$/m),
      sql.waitFor(/^11$/m),
      subscriber.waitFor(/SUBACK/),
      names.waitFor(/^\d+\.\d+: /m),
    ]);
    await client('mosquitto_pub', ['-h', GUEST_IP, '-i', 'pub2', '-t', 'late', '-m', 'one']);
    await subscriber.waitFor(/^one$/m);
    const upload = session('iperf3', ['-c', GUEST_IP, '-n', '6M', '-b', '8M', '-l', '16K', '--forceflush']);
    await upload.waitFor(/ 0.00-1/);
    await until('download under way', () => existsSync(path('slow')) && statSync(path('slow')).size > 100_000);
    await pair.provenEqual();
    pair.controllers.primary.close();
    pair.lab.killPrimary(true);
    await pair.controllers.secondary.failover();
    for (const { exitCode } of [download, redis, sql, subscriber, names, upload]) expect(exitCode).toBeUndefined();

    tell(redis, 'INCR before');
    await redis.waitFor(/^:2\r$/m);
    tell(sql, 'select n + 1 from mine;');
    await sql.waitFor(/^42$/m);
    await client('mosquitto_pub', ['-h', GUEST_IP, '-i', 'pub3', '-t', 'late', '-m', 'two']);
    expect(await subscriber.ended()).toBe(0);
    expect(subscriber.output).toMatch(/^two$/m);
    expect(await download.ended()).toBe(0);
    expect(sha256(readFileSync(path('slow')))).toBe(sha256(FILE));
    expect(await names.ended()).toBe(0);
    expect(names.output).toMatch(/Queries completed:\s+140 \(100.00%\)/);
    expect(names.output).toMatch(/Reconnections:\s+0/);
    // What its server has measured, only the secondary's can say now.
    expect(await upload.ended()).toBe(0);
    expect(upload.output).toMatch(/ receiver$/m);
  });
});

requires(
  'netns',
  'nfqueue',
  'gcc',
)('iperf3 in both guests', () => {
  test('an upload; what each server has measured differs, and leaves by checkpoints', async () => {
    const pair = await Pair.create({ node: { compareTimeoutMs: 1000 } });
    try {
      await new Servers(pair.lab, {}).startBoth(['iperf3']);
      const { controllers } = pair;
      controllers.primary.onNotice = () => {
        void controllers.secondary.checkpoint().then(() => controllers.primary.checkpoint());
      };
      const { stdout } = await pair.lab.exec('client', 'iperf3', ['-c', GUEST_IP, '-n', '8M', '-J']);
      // What has arrived when it says that it has sent all is the server's own word.
      expect(JSON.parse(stdout).end).toMatchObject({ sum_sent: { bytes: 8 << 20 } });
      expect(JSON.parse(stdout).end.sum_received.bytes).toBeGreaterThan(0);
      expect(controllers.primary.notices).toBeGreaterThan(0);
      expect((await pair.stats('primary')).counters.primary_unprotected).toBe(pair.unprotectedBefore);
    } finally {
      await pair.destroy();
    }
  });
});
