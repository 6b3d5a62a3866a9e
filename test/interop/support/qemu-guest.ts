// One test guest in QEMU, and the stock command lines that make it a primary or a secondary (docs/QEMU.md has them in
// full).

import { CLIENT_MAC, GUEST_IP, GUEST_MAC, type Lab, type LabProcess } from '../../netns/lab';
import { INITRD, KERNEL } from './guest-files';
import { CLIENT_IPS, PN_FORWARD_IP } from './guest-lab';

export type Host = 'pn' | 'sn';

export interface GuestOptions {
  /** What the guest's /who says. */
  who: string;
  /** Options from -netdev to the last -object. */
  network: readonly string[];
  /** Others, such as -qmp and -incoming. */
  more?: readonly string[];
  /** It has IPv6 and has to ask for its neighbours; else nothing but the test speaks. */
  chatty?: boolean;
  /** A library that QEMU is to be started with. */
  preload?: string;
}

/**
 * RAM of an odd size: under TCG, QEMU before 9.0 loses dirty pages at COLO's checkpoints when the size is a multiple of
 * 256 KiB, and the secondary guest panics and reboots.
 */
const RAM = '131080K';

/** Without KVM, as the machine that runs the tests may have none. */
const MACHINE = [
  ...['-M', 'pc', '-accel', 'tcg', '-cpu', 'max', '-m', RAM, '-nodefaults', '-display', 'none', '-no-reboot'],
  ...['-serial', 'stdio', '-kernel', KERNEL, '-initrd', INITRD],
];

export class Guest {
  private killed = false;

  private constructor(
    readonly process: LabProcess,
    /** A guest that comes by migration says nothing of its boot. */
    private readonly boots: 0 | 1,
  ) {}

  static start(lab: Lab, host: Host, options: GuestOptions): Guest {
    const { who, network, more = [], chatty = false, preload } = options;
    const neighbours = CLIENT_IPS.map((ip) => `neigh=${ip},${CLIENT_MAC}`).join(' ');
    const quiet = chatty ? '' : `ipv6.disable=1 ${neighbours}`;
    const append = `console=ttyS0 quiet panic=-1 who=${who} ip=${GUEST_IP}/24 ${quiet}`;
    const device = ['-device', `virtio-net-pci,id=e0,netdev=hn0,mac=${GUEST_MAC},romfile=`];
    const args = [...MACHINE, '-append', append, ...network, ...device, ...more];
    const env = preload === undefined ? process.env : { ...process.env, LD_PRELOAD: preload };
    const qemu = lab.spawn(host, 'qemu-system-x86_64', args, { stdio: ['pipe', 'pipe', 'pipe'], env });
    return new Guest(qemu, more.includes('-incoming') ? 0 : 1);
  }

  /** Resolves when the guest's servers listen. */
  async up(): Promise<void> {
    await this.process.waitFor(/GUEST-UP/, 90_000);
  }

  /**
   * Throws when the guest has panicked or booted again, or QEMU has ended by itself (a reboot ends it, see MACHINE).
   */
  provenSteady(): void {
    if (this.killed) return;
    const { name, output, exitCode } = this.process;
    const boots = output.match(/GUEST-UP/g)?.length ?? 0;
    if (exitCode === undefined && boots === this.boots && !/Kernel panic/.test(output)) return;
    const found = exitCode === undefined ? `${boots} boots instead of ${this.boots}` : `QEMU ended with ${exitCode}`;
    throw new Error(`a guest did not keep running: ${found}: ${name}\n${output.slice(-3000)}`);
  }

  /** `kill -9`. */
  kill(): Promise<number> {
    this.killed = true;
    return this.process.stop('SIGKILL');
  }
}

const chardev = (text: string): string[] => ['-chardev', `socket,${text}`];
const object = (text: string): string[] => ['-object', text];

export interface WireOptions {
  /** The tap and the virtio-net device exchange virtio-net headers (QEMU's default); the objects need the same word. */
  vnetHdr: boolean;
}

/** The host's tap and nothing between. */
export const tapNetwork = ({ vnetHdr }: WireOptions): string[] => [
  '-netdev',
  `tap,id=hn0,ifname=tap0,script=no,downscript=no,vhost=off,vnet_hdr=${vnetHdr ? 'on' : 'off'}`,
];
const support = ({ vnetHdr }: WireOptions): string => (vnetHdr ? ',vnet_hdr_support=on' : '');

/** The primary's filters, with the comparison left to whoever connects to 9001 and 9005 and listens on 9004. */
export function primaryNetwork(wire: WireOptions): string[] {
  return [
    ...tapNetwork(wire),
    ...chardev('id=mirror0,host=0.0.0.0,port=9003,server=on,wait=off'),
    ...chardev('id=compare0,host=127.0.0.1,port=9001,server=on,wait=off'),
    ...chardev('id=compare_out,host=127.0.0.1,port=9005,server=on,wait=off'),
    ...object(`filter-mirror,id=m0,netdev=hn0,queue=tx,outdev=mirror0${support(wire)}`),
    ...object(`filter-redirector,netdev=hn0,id=redire0,queue=rx,indev=compare_out${support(wire)}`),
    ...object(`filter-redirector,netdev=hn0,id=redire1,queue=rx,outdev=compare0${support(wire)}`),
  ];
}

/** The stock primary: its own comparison, and a socket for the checkpoints, as with Xen. */
export function stockPrimaryNetwork(wire: WireOptions, notifyPath: string): string[] {
  return [
    ...primaryNetwork(wire),
    ...chardev('id=compare1,host=0.0.0.0,port=9004,server=on,wait=off'),
    ...chardev('id=compare0-0,host=127.0.0.1,port=9001'),
    ...chardev('id=compare_out0,host=127.0.0.1,port=9005'),
    ...chardev(`id=notify0,path=${notifyPath},server=on,wait=off`),
    ...object('iothread,id=iothread1'),
    ...object(
      `colo-compare,id=comp0,primary_in=compare0-0,secondary_in=compare1,outdev=compare_out0,notify_dev=notify0,iothread=iothread1${support(wire)}`,
    ),
  ];
}

/** A secondary whose filters are outside: its network is a socket. */
export function bareNetwork(path: string): string[] {
  return ['-netdev', `stream,id=hn0,server=off,addr.type=unix,addr.path=${path}`];
}

/** The secondary's filters, all of them QEMU's own. */
export function secondaryNetwork(wire: WireOptions): string[] {
  return [
    ...tapNetwork(wire),
    ...chardev(`id=red0,host=${PN_FORWARD_IP},port=9003,reconnect=1`),
    ...chardev(`id=red1,host=${PN_FORWARD_IP},port=9004,reconnect=1`),
    ...object(`filter-redirector,id=f1,netdev=hn0,queue=tx,indev=red0${support(wire)}`),
    ...object(`filter-redirector,id=f2,netdev=hn0,queue=rx,outdev=red1${support(wire)}`),
    ...object(`filter-rewriter,id=rew0,netdev=hn0,queue=all${support(wire)}`),
  ];
}
