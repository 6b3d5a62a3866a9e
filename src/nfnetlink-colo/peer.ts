// Who speaks, and how answers get back. The carriers (netlink, Unix sockets) are adapters outside of this folder.

export type Address =
  | { readonly carrier: 'netlink'; readonly portId: number }
  /** `connection` is any number that the carrier does not use twice while it runs. */
  | { readonly carrier: 'unix'; readonly connection: number };

/** All of it from the kernel, nothing from the message. */
export interface Sender {
  readonly address: Address;
  /** undefined when the kernel gave no credentials: such a sender is refused. */
  readonly uid: number | undefined;
  readonly pid: number;
}

export interface Carrier {
  /**
   * Sends one datagram now or not at all; `bytes` are valid only during the call. 0, or a negative errno (-EAGAIN: try
   * again).
   */
  send(to: Address, bytes: Uint8Array): number;
}

export interface PortProbe {
  /**
   * The netlink ports that are bound in the control channel's family, with the inode of each one's socket, so that a
   * port id that somebody else has taken over is told apart. undefined when that cannot be known now: nobody is
   * declared lost then.
   */
  ports(): ReadonlyMap<number, number> | undefined;
}

/** A name for an address, unique among those that are in use. */
export function addressName(address: Address): string {
  return address.carrier === 'netlink' ? `netlink:${address.portId}` : `unix:${address.connection}`;
}

export function sameAddress(a: Address, b: Address): boolean {
  return addressName(a) === addressName(b);
}
