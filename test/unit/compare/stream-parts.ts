// One flow's lists, history and comparison on a small log, and its content read back the plain way.

import { PRIMARY_RECORD_WORDS } from '../../../src/compare/flow-words';
import { History } from '../../../src/compare/history';
import { Difference } from '../../../src/compare/outcome';
import {
  LOG_HELD,
  LOG_PENDING,
  PacketLog,
  R_AT,
  R_BYTES,
  R_FLAGS,
  R_NEXT,
  R_PREV,
  R_SEQ,
} from '../../../src/compare/packet-log';
import { StreamComparator } from '../../../src/compare/stream';
import { type List, StreamLists } from '../../../src/compare/stream-lists';
import { VerifiedRange } from '../../../src/compare/verified-range';
import { FlowTable } from '../../../src/conntrack/flow-table';

export const FLOW = 0;
/** Streams that begin shortly before the wrap-around of 32 bits, of 31, and elsewhere. */
export const ISNS = [0xffffff9c, 0x7fffff9c, 1, 0xfffffff0];

export class Parts {
  readonly flows = new FlowTable(1, PRIMARY_RECORD_WORDS);
  readonly w = this.flows.words;
  readonly difference = new Difference();
  readonly range = new VerifiedRange(this.flows);
  readonly log: PacketLog;
  readonly lists: StreamLists;
  readonly history: History;
  readonly stream: StreamComparator;
  /** Ids of what the tests themselves have logged, by the id that it had first. */
  private readonly moved = new Map<number, number>();

  constructor(
    readonly isn: number,
    logBytes = 1 << 14,
    firstId = 1,
  ) {
    this.log = new PacketLog(logBytes, 1 << 8, logBytes >>> 1, logBytes);
    Object.assign(this.log, { headId: firstId, tailId: firstId });
    this.lists = new StreamLists(this.flows, this.log, this.difference);
    this.history = new History(this.flows, this.log, this.lists, this.difference);
    this.stream = new StreamComparator(this.flows, this.log, this.difference);
    this.log.owner = {
      onMove: (flow, oldId, newId) => {
        this.lists.onMove(flow, oldId, newId);
        for (const [first, id] of this.moved) if (id === oldId) this.moved.set(first, newId);
      },
    };
  }

  at(n: number): number {
    return (this.isn + n) >>> 0;
  }

  /** Logs a PVM packet that is nothing but the bytes; returns its id. */
  packet(bytes: Buffer): number {
    return this.log.append(FLOW, bytes, 0, bytes.length, LOG_HELD);
  }

  /** Fills the log with what nobody needs. */
  wash(bytes: number): void {
    for (; bytes > 0; bytes -= 256) this.log.append(FLOW, Buffer.alloc(256), 0, 256, 0);
  }

  /**
   * The records of a list, from its head; checks that they are in order, do not overlap, are needed, and that the ways
   * back are the ways there.
   */
  records(list: List): { at: number; bytes: Buffer }[] {
    const { w, log } = this;
    const lw = log.words;
    const result: { at: number; bytes: Buffer }[] = [];
    let before = 0;
    for (let id = w[FLOW + list]!; id !== 0; id = lw[log.recordIndex(id) + R_NEXT]!) {
      if (!log.alive(id, FLOW)) throw new Error('a record of the list is not in the log');
      const r = log.recordIndex(id);
      if ((lw[r + R_FLAGS]! & LOG_PENDING) === 0) throw new Error('a record of the list is not needed');
      if (before !== 0 && lw[r + R_PREV] !== before) throw new Error('the way back is another');
      const at = (lw[r + R_SEQ]! - this.isn) | 0;
      const last = result.at(-1);
      if (last !== undefined && last.at + last.bytes.length > at) throw new Error('records out of order');
      result.push({ at, bytes: log.data.subarray(lw[r + R_AT]!, lw[r + R_AT]! + lw[r + R_BYTES]!) });
      before = id;
    }
    if (w[FLOW + list + 1] !== before) throw new Error('the tail is not the last');
    return result;
  }

  /** Byte by place of what is in a list. */
  places(list: List): Map<number, number> {
    const places = new Map<number, number>();
    for (const { at, bytes } of this.records(list))
      bytes.forEach((b, i) => {
        places.set(at + i, b);
      });
    return places;
  }
}
