// The network follows the guest: its port changes the bridge, and the switch learns of it without a word from the guest.
import { join } from 'node:path';
import { GUEST_IP, GUEST_IP6, GUEST_MAC, Lab } from './lab';
import { requires } from './requires';

const LOAD = `const load = require(${JSON.stringify(join(__dirname, 'lab-load.js'))});
const { macsBehind, moveToBridge } = load(${JSON.stringify(join(__dirname, '../../src/io/link.ts'))});
const { announceGuest } = load(${JSON.stringify(join(__dirname, '../../src/io/announce.ts'))});
`;

jest.setTimeout(60_000);

requires('netns', 'addon')('failover of the network', () => {
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.create();
    // The guests have been heard, so each bridge knows where they are.
    await lab.exec('client', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', GUEST_IP]);
  });
  afterEach(() => lab?.destroy());

  const onSecondary = async (body: string): Promise<string> => {
    const script = `${LOAD}(async () => { ${body} })().catch((error) => { console.error(error.code, error.message, error.hint); process.exit(1); });`;
    return (await lab.exec('sn', process.execPath, ['-e', script])).stdout.trim();
  };
  const ADDRESSES = `[{ family: 4, bytes: Uint8Array.of(10, 77, 0, 2) }, { family: 6, bytes: Uint8Array.of(0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2) }]`;
  const guestIsAt = (): string | undefined => {
    const fdb = JSON.parse(lab.execSync('client', 'bridge', ['-j', 'fdb', 'show', 'br', 'lan0'])) as {
      mac: string;
      ifname: string;
    }[];
    return fdb.find(({ mac }) => mac === GUEST_MAC)?.ifname;
  };

  test.each([
    ['its addresses', ADDRESSES, 6],
    ['no address', '[]', 3],
  ])('a guest with %s that says nothing is found at its new place', async (_what, addresses, frames) => {
    expect(guestIsAt()).toBe('pn');
    const capture = lab.spawn('client', 'tcpdump', ['-lnnei', 'sn', '--immediate-mode', 'ether src', GUEST_MAC]);
    const atGuest = lab.spawn('svm', 'tcpdump', ['-lnnei', 'eth0', '--immediate-mode', 'ether src', GUEST_MAC]);
    await Promise.all([capture.waitFor(/listening on/), atGuest.waitFor(/listening on/)]);
    // As if the primary guest had sent a broadcast: the secondary host has heard it outside.
    lab.execSync('sn', 'bridge', ['fdb', 'replace', GUEST_MAC, 'dev', 'nic0', 'master', 'dynamic']);
    lab.killPrimary();
    const sent = await onSecondary(`
      const macs = await macsBehind('tap0');
      await moveToBridge('tap0', 'br0', macs);
      console.log(await announceGuest('br0', 'tap0', ${addresses}, macs));`);
    expect(sent).toBe(String(frames));
    expect(guestIsAt()).toBe('sn');
    if (addresses === '[]') {
      await capture.waitFor(/(RARP|Reverse).*who-is 52:54:00:c0:10:02/i);
    } else {
      await capture.waitFor(
        /Request who-has 10\.77\.0\.2.* tell 10\.77\.0\.2(.*\n)+.*Request who-has 10\.77\.0\.2(.*\n)+.*Request who-has 10\.77\.0\.2/,
      );
      await capture.waitFor(/fd77::2 > ff02::1: ICMP6, neighbor advertisement, tgt is fd77::2/);
    }
    for (const address of [GUEST_IP, GUEST_IP6]) {
      const ping = await lab.exec('client', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', address]);
      expect(ping.stdout).toContain('1 packets received');
    }
    // The guest is not told of itself.
    expect(atGuest.output).not.toMatch(/who-has 10\.77\.0\.2|advertisement|Reverse|RARP/);
  });

  test('a guest whose address nobody knows any more is still reached', async () => {
    lab.execSync('sn', 'bridge', ['fdb', 'replace', GUEST_MAC, 'dev', 'nic0', 'master', 'dynamic']);
    lab.killPrimary();
    await onSecondary("await moveToBridge('tap0', 'br0')");
    // The dead port's carrier may have cost the switch the address already.
    lab.execSync('client', 'ip', ['link', 'set', 'lan0', 'type', 'bridge', 'fdb_flush']);
    const ping = await lab.exec('client', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', GUEST_IP]);
    expect(ping.stdout).toContain('1 packets received');
  });

  test('a port or bridge that is not there is named', async () => {
    await expect(onSecondary("await moveToBridge('tap7', 'br0')")).rejects.toThrow(/ELINK tap7 does not exist/);
    await expect(onSecondary("await moveToBridge('tap0', 'br7')")).rejects.toThrow(/ELINK br7 does not exist/);
  });

  test('an announcement that nobody can hear is an error', async () => {
    lab.execSync('sn', 'ip', ['link', 'set', 'nic0', 'down']);
    await expect(onSecondary(`await announceGuest('br0', 'tap0', ${ADDRESSES})`)).rejects.toThrow(
      /EANNOUNCE no port of br0 takes frames/,
    );
  });
});
