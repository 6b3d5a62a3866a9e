// What comes before everything else, so that as little as possible is loaded for it: a daemon gives up capabilities, for which it
// executes itself again; and where Node can (from 22), compiled code is kept for the next time.

import module from 'node:module';
import { join } from 'node:path';
import { CAP_NET_ADMIN, CAP_NET_RAW, reduceCapabilities } from '../native/capabilities';

const DAEMONS: ReadonlySet<string | undefined> = new Set(['primary', 'secondary']);
/** Beside the addon, and not in the common directory for temporary files, where others could write. */
const COMPILE_CACHE = join(__dirname, '../../build/compile-cache');

interface CompileCache {
  enableCompileCache?(directory: string): unknown;
}

if (DAEMONS.has(process.argv[2])) reduceCapabilities([CAP_NET_ADMIN, CAP_NET_RAW]);
(module as CompileCache).enableCompileCache?.(COMPILE_CACHE);
require('./main');
