// Names the field of an Ethernet frame that a bit belongs to, where nobody compares it; undefined: somebody does.

const TCP_OPTIONS = 20;

export function uncomparedField(frame: Buffer, byte: number, bit: number): string | undefined {
  const type = frame.readUInt16BE(12);
  if (byte < 14) return undefined;
  const at = byte - 14;
  const packet = frame.subarray(14);
  if (type === 0x0806 || type === 0x8035) return at >= 14 ? 'ARP addresses' : undefined;
  const v4 = type === 0x0800;
  if (packet[v4 ? 9 : 6] === 6 && at >> 1 === (v4 ? 1 : 2)) return 'TCP segmentation';
  const head = (packet[0]! & 15) * 4;
  if (v4) return at < head ? ipv4(at, bit) : transport(packet[9]!, packet.subarray(head), at - head, bit);
  if (type !== 0x86dd) return undefined;
  if (at < 40) return ipv6(at, bit);
  const fragment = packet[6] === 44;
  if (fragment && at < 48) return at >= 44 ? 'IPv6 fragment identification' : undefined;
  return fragment
    ? transport(packet[40]!, packet.subarray(48), at - 48, bit)
    : transport(packet[6]!, packet.subarray(40), at - 40, bit);
}

function ipv4(at: number, bit: number): string | undefined {
  if (at === 1) return 'IPv4 type of service';
  if (at === 4 || at === 5) return 'IPv4 identification';
  if (at === 6 && bit === 0x40) return "IPv4 don't fragment";
  if (at === 8) return 'IPv4 time to live';
  if (at === 10 || at === 11) return 'IPv4 header checksum';
  return undefined;
}

function ipv6(at: number, bit: number): string | undefined {
  if ((at === 0 && bit < 0x10) || (at === 1 && bit > 0x0f)) return 'IPv6 traffic class';
  if (at >= 1 && at <= 3) return 'IPv6 flow label';
  return at === 7 ? 'IPv6 hop limit' : undefined;
}

function transport(protocol: number, l4: Buffer, at: number, bit: number): string | undefined {
  if (protocol === 17) return at === 6 || at === 7 ? 'UDP checksum' : undefined;
  if (protocol === 1 || protocol === 58) return at === 2 || at === 3 ? 'ICMP checksum' : undefined;
  return protocol === 6 ? tcp(l4, at, bit) : undefined;
}

function tcp(l4: Buffer, at: number, bit: number): string | undefined {
  const end = (l4[12]! >> 4) * 4;
  const flags = l4[13]!;
  if (at >= 4 && at < 8) {
    if ((flags & 2) !== 0) return 'TCP initial sequence number';
    return l4.length === end && (flags & 5) === 0 ? 'TCP sequence number without content' : undefined;
  }
  if (at >= 8 && at < 12) return 'TCP acknowledgement';
  if (at === 13 && bit === 1 && (flags & 1) !== 0) return 'TCP segmentation';
  // Without these it is a mere acknowledgement.
  if (at === 13 && (bit & flags & 6) !== 0 && l4.length === end) return 'TCP sequence number without content';
  if ((at === 12 && bit === 1) || (at === 13 && (bit & 0xd8) !== 0)) return 'TCP flags';
  if (at === 14 || at === 15) return 'TCP window';
  if (at === 16 || at === 17) return 'TCP checksum';
  if (at < TCP_OPTIONS || at >= end) return undefined;
  for (let from = TCP_OPTIONS; from < end; ) {
    const kind = l4[from]!;
    const bytes = kind <= 1 ? 1 : l4[from + 1]!;
    if (at < from + bytes) return at - from >= 2 ? VALUES[kind] : 'TCP option order';
    from += bytes;
  }
  return undefined;
}

const VALUES: Record<number, string | undefined> = {
  8: 'TCP timestamps',
  19: 'TCP signature',
  34: 'TCP fast open cookie',
};
