// The laboratory itself: what end-to-end tests take for granted about it.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CLIENT_IP, GUEST_IP, GUEST_IP6, Lab, PN_IP6, type Role } from './lab';

jest.setTimeout(60_000);

describe('laboratory', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create();
    for (const iptables of ['iptables', 'ip6tables']) {
      // Conntrack, and with it reassembly before mangle, comes to a namespace with a rule that needs it, per family.
      lab.execSync('pn', iptables, '-t raw -A PREROUTING -m physdev --physdev-in fwd0 -j CT --zone 6535'.split(' '));
      lab.execSync('pn', iptables, '-t mangle -A PREROUTING -m physdev --physdev-in fwd0'.split(' '));
      lab.execSync('pn', iptables, '-t mangle -A PREROUTING -m physdev --physdev-in tap0'.split(' '));
    }
  });
  afterAll(() => lab?.destroy());

  /** Packets that the two counting rules have seen since the last call: from the SVM, from the PVM. */
  const counted = (iptables: string): number[] => {
    const out = lab.execSync('pn', iptables, ['-t', 'mangle', '-Z', '-vnxL', 'PREROUTING']);
    return [...out.matchAll(/^\s*(\d+)\s.*physdev-in/gm)].map((match) => Number(match[1]));
  };

  test.each([
    ['IPv4', GUEST_IP, 'iptables', 56],
    ['IPv6', GUEST_IP6, 'ip6tables', 56],
    ['IPv4 in fragments', GUEST_IP, 'iptables', 4000],
    ['IPv6 in fragments', GUEST_IP6, 'ip6tables', 4000],
  ])('both guests answer over %s, once and whole at the primary node', async (_what, address, iptables, bytes) => {
    counted(iptables);
    const ping = await lab.exec('client', 'busybox', ['ping', '-q', '-c', '3', '-W', '5', '-s', `${bytes}`, address]);
    expect(ping.stdout).toContain('3 packets received');
    for (let attempt = 0; attempt < 100; attempt++) {
      const rules = lab.execSync('pn', iptables, ['-t', 'mangle', '-vnxL', 'PREROUTING']);
      if (/^\s*3\s.*fwd0/m.test(rules)) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(counted(iptables)).toEqual([3, 3]);
  });

  test('the hosts themselves are on the outer network', async () => {
    const ping = await lab.exec('client', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', PN_IP6]);
    expect(ping.stdout).toContain('1 packets received');
  });

  test('the two guests choose different numbers for the same connection', async () => {
    const captures = (['tap0', 'fwd0'] as const).map((port) =>
      lab.spawn('pn', 'tcpdump', ['-lnSi', port, 'src port 80 and tcp[13] & 18 = 18']),
    );
    const servers = (['pvm', 'svm'] as Role[]).map((guest) =>
      lab.spawn(guest, 'busybox', ['httpd', '-f', '-p', '80', '-h', lab.dir]),
    );
    await Promise.all(captures.map((capture) => capture.waitFor(/listening on/)));
    await lab.exec('client', 'curl', [
      '-s',
      '--retry',
      '20',
      '--retry-connrefused',
      '--retry-delay',
      '1',
      `http://${GUEST_IP}/`,
    ]);
    const seen = await Promise.all(captures.map((capture) => capture.waitFor(/\[S\.\], seq (\d+),.*TS val (\d+) /)));
    for (const group of [1, 2]) expect(seen[0]![group]).not.toBe(seen[1]![group]);
    await Promise.all([...captures, ...servers].map((running) => running.stop()));
  });

  test('after the tap has moved, the client reaches the secondary guest', async () => {
    lab.killPrimary();
    lab.moveSecondaryTap();
    await lab.exec('svm', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', CLIENT_IP]);
    const ping = await lab.exec('client', 'busybox', ['ping', '-q', '-c', '2', '-W', '5', GUEST_IP]);
    expect(ping.stdout).toContain('2 packets received');
  });
});

test('a laboratory whose builder is killed goes away by itself', async () => {
  const script = `
    require(${JSON.stringify(join(__dirname, 'lab-load.js'))})(${JSON.stringify(join(__dirname, 'lab.ts'))}).Lab.create()
      .then((lab) => { console.log(lab.dir); lab.spawn('pn', 'sleep', ['1000']); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50); });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let dir = '';
  child.stdout.on('data', (chunk: Buffer) => {
    dir += chunk.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  expect(dir).toContain(`colo-${child.pid}`);
  const left = () =>
    existsSync(dir.trim()) || readdirSync('/run/netns').some((name) => name.startsWith(`colo-${child.pid}-`));
  for (let attempt = 0; attempt < 250 && left(); attempt++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(left()).toBe(false);
});
