// The addresses of an endpoint's host.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { OperatorError } from '../../core/errors';
import { type Endpoint, formatEndpoint } from './endpoint';

/** As the system resolves it now: a name may mean another machine after a failover. Rejects with OperatorError. */
export async function addressesOf(endpoint: Endpoint): Promise<string[]> {
  if (isIP(endpoint.host) !== 0) return [endpoint.host];
  try {
    return (await lookup(endpoint.host, { all: true, verbatim: true })).map(({ address }) => address);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'ENOTFOUND';
    const hint = 'write an address, or see that the name is in /etc/hosts or in the DNS';
    throw new OperatorError(code, `${formatEndpoint(endpoint)}: ${endpoint.host} has no address (${code})`, hint);
  }
}
