import { capabilitiesFor } from '../../../src/cli/qemu-capabilities';
import { parseEndpoint } from '../../../src/io/stream/endpoint';

test.each([
  ['unix:/run/x,server', false, undefined, []],
  ['tcp:0.0.0.0:9003,server', false, 9100, []],
  ['tcp:0.0.0.0:80,server', false, undefined, ['CAP_NET_BIND_SERVICE']],
  ['tcp:192.0.2.1:80', false, undefined, []],
  ['tcp:192.0.2.1:80', true, 99, ['CAP_NET_ADMIN', 'CAP_NET_BIND_SERVICE']],
] as const)('%s, tap %s, metrics %s', (endpoint, tap, metricsPort, kept) => {
  expect(capabilitiesFor({ tap, endpoints: [undefined, parseEndpoint(endpoint)], metricsPort })).toEqual(kept);
});
