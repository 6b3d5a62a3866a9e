// Simulated seeds for tests, and what a share of them must have met to be worth anything.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import type { SeedsResult } from '../../src/sim/run';

export interface SeedsAsked {
  first: number;
  count: number;
  maxFailures: number;
  /** `standin`: engines that hold everything until a checkpoint. */
  engines?: 'real' | 'standin';
  /** Name of a planted mistake. */
  mistake?: string;
  /** Behind kernel queues, or behind sockets. */
  world?: 'queues' | 'frames';
  /** Tell each failure's events. */
  tell?: boolean;
}

const MAX_OUTPUT_BYTES = 64 << 20;

/** Runs seeds in a process of their own; see simulate-child.js for why. */
export function simulate(asked: SeedsAsked): Promise<SeedsResult & { stories: string[] }> {
  const child = join(__dirname, 'simulate-child.js');
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [child, JSON.stringify(asked)], { maxBuffer: MAX_OUTPUT_BYTES }, (error, stdout) => {
      if (error) reject(error);
      else resolve(JSON.parse(stdout));
    });
  });
}

/** What every share must have met at least once; a 0 means that the simulation tests less than it seems to. */
const MUST_HAPPEN = [
  'judgedPackets',
  'judgedBytes',
  'coveredPackets',
  'released',
  'rewritten',
  'sessionsByGuest',
  'datagramsAnswered',
  'unreachables',
  'checkpoints',
  'checkpointsAborted',
  'failovers',
  'connectionsAtFailover',
  'primaryDaemonStarts',
  'secondaryDaemonStarts',
  'translatedToGuest',
  'translatedFromGuest',
  'retransmissions',
  'fastRetransmits',
  'zeroWindows',
  'sequenceWraps',
  'resets',
  'pawsDrops',
  'lostWithDaemon',
  'messagesLost',
  'packetsLost',
  'packetsDuplicated',
  'packetsReordered',
  'gsoPacketsCut',
  'PN ack_lowered',
  'PN window_lowered',
  'PN ack_repeated',
  'PN echo_raised',
  'PN sack_removed',
  'PN mptcp_removed',
  'PN primary_reopened',
  'PN secondary_reopened',
  'PN secondary_paused',
  'PN secondary_settling',
  'PN flows_evicted',
  'PN primary_held_full',
  'PN requests_delayed',
  'PN flows_reset_by_peer',
  'SN learned_client_opened',
  'SN learned_guest_opened',
  'SN reopened',
  'SN refusals',
  'SN mptcp_removed',
  'asked: payload',
  'asked: length',
  'asked: timeout_secondary_silent',
  'asked: bound_exhausted',
  'asked: secondary_address_request',
  'fault failover',
  'fault failover in a checkpoint',
  'fault guest-death',
  'fault primary-daemon',
  'fault primary-daemon in a checkpoint',
  'fault secondary-daemon',
  'fault secondary-daemon in a checkpoint',
  'fault controller-loss',
  'fault secondary-death',
  'fault forward-down',
  'fault address-aged',
] as const;

/** Seeds of a share: four shares make the 2,000 of a test run, unless COLO_SEEDS says how many. */
export const SHARE = Math.ceil(Number(process.env.COLO_SEEDS ?? 2000) / 4);

export function simulateShare(share: number): void {
  const first = share * SHARE + 1;
  test(
    `seeds ${first} to ${first + SHARE - 1}`,
    async () => {
      const { runs, failures, coverage, stories } = await simulate({ first, count: SHARE, maxFailures: 3, tell: true });
      for (const story of stories) process.stderr.write(`${story}\n`);
      expect(failures).toEqual([]);
      expect(runs).toBe(SHARE);
      const told = Object.entries(coverage).map(([name, value]) => `${name} ${Math.round(value)}`);
      process.stderr.write(`simulated seeds ${first} to ${first + SHARE - 1}: ${told.join(', ')}\n`);
      expect(MUST_HAPPEN.filter((name) => !(coverage[name]! > 0))).toEqual([]);
    },
    300_000 + SHARE * 1000,
  );
}
