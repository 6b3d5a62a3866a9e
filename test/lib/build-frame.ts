// Builds Ethernet frames and the bytes that carry them over a character device, independent of src/qemu.

export interface FrameFields {
  type?: number;
  /** VLAN ids from the outermost on; two or more have 802.1ad outside. */
  vlans?: number[];
  src?: string;
  dst?: string;
  /** Zeros up to so many bytes. */
  padTo?: number;
  /** Goes before the frame. */
  vnet?: Buffer;
}

export const GUEST_MAC = '525400123456';
export const PEER_MAC = '525400abcdef';

/** A frame around an IP packet (its type is seen in it), or around anything else with a type. */
export function buildFrame(payload: Buffer, f: FrameFields = {}): Buffer {
  const type = f.type ?? (payload[0]! >> 4 === 6 ? 0x86dd : 0x0800);
  const vlans = f.vlans ?? [];
  const tags = vlans.flatMap((vlan, i) => [i === 0 && vlans.length > 1 ? 0x88a8 : 0x8100, vlan]);
  const words = Buffer.alloc(2 * tags.length + 2);
  for (const [i, word] of [...tags, type].entries()) words.writeUInt16BE(word, 2 * i);
  const frame = Buffer.concat([Buffer.from((f.dst ?? PEER_MAC) + (f.src ?? GUEST_MAC), 'hex'), words, payload]);
  const padded = Buffer.concat([frame, Buffer.alloc(Math.max(0, (f.padTo ?? 0) - frame.length))]);
  return Buffer.concat([f.vnet ?? Buffer.alloc(0), padded]);
}

/** As it goes over a socket; vnetBytes >= 0: with vnet_hdr_support. */
export function onTheWire(frame: Buffer, vnetBytes = -1): Buffer {
  const words = Buffer.alloc(vnetBytes < 0 ? 4 : 8);
  words.writeUInt32BE(frame.length, 0);
  if (vnetBytes >= 0) words.writeUInt32BE(vnetBytes, 4);
  return Buffer.concat([words, frame]);
}

/** Takes such bytes apart again; throws when they are no whole frames. */
export function fromTheWire(bytes: Buffer, vnetWord = false): { frame: Buffer; vnetBytes: number }[] {
  const out: { frame: Buffer; vnetBytes: number }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const len = bytes.readUInt32BE(at);
    const from = at + (vnetWord ? 8 : 4);
    if (len === 0 || from + len > bytes.length) throw new Error(`no whole frame at ${at}`);
    out.push({ frame: bytes.subarray(from, from + len), vnetBytes: vnetWord ? bytes.readUInt32BE(at + 4) : 0 });
    at = from + len;
  }
  return out;
}

export interface VnetFields {
  flags?: number;
  gsoType?: number;
  gsoSize?: number;
  /** The frame behind, for what is left to do: TCP over IPv4 without options or tags, if nothing is said. */
  family?: 4 | 6;
  udp?: boolean;
  tags?: number;
}

/** virtio_net_hdr of 10, 12 or 20 bytes as a guest writes it; none of 0. */
export function vnetHeader(bytes: number, f: VnetFields = {}): Buffer {
  const h = Buffer.alloc(bytes);
  const { flags = 0, gsoType = 0, gsoSize = 0 } = f;
  if (bytes === 0 || (flags === 0 && gsoType === 0)) return h;
  const start = 14 + 4 * (f.tags ?? 0) + (f.family === 6 ? 40 : 20);
  h[0] = flags;
  h[1] = gsoType;
  if (gsoType !== 0) h.writeUInt16LE(start + (f.udp ? 8 : 20), 2);
  h.writeUInt16LE(gsoSize, 4);
  h.writeUInt16LE(start, 6);
  h.writeUInt16LE(f.udp ? 6 : 16, 8);
  return h;
}

export function arpFrame(operation: number, f: FrameFields = {}): Buffer {
  const arp = Buffer.alloc(28);
  arp.writeUInt16BE(1, 0);
  arp.writeUInt16BE(0x0800, 2);
  arp[4] = 6;
  arp[5] = 4;
  arp.writeUInt16BE(operation, 6);
  Buffer.from(GUEST_MAC, 'hex').copy(arp, 8);
  arp.set([10, 0, 0, 1], 14);
  arp.set([10, 0, 0, 2], 24);
  return buildFrame(arp, { type: 0x0806, ...f });
}
