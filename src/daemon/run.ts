// The process around a daemon: its signals, its end, its last words.

import type { Config } from '../config/config';
import { OperatorError } from '../core/errors';
import { watchRuleNotices } from '../io/rule-notices';
import { Daemon } from './daemon';
import { createLogger } from './log';
import { sayLastWords, untilSignal } from './process';

/** Until a signal ends it. `load` reads the configuration, now and at every SIGHUP. Rejects with OperatorError. */
export async function runDaemon(load: () => Config): Promise<void> {
  const config = load();
  const log = createLogger(config.logLevel);
  sayLastWords(log, 'the kernel drops what was held');
  const ended = untilSignal(log);
  // Until it has started there is nothing to read again; without a handler the signal would end it.
  let daemon: Daemon | undefined;
  process.on('SIGHUP', () => {
    try {
      daemon?.reloadBypass(new Map(load().nodes.map((node) => [node.index, node.bypassRules])));
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      log.error(
        { error: error.message, hint: error.hint },
        'the configuration was not read again, the old bypass rules stay',
      );
    }
  });
  daemon = await Daemon.start(config, log, {
    missing: () => rules().missingByNode(config),
    applied: () => rules().appliedNodes(config.stateDir),
    restore: async () => (await rules().restoreRules(config)).changes,
    takeOver: (index) => rules().takeOverRules(config, index),
    isolate: (index) => rules().isolateRules(config, index),
    watch: watchRuleNotices,
  });
  await ended;
  await daemon.close();
  log.info({}, 'ended');
}

/** Looked at only when the daemon serves already. */
function rules(): typeof import('../rules') {
  return require('../rules') as typeof import('../rules');
}
