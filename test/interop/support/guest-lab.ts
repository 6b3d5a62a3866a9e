// The laboratory's namespaces with real taps, for guests that run in QEMU: pn and sn each have a tap0 that a QEMU
// opens, and the forward link between them carries TCP.
//
//   client: lan0 = {pn, sn}     pn: br0 = {nic0, tap0}   sn: br0 = {nic0}, tap0 alone until a failover puts it into br0
//   pn fwd0 10.78.0.1 <-> sn fwd0 10.78.0.2

import { execFileSync } from 'node:child_process';
import { CLIENT_IP, Lab, STREAM_IPS, type TopologyOptions } from '../../netns/lab';

export const PN_FORWARD_IP = STREAM_IPS.pn;
export const SN_FORWARD_IP = STREAM_IPS.sn;

/**
 * The client has several addresses, as a kernel's timestamps have one random offset for each address that it talks to.
 */
export const CLIENT_IPS = [CLIENT_IP, ...[21, 22, 23, 24, 25, 26, 27].map((last) => `10.77.0.${last}`)];

/** `link`: of the daemons, if any; `stream` gives the forward link addresses. */
export async function createGuestLab(link: TopologyOptions['link'] = 'stream'): Promise<Lab> {
  const lab = await Lab.create({ plumbing: false, link });
  try {
    for (const [role, master] of [
      ['pn', 'master br0'],
      ['sn', ''],
    ] as const) {
      const lines = ['link del tap0', 'tuntap add dev tap0 mode tap vnet_hdr', `link set tap0 ${master} up`];
      execFileSync('ip', ['-n', lab.ns[role], '-batch', '-'], { input: `${lines.join('\n')}\n` });
      lab.execSync(role, 'sysctl', ['-qw', 'net.ipv6.conf.tap0.disable_ipv6=1']);
    }
    const addresses = CLIENT_IPS.slice(1).map((ip) => `addr add ${ip}/24 dev lan0`);
    execFileSync('ip', ['-n', lab.ns.client, '-batch', '-'], { input: `${addresses.join('\n')}\n` });
  } catch (error) {
    await lab.destroy();
    throw error;
  }
  return lab;
}
