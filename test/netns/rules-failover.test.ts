// The network follows the guest: its port changes the bridge, and the switch learns of it without a word from the
// guest.
import { join } from 'node:path';
import { PacketSocket } from '../../src/io/packet-socket';
import { gratuitousArpFrame } from '../../src/packet/arp';
import { taggedFrame } from '../../src/packet/ethernet';
import { CLIENT_IP, GUEST_IP, GUEST_IP6, GUEST_MAC, Lab } from './lab';
import { requires } from './requires';
import { until } from './support/wait';

const LOAD = `const load = require(${JSON.stringify(join(__dirname, 'lab-load.js'))});
const src = ${JSON.stringify(join(__dirname, '../../src'))};
const { moveToBridge } = load(src + '/io/link.ts');
const { GuestAddresses } = load(src + '/seccolo/guest-addresses.ts');
const { watchGuestClaims } = load(src + '/daemon/guest-claims.ts');
const { takeOver } = load(src + '/daemon/failover.ts');
const log = { info: () => {}, warn: () => {}, error: (fields) => console.log(fields.error) };
const settings = { guestPort: 'tap0', outerBridge: 'br0', moveTapOnFailover: true, announceOnFailover: true };
const addresses = new GuestAddresses();
// No connection is alive.
const engine = { nextToRemind: () => -1 };
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
  const guestIsAt = (): string | undefined => {
    const fdb = JSON.parse(lab.execSync('client', 'bridge', ['-j', 'fdb', 'show', 'br', 'lan0'])) as {
      mac: string;
      ifname: string;
    }[];
    return fdb.find(({ mac }) => mac === GUEST_MAC)?.ifname;
  };

  /** A program on the secondary host that hears the guest, and takes over when it is told. */
  const takingOver = (): ReturnType<Lab['spawn']> =>
    lab.spawn('sn', process.execPath, [
      '-e',
      `${LOAD}watchGuestClaims('tap0', addresses, log);
      console.log('listening');
      process.once('SIGUSR2', () => takeOver(settings, engine, Promise.resolve(), addresses, log).settled.then(() => console.log('settled')));`,
    ]);
  const watch = async (
    role: 'client' | 'svm',
    port: string,
    ...filter: string[]
  ): Promise<ReturnType<Lab['spawn']>> => {
    const capture = lab.spawn(role, 'tcpdump', ['-vlnnei', port, '--immediate-mode', ...filter]);
    await capture.waitFor(/listening on/);
    return capture;
  };
  const count = (text: string, what: RegExp): number => text.match(new RegExp(what, 'g'))?.length ?? 0;
  /** As if the primary guest had sent a broadcast: the secondary host has heard it outside. */
  const primaryWasHeardOutside = (): void => {
    lab.execSync('sn', 'bridge', ['fdb', 'replace', GUEST_MAC, 'dev', 'nic0', 'master', 'dynamic']);
  };

  test('a port whose rules cannot be made stays where it is, and they are tried again', async () => {
    const take = (fails: number) =>
      onSecondary(`let calls = 0;
        const open = async () => { if (++calls <= ${fails}) throw new Error('busy'); };
        await takeOver(settings, engine, Promise.resolve(), addresses, log, open).settled;
        console.log('calls', calls);
        process.exit(0);`);
    const home = () => /master (\w+)/.exec(lab.execSync('sn', 'ip', ['link', 'show', 'tap0']))?.[1];
    expect(await take(99)).toBe(`${'Error: busy\n'.repeat(5)}calls 5`);
    expect(home()).toBe('colobr0');
    expect(await take(1)).toBe('Error: busy\ncalls 2');
    expect(home()).toBe('br0');
  });

  test('a guest is found at its new place, by its own addresses, in its VLAN, and asked for its groups', async () => {
    expect(guestIsAt()).toBe('pn');
    const daemon = takingOver();
    await daemon.waitFor(/listening/);
    const capture = await watch('client', 'sn', 'ether', 'src', GUEST_MAC);
    const atGuest = await watch('svm', 'eth0', 'arp', 'or', 'icmp6', 'or', 'igmp');
    // It has an address in a VLAN, and forwards for 192.0.2.9.
    const raw = new PacketSocket({ interface: 'eth0', netns: lab.ns.svm }, { onFrame: () => {} });
    raw.send(
      taggedFrame(gratuitousArpFrame(Buffer.from(GUEST_MAC.replaceAll(':', ''), 'hex'), 0x0a4b0002), [0x81000005]),
    );
    raw.close();
    lab.execSync('svm', 'busybox', ['arping', '-c', '1', '-w', '1', '-U', '-I', 'eth0', GUEST_IP]);
    lab.execSync('svm', 'ip', ['addr', 'add', '192.0.2.9/32', 'dev', 'lo']);
    await lab.exec('svm', 'busybox', ['ping', '-q', '-c', '1', '-W', '1', '-I', '192.0.2.9', CLIENT_IP], {
      allowFailure: true,
    });
    await lab.exec('svm', 'busybox', ['ping', '-6', '-q', '-c', '1', '-W', '1', 'fd77::77'], { allowFailure: true });
    const reports = lab.spawn('svm', process.execPath, [
      '-e',
      `const s = require('node:dgram').createSocket('udp4'); s.bind(0, () => { s.addMembership('239.1.2.3', '${GUEST_IP}'); console.log('member'); }); setTimeout(() => {}, 60000);`,
    ]);
    await reports.waitFor(/member/);
    primaryWasHeardOutside();
    lab.killPrimary();
    const before = count(atGuest.output, /igmp v3 report/);
    process.kill(daemon.pid, 'SIGUSR2');
    await daemon.waitFor(/settled/);
    expect(guestIsAt()).toBe('sn');
    const own = new RegExp(`Request who-has ${GUEST_IP} .*tell ${GUEST_IP}`);
    // Three rounds at once, three later.
    await until('the last round', () => count(capture.output, own) === 6);
    expect(count(capture.output, /vlan 5, .*Request who-has 10\.75\.0\.2 .*tell 10\.75\.0\.2/)).toBe(6);
    expect(count(capture.output, /fd77::2 > ff02::1: .*neighbor advertisement.*tgt is fd77::2/)).toBe(6);
    expect(capture.output).not.toMatch(/who-has 192\.0\.2\.9/);
    // The groups are told to the switch; the guest is not told of itself.
    await until(
      'reports',
      () => /239\.1\.2\.3/.test(capture.output) && /multicast listener report/.test(capture.output),
    );
    expect(count(atGuest.output, /igmp v3 report/)).toBeGreaterThan(before);
    expect(atGuest.output).toMatch(/igmp query v3 \[max resp time 0\.1s/);
    for (const address of [GUEST_IP, GUEST_IP6]) {
      const ping = await lab.exec('client', 'busybox', ['ping', '-q', '-c', '1', '-W', '5', address]);
      expect(ping.stdout).toContain('1 packets received');
    }
  });

  test('a guest that has claimed no address is shown to the switches only', async () => {
    const capture = await watch('client', 'sn', 'ether', 'src', GUEST_MAC);
    primaryWasHeardOutside();
    lab.killPrimary();
    await onSecondary('await takeOver(settings, engine, Promise.resolve(), addresses, log).settled');
    expect(guestIsAt()).toBe('sn');
    await capture.waitFor(/(RARP|Reverse).*who-is 52:54:00:c0:10:02/i);
    expect(capture.output).not.toMatch(/who-has|advertisement/);
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
    expect(await onSecondary('await takeOver(settings, engine, Promise.resolve(), addresses, log).settled')).toMatch(
      /no port of br0 takes frames/,
    );
  });
});
