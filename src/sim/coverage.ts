// What the runs really did, summed over seeds: it shows when the simulation silently tests something no longer.

import type { World } from './world';

export type Coverage = Record<string, number>;

export function addCoverage(total: Coverage, more: Coverage): void {
  for (const [name, value] of Object.entries(more)) total[name] = (total[name] ?? 0) + value;
}

/** The numbers of one run; every name is always there, so that a sum of 0 can be seen. */
export function coverageOf(w: World): Coverage {
  const { client, pvm, svm, pn, sn, controller, ledger } = w;
  const links = [w.clientUp, w.clientDown, w.forwardOut, w.forwardBack];
  const linkSum = (name: 'carried' | 'lost' | 'duplicated' | 'reordered' | 'cut') =>
    links.reduce((sum, link) => sum + link.counts[name], 0);
  const out: Coverage = {
    runs: 1,
    packets: client.counts.sent + pvm.counts.sent + svm.counts.sent,
    sessions: w.clients.sessions.length,
    sessionsByGuest: w.clients.sessions.filter((session) => session.name === 'call').length,
    bytesToClient: w.clients.sessions.reduce((sum, session) => sum + session.received, 0),
    datagramsAnswered: w.clients.counts.datagrams,
    unreachables: w.clients.counts.unreachable,
    judgedPackets: ledger.counts.judged,
    judgedBytes: ledger.counts.judgedBytes,
    coveredPackets: ledger.counts.coveredPackets,
    released: pn.guestQueue.counts.accepted + pn.guestQueue.counts.rewritten,
    rewritten: pn.guestQueue.counts.rewritten,
    droppedByEngine: pn.guestQueue.counts.dropped,
    lostWithDaemon: pn.guestQueue.counts.unheard,
    mostHeld: pn.most.packets,
    checkpoints: controller.counts.checkpoints,
    checkpointsAborted: controller.counts.aborted,
    checkpointsAsked: controller.counts.asked,
    messagesLost: controller.counts.lostMessages,
    failovers: controller.counts.failovers,
    lostHandshakes: w.clients.counts.lostHandshakes,
    connectionsAtFailover: w.faults.connectionsAtFailover,
    primaryDaemonStarts: pn.starts - 1,
    secondaryDaemonStarts: sn.starts - 1,
    translatedToGuest: sn.peerQueue.counts.rewritten,
    translatedFromGuest: sn.guestQueue.counts.rewritten,
    retransmissions: client.counts.retransmissions + pvm.counts.retransmissions + svm.counts.retransmissions,
    fastRetransmits: client.counts.fastRetransmits + pvm.counts.fastRetransmits + svm.counts.fastRetransmits,
    zeroWindows: client.counts.zeroWindows + pvm.counts.zeroWindows + svm.counts.zeroWindows,
    sequenceWraps: client.counts.wraps + pvm.counts.wraps + svm.counts.wraps,
    resets: client.counts.resetsSent + pvm.counts.resetsSent + svm.counts.resetsSent,
    unsentAcks: svm.counts.unsentAcks,
    unsentSacks: svm.counts.unsentSacks,
    pawsAcrossFailover: client.counts.pawsAcrossFailover,
    pawsDrops: client.counts.pawsDrops + pvm.counts.pawsDrops + svm.counts.pawsDrops,
    packetsCarried: linkSum('carried'),
    packetsLost: linkSum('lost'),
    packetsDuplicated: linkSum('duplicated'),
    packetsReordered: linkSum('reordered'),
    gsoPacketsCut: linkSum('cut'),
  };
  for (const [name, n] of Object.entries(pn.totals())) out[`PN ${name}`] = n;
  for (const [name, n] of Object.entries(sn.totals())) out[`SN ${name}`] = n;
  for (const [kind, n] of Object.entries(w.faults.counts)) out[`fault ${kind}`] = n;
  for (const [cause, n] of Object.entries(w.asked)) out[`asked: ${cause}`] = n;
  return out;
}
