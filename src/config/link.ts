// The stream link between the hosts, as configured: who needs it, what it may be, what does not go with it.

import { type Complaint, type Path, pathText } from './errors';
import type { ConfigText, NodeText } from './schema';

export interface LinkSettings {
  /** As a character device's (io/stream/endpoint): of a primary a server. */
  endpoint: string;
  /** File; undefined where anybody is believed. */
  key: string | undefined;
  insecure: boolean;
  digests: boolean;
  bufferBytes: number;
}

/** Undefined where no node uses it. */
export function linkSettings(text: ConfigText): LinkSettings | undefined {
  const where = text.link?.[endOf(text.role)];
  if (text.link === undefined || where === undefined || !text.nodes.some(isStream)) return undefined;
  const { key, insecure, digests, bufferBytes } = text.link;
  const device = where.startsWith('unix:') ? where.replaceAll(',', ',,') : `tcp:${where}`;
  return {
    endpoint: text.role === 'primary' ? `${device},server` : device,
    key,
    insecure,
    digests: digests === 'on',
    bufferBytes,
  };
}

/** The secondary dials. */
function endOf(role: ConfigText['role']): 'listen' | 'connect' {
  return role === 'primary' ? 'listen' : 'connect';
}

function isStream(node: NodeText): boolean {
  return node.forwardPort === undefined;
}

export function linkChecks(text: ConfigText): Complaint[] {
  const streams = text.nodes.flatMap((node, k) => (isStream(node) ? [{ node, path: ['nodes', k] }] : []));
  if (streams.length === 0) return [];
  const { link, role } = text;
  if (link === undefined) {
    return streams.map(({ path }) =>
      complaint([...path, 'forwardPort'], 'is missing: name the port to the other host, or say at link where that is'),
    );
  }
  return [
    ...endChecks(link, role),
    ...streams.flatMap(({ node, path }) =>
      ofEthernet(node, role).map((key) =>
        complaint([...path, ...key], 'goes with a forwardPort, which is not given: leave it out'),
      ),
    ),
  ];
}

function endChecks(link: NonNullable<ConfigText['link']>, role: ConfigText['role']): Complaint[] {
  const end = endOf(role);
  const where = link[end];
  if (where === undefined) {
    const does = role === 'primary' ? 'a primary listens' : 'a secondary connects';
    return [complaint(['link', end], `is missing: ${does}`)];
  }
  if (link.key !== undefined && where.startsWith('unix:')) {
    const who = 'the modes of the socket and of its directory say who may connect, and nothing crosses a network';
    return [complaint(['link', 'key'], `must be left out at ${where}: ${who}`)];
  }
  if (link.key !== undefined && link.insecure) {
    return [complaint(['link', 'insecure'], 'must be left out where there is a key')];
  }
  if (link.key === undefined && !link.insecure && !staysHere(where)) {
    return [
      complaint(
        ['link', 'key'],
        `is missing: without one (a file of mode 0600: openssl rand -hex 32) only loopback and unix: are taken, not ${where}; insecure: true lets anybody who reaches that port decide what leaves`,
      ),
    ];
  }
  return [];
}

function complaint(path: Path, text: string): Complaint {
  return { path, text: `${pathText(path)} ${text}` };
}

/** Keys that only a mirrored Ethernet has a use for. */
function ofEthernet({ forwardBridge, forwardSettleMs, queues }: NodeText, role: ConfigText['role']): Path[] {
  const out: Path[] = [];
  if (forwardBridge !== undefined) out.push(['forwardBridge']);
  if (forwardSettleMs !== undefined) out.push(['forwardSettleMs']);
  // A secondary's is that of what its guest receives after a failover.
  if (queues.forward !== undefined && role === 'primary') out.push(['queues', 'forward']);
  if (queues.forwardUdp !== undefined && role === 'primary') out.push(['queues', 'forwardUdp']);
  return out;
}

function staysHere(where: string): boolean {
  return /^(unix:|localhost:|127\.\d+\.\d+\.\d+:|\[::1\]:)/.test(where);
}
