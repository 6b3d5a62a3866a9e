// The kernel's word that somebody changes what the rules stand on: nf_tables' rules (iptables-nft's, too), interfaces
// and their bridges, tc's filters. Not what has changed, only that it is time to look. iptables-legacy sends no notice.

import { OperatorError } from '../core/errors';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from './netlink-socket';

const NFNLGRP_NFTABLES = 7; // NFNLGRP_NFTABLES
const RTNLGRP_LINK = 1; // RTNLGRP_LINK
const RTNLGRP_TC = 4; // RTNLGRP_TC

/** Notices that overrun a socket's buffer count as one. Throws OperatorError. */
export function watchRuleNotices(onNotice: () => void): { close(): void } {
  const sockets: NetlinkSocket[] = [];
  for (const [protocol, groups] of [
    [NETLINK_NETFILTER, [NFNLGRP_NFTABLES]],
    [NETLINK_ROUTE, [RTNLGRP_LINK, RTNLGRP_TC]],
  ] as const) {
    try {
      sockets.push(
        new NetlinkSocket(
          { protocol, groups },
          {
            onMessage: (_buf, { portId }) => {
              if (portId === 0) onNotice();
            },
            onLost: onNotice,
          },
        ),
      );
    } catch (error) {
      // A kernel without nf_tables has no such group: the look at intervals has to do.
      if (!(error instanceof OperatorError)) throw error;
    }
  }
  return {
    close: () => {
      for (const socket of sockets) socket.close();
    },
  };
}
