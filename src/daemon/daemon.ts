// The daemon of either role: nodes, the control channel and its carriers, timers, metrics. The control channel calls,
// the nodes do; everything here is on the control plane.

import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { BypassRuleText } from '../config/bypass-rule';
import type { LinkSettings } from '../config/link';
import type { OperatorError } from '../core/errors';
import { NetlinkCarrier, portHolder } from '../io/control-netlink';
import { SeqpacketCarrier } from '../io/control-seqpacket';
import { RegularTimer } from '../io/deadline-timer';
import { parseEndpoint } from '../io/stream/endpoint';
import type { LinkEnd } from '../link/link-channel';
import { ColoMode } from '../netlink/colo-generation2';
import { ControlChannel } from '../nfnetlink-colo/control';
import type { Answer, InitContext, LostController, NodeControl, NodeMode } from '../node/controller';
import { SharedControl } from '../node/shared-control';
import { PrimaryWarmUp } from '../pmycolo/warm-up';
import { SecondaryWarmUp } from '../seccolo/warm-up';
import { NodesBypass } from './bypass';
import { nowMs } from './clock';
import { ControlState } from './control-state';
import { createLink, type Link } from './link';
import { readLinkKey } from './link-key';
import type { Logger } from './log';
import type { NodeMetrics } from './metrics';
import type { NodeSettings } from './node-config';
import { PrimaryHost } from './primary-host';
import { type HostRules, RulesWatch } from './rules-watch';
import { SecondaryHost } from './secondary-host';
import { ensureStateDir, statePath } from './state-file';

export interface DaemonSettings {
  role: 'primary' | 'secondary';
  nodes: readonly (NodeSettings & { bypassRules: readonly BypassRuleText[] })[];
  control: { netlinkPort: number; unixPath: string; allowUids: readonly number[] };
  /** Of the nodes without a forward port. */
  link?: LinkSettings | undefined;
  stateDir: string;
  restoreRules: boolean;
  metricsPort?: number | undefined;
}

const TICK_MS = 50;
/** A part of it; the rest follows in rounds of less than a millisecond, between what has come. */
const WARM_UP_BEFORE_READY_MS = 40;

type Host = PrimaryHost | SecondaryHost;

export class Daemon implements NodeControl {
  private readonly hosts = new Map<number, Host>();
  private readonly link: Link | undefined;
  private readonly bypass: NodesBypass;
  private readonly control: ControlChannel;
  private readonly state: ControlState;
  private readonly netlink: NetlinkCarrier;
  private readonly unix: SeqpacketCarrier;
  private readonly rulesWatch: RulesWatch;
  private metricsServer: Server | undefined;
  private timer: RegularTimer | undefined;
  private closed = false;
  private readonly startedAt = Date.now();
  private readonly instance = randomUUID();

  private constructor(
    private readonly settings: DaemonSettings,
    private readonly log: Logger,
    private readonly rules: HostRules,
  ) {
    ensureStateDir(settings.stateDir);
    this.link = settings.link && openLink(settings.link, log);
    const { link } = this;
    const nodeLink = link && {
      digests: settings.link!.digests,
      channel: (end: LinkEnd) => link.channel(end),
    };
    for (const node of settings.nodes) {
      const nodeLog = log.child({ node: node.name, index: node.index });
      this.hosts.set(
        node.index,
        settings.role === 'primary'
          ? new PrimaryHost(node, nodeLog, () => this.control.notify(node.index), nodeLink)
          : new SecondaryHost(node, nodeLog, nodeLink, {
              open: () => rules.takeOver(node.index),
              isolate: () => rules.isolate(node.index),
            }),
      );
    }
    this.bypass = new NodesBypass(settings.nodes, (index, rules) => {
      const host = this.hosts.get(index);
      if (host instanceof PrimaryHost) host.node.setBypass(rules);
    });
    this.netlink = new NetlinkCarrier({
      portId: settings.control.netlinkPort,
      onFailure: (error) => this.netlinkLost(error),
      onRecovery: () => this.log.warn('controllers can be heard over netlink again'),
    });
    this.unix = new SeqpacketCarrier({
      path: settings.control.unixPath,
      othersMaySpeak: settings.control.allowUids.length > 0,
    });
    this.control = new ControlChannel({
      nodes: settings.nodes.map((n) => ({
        index: n.index,
        name: n.name,
        role: settings.role === 'primary' ? ColoMode.PRIMARY : ColoMode.SECONDARY,
      })),
      actions: new SharedControl(this).of('the control channel'),
      carriers: { netlink: this.netlink, unix: this.unix },
      probe: this.netlink,
      allowUids: settings.control.allowUids,
      onChange: () => this.state.save(),
    });
    this.state = new ControlState(statePath(settings.stateDir, 'control', settings.role), this.control, log);
    this.rulesWatch = new RulesWatch(
      rules,
      settings.nodes.map(({ index }) => index),
      settings.restoreRules,
      (index, missing) => this.rulesChanged(index, missing),
      log,
    );
  }

  /** Opens everything and goes on where an earlier process stopped. Throws OperatorError. */
  static async start(settings: DaemonSettings, log: Logger, rules: HostRules): Promise<Daemon> {
    const daemon = new Daemon(settings, log, rules);
    await daemon.open();
    return daemon;
  }

  private async open(): Promise<void> {
    // After a restart packets wait already: they are served first.
    if (!this.state.resume(nowMs())) this.warmUp();
    await this.link?.open();
    this.netlink.start(this.control);
    this.unix.start(this.control);
    this.timer = new RegularTimer(TICK_MS, () => this.tick());
    this.rulesWatch.start();
    if (this.settings.metricsPort !== undefined) {
      const { createRegistry, serveMetrics } = require('./metrics') as typeof import('./metrics');
      this.metricsServer = await serveMetrics(
        this.settings.metricsPort,
        createRegistry(() => this.nodeMetrics()),
      );
    }
    this.log.info({ role: this.settings.role, nodes: this.settings.nodes.length, pid: process.pid }, 'ready');
  }

  /**
   * In an engine of its own: the first packets need not wait for the compiler. The rest of it when nothing else is to
   * be done.
   */
  private warmUp(): void {
    const warmUp = this.settings.role === 'primary' ? new PrimaryWarmUp() : new SecondaryWarmUp();
    const goOn = (): void => {
      if (!this.closed && warmUp.run(nowMs, 0)) setImmediate(goOn);
    };
    if (warmUp.run(nowMs, WARM_UP_BEFORE_READY_MS)) setImmediate(goOn);
  }

  /** Ends without letting anything unverified out. */
  async close(): Promise<void> {
    this.closed = true;
    this.timer?.close();
    this.rulesWatch.close();
    this.state.save();
    this.netlink.close();
    this.unix.close();
    this.metricsServer?.close();
    for (const host of this.hosts.values()) await host.close();
    this.link?.close();
  }

  /** New bypass rules from the configuration; those added at run time are gone. */
  reloadBypass(rules: ReadonlyMap<number, readonly BypassRuleText[]>): void {
    this.bypass.reload(rules);
    this.log.info('bypass rules read again');
  }

  init(index: number, mode: NodeMode, context: InitContext): Answer {
    const host = this.hosts.get(index)!;
    const fresh = context.how === 'fresh';
    this.log.info({ index, mode, how: context.how }, 'controller has come');
    if (host instanceof PrimaryHost) {
      if (mode === 'primary') host.node.protect(!fresh);
      else host.node.unprotect();
    } else {
      host.node.attach(fresh);
    }
    if (mode !== 'unprotected') void this.lookForRules();
    return undefined;
  }

  /** A node that gets no packets looks well: everything passes it by. */
  private async lookForRules(): Promise<void> {
    try {
      const missing = [...(await this.rules.missing()).values()].flat();
      if (missing.length === 0) return;
      this.log.warn(
        { missing },
        'RULES ARE MISSING: what they do not queue is not compared or translated; see colo rules',
      );
    } catch (error) {
      this.log.warn({ error: (error as Error).message }, 'whether the rules are in place cannot be told');
    }
  }

  private rulesChanged(index: number, missing: readonly string[]): void {
    const host = this.hosts.get(index)!;
    if (missing.length > 0) {
      this.log.error(
        { index, missing },
        'RULES ARE GONE: somebody has flushed them, what they do not queue is not compared or translated; colo rules apply',
      );
    } else {
      this.log.warn({ index }, 'the rules are in place');
    }
    host.rulesMissing = missing;
    // What has passed meanwhile nobody has seen.
    if (missing.length === 0 && host instanceof PrimaryHost) host.node.unseenPassed();
  }

  checkpoint(index: number): Answer {
    const host = this.hosts.get(index)!;
    if (host instanceof SecondaryHost && host.engine.failedOver) {
      return { refused: 'invalid', why: 'this node has failed over; `colo ctl reset` begins a new pair' };
    }
    host.node.checkpoint();
    return undefined;
  }

  failover(index: number): Answer {
    const host = this.hosts.get(index)!;
    if (host instanceof PrimaryHost) return { refused: 'forbidden' };
    host.node.failover();
    return undefined;
  }

  reset(index: number): Answer {
    this.hosts.get(index)!.node.forgetPair();
    return undefined;
  }

  failedOver(index: number): boolean {
    const host = this.hosts.get(index)!;
    return host instanceof SecondaryHost && host.node.failedOver;
  }

  release(index: number): Answer {
    const host = this.hosts.get(index)!;
    if (host instanceof SecondaryHost) return { refused: 'unsupported', why: 'a secondary holds nothing' };
    host.node.release();
    return undefined;
  }

  controllerLost(index: number, loss: LostController): void {
    this.log.warn({ index, reason: loss.reason, failedOver: loss.failedOver }, 'controller lost');
    this.hosts.get(index)!.node.controllerLost();
  }

  status(index: number | undefined): Record<string, unknown> {
    if (index !== undefined) {
      const { settings } = this.hosts.get(index)!;
      return {
        guestPort: settings.guestPort,
        forwardPort: settings.forwardPort,
        bypassRules: this.bypass.list(index).length,
        rulesMissing: this.rulesWatch.missing(index),
        ...this.hosts.get(index)!.status(),
      };
    }
    return {
      role: this.settings.role,
      pid: process.pid,
      instance: this.instance,
      uptimeSeconds: Math.floor((Date.now() - this.startedAt) / 1000),
      ...(this.netlink.failure !== undefined && { netlinkFailure: this.netlink.failure }),
      control: this.control.counters.snapshot(),
    };
  }

  stats(index: number | undefined): Record<string, unknown> {
    if (index === undefined) {
      return {
        rssBytes: process.memoryUsage.rss(),
        connectionsRefused: this.unix.refused,
        rulesLost: this.rulesWatch.losses,
        rulesRestored: this.rulesWatch.restored,
        ...(this.link !== undefined && { link: this.link.counters() }),
      };
    }
    const m = this.hosts.get(index)!.metrics();
    return {
      counters: m.counters,
      requests: m.requests,
      gauges: m.gauges,
      ...(m.holdBuckets !== undefined && { holdBuckets: [...m.holdBuckets], holdMsSum: m.holdMsSum }),
    };
  }

  bypassList(index: number): readonly unknown[] {
    return this.bypass.list(index);
  }

  bypassAdd(index: number, rule: unknown): Answer {
    return this.bypass.add(index, rule);
  }

  bypassRemove(index: number, rule: unknown): Answer {
    return this.bypass.remove(index, rule);
  }

  bypassFlush(index: number): Answer {
    return this.bypass.flush(index);
  }

  private tick(): void {
    for (const host of this.hosts.values()) host.tick();
    this.state.tick();
    this.control.tick(nowMs());
  }

  private nodeMetrics(): NodeMetrics[] {
    const nodes = [...this.hosts.values()].map((host) => host.metrics());
    if (this.link === undefined) return nodes;
    // Those who have not said who they are belong to no node.
    const labels = { node: '', role: this.settings.role };
    return [...nodes, { labels, counters: this.link.counters(), requests: {}, gauges: {} }];
  }

  private netlinkLost(error: OperatorError): void {
    const { netlinkPort, unixPath } = this.settings.control;
    this.log.error(
      { error: error.message, holder: portHolder(netlinkPort), unixPath },
      'NO CONTROLLER CAN BE HEARD OVER NETLINK: it is tried every second; the Unix socket is served',
    );
  }
}

function openLink({ endpoint, key, insecure, bufferBytes }: LinkSettings, log: Logger): Link {
  const wayIn = { endpoint: parseEndpoint(endpoint), insecure, bufferBytes, log };
  return createLink(key === undefined ? wayIn : { ...wayIn, key: readLinkKey(key) });
}
