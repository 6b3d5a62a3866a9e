// A comparison of two captures for people: the differences, both sides' bytes side by side, and a summary.

import type { Comparison, FoundDifference, SideSummary } from '../replay/captures';

const ROW_BYTES = 8;
const HEX_COLUMNS = ROW_BYTES * 3 - 1;
const CAUSES: Record<string, string> = {
  payload: 'the bytes differ',
  length: 'the datagrams have different lengths',
  fin: 'the streams end at different places',
  rst: 'one connection is reset',
  syn_options: 'the SYN options differ',
  urgent: 'urgent data differs',
  retransmission: 'a retransmission differs from the bytes sent before',
  bound_exhausted: 'too far apart',
  primary_silent: 'the primary does not send this',
  secondary_silent: 'the secondary does not send this',
};

export function comparisonText(c: Comparison): string {
  const lines: string[] = [];
  c.differences.forEach((d, i) => {
    lines.push(...differenceLines(i + 1, d), '');
  });
  const more = c.flows.different - c.differences.length;
  if (more > 0) lines.push(`and ${more} more flows that differ (--max-differences)`, '');
  lines.push(
    `primary    ${sideText(c.primary)}`,
    `secondary  ${sideText(c.secondary)}`,
    `guest      ${c.guests.join(', ')}`,
    `flows      ${c.flows.compared} compared, ${c.flows.different} different, ${c.flows.incomplete} in part, ${c.flows.skipped} not comparable`,
    `bytes      ${c.comparedBytes} equal`,
  );
  const leftOut = Object.entries(c.notCompared).map(([reason, times]) => `${times} ${reason}`);
  if (leftOut.length > 0) lines.push(`left out   ${leftOut.join(', ')}`);
  lines.push(c.result === 'incomplete' ? 'nothing differs in what could be compared; the rest is left out' : c.result);
  return `${lines.join('\n')}\n`;
}

function sideText(s: SideSummary): string {
  const skipped = Object.entries(s.skipped).map(([reason, count]) => `${count} ${reason}`);
  const tail = skipped.length === 0 ? '' : `, skipped: ${skipped.join(', ')}`;
  return `${s.path}: ${s.packets} IP packets, ${s.guestPackets} of the guest${tail}`;
}

function differenceLines(number: number, d: FoundDifference): string[] {
  const place = d.offset === undefined ? '' : `, ${d.flow.startsWith('tcp') ? 'stream ' : ''}offset ${d.offset}`;
  const lines = [`${number}. ${d.flow}${place}: ${CAUSES[d.cause] ?? d.cause}`];
  if (d.detail !== undefined) lines.push(`   ${d.detail}`);
  const seen = (packet: number): string => (packet === 0 ? 'none of this flow' : `packet ${packet}`);
  lines.push(`   seen at: primary ${seen(d.primaryPacket)}, secondary ${seen(d.secondaryPacket)}`);
  return [...lines, ...dumpLines(d.offset ?? 0, Buffer.from(d.primary, 'hex'), Buffer.from(d.secondary, 'hex'))];
}

/** Both sides' bytes, eight to a row; a row in which they differ is marked. */
function dumpLines(offset: number, primary: Buffer, secondary: Buffer): string[] {
  const bytes = Math.max(primary.length, secondary.length);
  if (bytes === 0) return [];
  const lines = [`   ${'offset'.padStart(10)}   ${'primary'.padEnd(HEX_COLUMNS + ROW_BYTES + 6)}secondary`];
  for (let at = 0; at < bytes; at += ROW_BYTES) {
    const a = primary.subarray(at, at + ROW_BYTES);
    const b = secondary.subarray(at, at + ROW_BYTES);
    const mark = a.equals(b) ? ' ' : '*';
    lines.push(`   ${String(offset + at).padStart(10)} ${mark} ${rowText(a)}  ${rowText(b)}`.trimEnd());
  }
  return lines;
}

function rowText(row: Buffer): string {
  if (row.length === 0) return ' '.repeat(HEX_COLUMNS + ROW_BYTES + 4);
  const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const text = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
  return `${hex.padEnd(HEX_COLUMNS)}  |${text}|${' '.repeat(ROW_BYTES - row.length)}`;
}
