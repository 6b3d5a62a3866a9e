// Real guests, and a failover: the secondary's QEMU has no filters of its own but a socket to `colo qemu netdev`. TCP
// timestamps are on, and each guest has its own sequence numbers and its own timestamps: connections outlive the
// primary only when everything was translated from their first packet on.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CLIENT_IP, GUEST_IP } from '../netns/lab';
import { requires } from '../netns/requires';
import { until } from '../netns/support/wait';
import { bigFile, sha256 } from './support/guest-files';
import { CLIENT_IPS } from './support/guest-lab';
import { type Download, GuestPair } from './support/guest-pair';

const BIG = sha256(bigFile());
/** So that all are under way when the primary dies, and little is in buffers. */
const SLOWLY = ['--limit-rate', '800k'];
const CLIENT_BUFFER_BYTES = 131_072;

requires(
  'addon',
  'netns',
  'qemu',
  'guest',
)("two guests, the secondary's filters in colo qemu netdev", () => {
  let pair: GuestPair;

  beforeAll(async () => {
    pair = await GuestPair.create({ vnetHdr: false, filters: 'netdev' });
    pair.lab.execSync('client', 'sysctl', ['-qw', `net.ipv4.tcp_rmem=4096 65536 ${CLIENT_BUFFER_BYTES}`]);
  });
  afterEach(() => pair.provenSteady());
  afterAll(() => pair?.destroy());

  async function whole({ file, curl }: Download): Promise<void> {
    const status = await curl.ended().catch((error: Error) => {
      throw new Error(`${error.message}\n${pair.account()}`);
    });
    expect([status, curl.output]).toEqual([0, '']);
    expect(sha256(readFileSync(file))).toBe(BIG);
  }

  const bytesOf = ({ file }: Download): number => (existsSync(file) ? statSync(file).size : 0);

  test('a download arrives whole, compared and without a checkpoint', async () => {
    await whole(pair.download('/big', 'big'));
    expect(pair.requests).toBe(0);
    expect(await pair.counters()).toMatchObject({ primary_unprotected: 0, primary_bypassed: 0, divergences: 0 });
  });

  test('so does one over a connection that the guest opens', async () => {
    const file = join(pair.lab.dir, 'dialled');
    // Its standard input stays open: at the end of that it would close its half of the connection at once, which makes
    // the guest's program end in the middle of the file, each guest's in another place.
    const server = pair.lab.spawn('client', 'sh', ['-c', 'exec busybox nc -l -p 5000 >"$0"', file], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await until('server', () => pair.lab.execSync('client', 'ss', ['-Hltn', 'sport', '=', ':5000']) !== '');
    await pair.lab.exec('client', 'busybox', ['nc', GUEST_IP, '90'], { input: `${CLIENT_IP} 5000 6000 /big\n` });
    await whole({ file, curl: server });
    expect(pair.requests).toBe(0);
    expect(await pair.counters()).toMatchObject({ primary_unprotected: 0, divergences: 0 });
  });

  // A guest that is slow now and then makes the comparison ask for a checkpoint, which nobody answers here.
  test('downloads go on when the primary dies, and new connections are served', async () => {
    // From each of the client's addresses: with untranslated timestamps about half of them would hang.
    const downloads = CLIENT_IPS.map((ip) => pair.download('/big', `big-${ip}`, ...SLOWLY, '--interface', ip));
    await until('downloads under way', () => downloads.every((one) => bytesOf(one) > 1 << 20));
    const before = downloads.map(bytesOf);
    await pair.killPrimary();
    await pair.control('failover');
    pair.lab.moveSecondaryTap();
    expect(Math.max(...before)).toBeLessThan(bigFile().length);
    await Promise.all(downloads.map(whole));
    expect(await pair.reminders()).toBeGreaterThan(0);
    const after = pair.download('/who', 'who');
    expect(await after.curl.ended()).toBe(0);
    expect(readFileSync(after.file, 'latin1')).toBe('SVM\n');
  });
});
