// What a node (one VM on this host) needs to know: what the configuration says of it, but for what the rules alone
// need.

import type { NodeConfig } from '../config/config';

export type NodeSettings = Omit<NodeConfig, 'outerPort' | 'queueBypass' | 'otherProtocols' | 'bypassRules'>;
