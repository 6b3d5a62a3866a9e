// Frames of a port, listened to beside the queues: ARP cannot be queued. A port that goes is looked for until it is
// back.

import { OperatorError } from '../core/errors';
import { PacketSocket, type PacketSocketEvents, type PacketSocketOptions } from '../io/packet-socket';
import type { Logger } from './log';

/** A port that was switched off, or is gone, is looked for again so often. */
const RETRY_MS = 500;

/**
 * `missing`: what is not heard while the port is gone. Throws OperatorError when the port cannot be opened now, unless
 * it does not exist and `mayCome`.
 */
export function watchFrames(
  options: PacketSocketOptions,
  onFrame: PacketSocketEvents['onFrame'],
  missing: string,
  log: Logger,
  mayCome = false,
): { close(): void } {
  let socket: PacketSocket | undefined;
  let retry: NodeJS.Timeout | undefined;
  let deaf = false;
  const open = (): void => {
    socket = new PacketSocket(options, {
      onFrame: (frame, sender) => {
        deaf = false;
        onFrame(frame, sender);
      },
      onClose: (error) => lost(error),
    });
  };
  const lost = (error: OperatorError): void => {
    if (!deaf)
      log.warn({ port: options.interface, error: error.message }, `${missing} cannot be heard until the port is back`);
    deaf = true;
    retry = setTimeout(() => {
      try {
        open();
      } catch (again) {
        if (!(again instanceof OperatorError)) throw again;
        lost(again);
      }
    }, RETRY_MS);
  };
  try {
    open();
  } catch (error) {
    if (!mayCome || !(error instanceof OperatorError) || error.code !== 'ENODEV') throw error;
    lost(error);
  }
  return {
    close: () => {
      clearTimeout(retry);
      socket?.close();
    },
  };
}
