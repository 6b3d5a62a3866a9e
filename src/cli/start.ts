// Runs before everything else and loads as little as possible: a daemon gives up capabilities, for which it executes
// itself again.

import { CAP_NET_ADMIN, CAP_NET_RAW, reduceCapabilities } from '../native/capabilities';

const DAEMONS: ReadonlySet<string | undefined> = new Set(['primary', 'secondary']);

if (DAEMONS.has(process.argv[2])) reduceCapabilities([CAP_NET_ADMIN, CAP_NET_RAW]);
require('./main');
