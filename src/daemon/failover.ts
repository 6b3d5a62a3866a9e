// What follows a failover outside of the packets: the guest's port joins the outer bridge, its connections' peers are
// told where they stand, and the guest's addresses are announced at their new place.

import { setTimeout as sleep } from 'node:timers/promises';
import { announcementFrames, groupQueryFrames, sendBy, sendOutwards } from '../io/announce';
import { macsBehind, moveToBridge } from '../io/link';
import type { SecondaryEngine } from '../seccolo/engine';
import type { GuestAddresses } from '../seccolo/guest-addresses';
import type { Logger } from './log';
import type { NodeSettings } from './node-config';
import { remindPeers } from './remind';

/**
 * Each round has all addresses: a frame may get lost, and a port that has just come up may be deaf for some time (STP,
 * LACP).
 */
const FIRST_ROUNDS_MS = [0, 100, 200];
const LATER_ROUNDS_MS = [1000, 3000, 7000];

const OPEN_ATTEMPTS = 5;
const OPEN_RETRY_MS = 500;

export interface Takeover {
  /** The port is where it belongs, and the first announcements are out. */
  readonly settled: Promise<void>;
  /** Ends the announcements. */
  close(): void;
}

/**
 * `decided`: the engine knows the guest's numbers. `openRules`: of a port that is isolated until now; while it rejects
 * the port stays so, as untranslated packets would end the guest's connections. Does all of it, as far as the node is
 * configured so. Never rejects: what fails is logged with what to do by hand.
 */
export function takeOver(
  settings: NodeSettings,
  engine: SecondaryEngine,
  decided: Promise<void>,
  addresses: GuestAddresses,
  log: Logger,
  openRules?: () => Promise<unknown>,
): Takeover {
  const ended = new AbortController();
  return {
    settled: follow(settings, engine, decided, addresses, log, openRules, ended.signal),
    close: () => ended.abort(),
  };
}

async function follow(
  settings: NodeSettings,
  engine: SecondaryEngine,
  decided: Promise<void>,
  addresses: GuestAddresses,
  log: Logger,
  openRules: (() => Promise<unknown>) | undefined,
  ended: AbortSignal,
): Promise<void> {
  const { guestPort, outerBridge } = settings;
  // A bridge forgets what it heard behind a port that leaves it.
  const heard = await macsBehind(guestPort).catch(() => []);
  // Behind a port that was in none, what the guest has said of itself: a bridge that does not know its place floods,
  // and the kernel queues no copies of connections that conntrack meets for the first time.
  const macs = heard.length > 0 ? heard : different(addresses.list().map(({ mac }) => mac));
  if (openRules !== undefined) {
    // A new pair may have begun meanwhile, and its guest's port is isolated. Over Ethernet a controller's INIT is one,
    // too, and leaves the port where it is.
    if (!(await opened(openRules, log)) || ended.aborted) return;
  }
  if (settings.moveTapOnFailover) {
    try {
      await moveToBridge(guestPort, outerBridge, macs);
      log.warn({ port: guestPort, bridge: outerBridge }, 'the guest is on the outer bridge');
    } catch (error) {
      log.error(
        { error: String(error), byHand: `ip link set dev ${guestPort} master ${outerBridge}` },
        'the guest could not be moved to the outer bridge',
      );
    }
  }
  // Before the announcement: these frames show the way to the guest, too, and a connection waits for each. Only a node
  // that moves the port knows when they arrive.
  if (settings.moveTapOnFailover) {
    await decided;
    try {
      const frames = await remindPeers(engine, outerBridge);
      log.info({ frames }, "the connections' peers are told what the guest has acknowledged");
    } catch (error) {
      log.error(
        { error: String(error) },
        'the peers were not told anything: their connections go on after a retransmission timeout',
      );
    }
  }
  if (!settings.announceOnFailover) return;
  const rounds = new Rounds(settings, addresses, macs);
  const beginMs = performance.now();
  try {
    await rounds.run(FIRST_ROUNDS_MS, beginMs, ended, true);
    log.info({ addresses: addresses.list().length }, "the guest's addresses are announced");
  } catch (error) {
    log.error({ error: String(error) }, "the guest's addresses could not be announced");
  }
  void rounds.run(LATER_ROUNDS_MS, beginMs, ended, false).catch((error: unknown) => {
    log.error({ error: String(error) }, "the guest's addresses could not be announced again");
  });
}

function different(macs: readonly Uint8Array[]): Uint8Array[] {
  return macs.filter((mac, i) => macs.findIndex((other) => Buffer.compare(other, mac) === 0) === i);
}

/** False: not even after some time, in which somebody else may have kept the tables busy. */
async function opened(openRules: () => Promise<unknown>, log: Logger): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      await openRules();
      return true;
    } catch (error) {
      const byHand = 'colo rules show has the commands, under "at a failover"';
      log.error({ error: String(error), byHand }, 'the rules for the guest alone cannot be made: it is cut off');
      if (attempt === OPEN_ATTEMPTS) return false;
      await sleep(OPEN_RETRY_MS);
    }
  }
}

class Rounds {
  constructor(
    private readonly settings: NodeSettings,
    private readonly addresses: GuestAddresses,
    private readonly macs: readonly Uint8Array[],
  ) {}

  /**
   * `at`: ms after `beginMs`; `ref`: the process lives until then. Resolves early when it is ended. Rejects with the
   * last round's error when all have failed.
   */
  async run(at: readonly number[], beginMs: number, ended: AbortSignal, ref: boolean): Promise<void> {
    let failed: unknown;
    let reached = false;
    for (const ms of at) {
      try {
        await sleep(Math.max(0, beginMs + ms - performance.now()), undefined, { signal: ended, ref });
      } catch {
        return;
      }
      try {
        await this.round();
        reached = true;
      } catch (error) {
        failed = error;
      }
    }
    if (!reached) throw failed;
  }

  /** What the guest claims now: an address that somebody else has claimed meanwhile is left to him. */
  private async round(): Promise<void> {
    const { guestPort, outerBridge, moveTapOnFailover } = this.settings;
    const claims = this.addresses.list();
    await sendOutwards(outerBridge, guestPort, moveTapOnFailover, announcementFrames(this.macs, claims));
    sendBy(guestPort, groupQueryFrames(claims));
  }
}
