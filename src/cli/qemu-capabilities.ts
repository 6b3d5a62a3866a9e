// Capabilities that the `colo qemu` programs keep: they read guests' frames, so they keep no more than their ports
// need.

import type { Endpoint } from '../io/stream/endpoint';
import { CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, dropCapabilities } from '../native';

/** Ports below are root's (ip_unprivileged_port_start(7) by default). */
const FIRST_FREE_PORT = 1024;

export interface Needs {
  /** A tap is opened. */
  tap: boolean;
  endpoints: readonly (Pick<Endpoint, 'kind' | 'port' | 'server'> | undefined)[];
  metricsPort?: number | undefined;
}

export function capabilitiesFor({ tap, endpoints, metricsPort }: Needs): string[] {
  const served = endpoints.flatMap((e) => (e !== undefined && e.kind === 'tcp' && e.server ? [e.port] : []));
  const low = [...served, metricsPort ?? FIRST_FREE_PORT].some((port) => port < FIRST_FREE_PORT);
  return [...(tap ? [CAP_NET_ADMIN] : []), ...(low ? [CAP_NET_BIND_SERVICE] : [])];
}

/** Executes this program again with fewer capabilities, so it comes before anything is opened. Throws OperatorError. */
export function keepWhatIsNeeded(needs: Needs): void {
  dropCapabilities(capabilitiesFor(needs));
}
