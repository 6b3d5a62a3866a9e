// What a node (one VM on this host) needs to know: its part of the configuration, without the keys that only the rules
// need.

import type { NodeConfig } from '../config/config';

export type NodeSettings = Omit<NodeConfig, 'outerPort' | 'queueBypass' | 'otherProtocols' | 'bypassRules'>;
