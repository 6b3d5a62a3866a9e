// NFQUEUE against the real kernel: datagrams leave the left namespace through a queue and arrive, or not, in the right
// one.

import { NfQueue } from '../../src/io/nfqueue';
import {
  NFQ_D_CT_INFO,
  NFQ_D_HOOK,
  NFQ_D_HW_PROTOCOL,
  NFQ_D_ID,
  NFQ_D_LENGTH,
  NFQ_D_MARK,
  NFQ_D_ORIGINAL_LENGTH,
  NFQ_D_OUTDEV,
  NFQ_D_SKB_INFO,
  NFQ_D_WORDS,
  NFQ_NO_CT,
  NFQA_SKB_CSUMNOTREADY,
} from '../../src/native/layout';
import { requires } from '../netns/requires';
import { Datagrams, UDP_HEAD_BYTES } from './native-datagrams';
import { until } from './native-lab';
import { RunningScene, scene } from './native-process';

const LOCAL_OUT = 3; // NF_INET_LOCAL_OUT
const MANY = 400;

requires(
  'netns',
  'nfqueue',
  'addon',
)('NFQUEUE', () => {
  let net: Datagrams;

  beforeAll(async () => {
    net = await Datagrams.create();
  }, 30_000);
  afterEach(() => net.reset());
  afterAll(() => net?.close());

  test('accepts, drops and rewrites', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const seen: string[] = [];
    const queue = net.bind({ queue: 7 }, (q, base) => {
      const text = net.payload(q, base);
      const id = q.table[base + NFQ_D_ID]!;
      seen.push(text);
      if (text === 'drop') q.drop(id);
      else if (text === 'pass') q.accept(id);
      else net.acceptAs(q, base, 'HELD', true);
    });
    await net.send(['pass', 'drop', 'edit', 'pass']);
    await net.arrives(['pass', 'HELD', 'pass']);
    expect(seen).toEqual(['pass', 'drop', 'edit', 'pass']);
    expect(queue.stats.counters()).toMatchObject({ packets: 4, verdictErrors: 0, malformed: 0, checksumFailures: 0 });
  });

  test('takes verdicts for held packets in any order', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const held: number[] = [];
    const queue = net.bind({ queue: 7 }, (q, base) => held.push(q.table[base + NFQ_D_ID]!));
    await net.send(['a', 'b', 'c', 'd', 'e']);
    await until(() => held.length === 5);
    expect(queue.stats.kernel()!.queued).toBe(5);
    queue.accept(held[3]!);
    queue.accept(held[1]!);
    queue.drop(held[4]!);
    queue.accept(held[0]!);
    queue.flush();
    expect(queue.stats.kernel()!.queued).toBe(1);
    queue.accept(held[2]!);
    // Without flush() the end of this turn sends it.
    await net.arrives(['d', 'b', 'a', 'c']);
    expect(queue.stats.counters()).toMatchObject({ sends: 2, verdictErrors: 0 });
  });

  test('moves many packets with few calls and sends, and loses none', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const queue = net.bind({ queue: 7, batch: 32 }, (q, base) => net.acceptAs(q, base, net.payload(q, base), true));
    queue.pause(true);
    const texts = Array.from({ length: MANY }, (_, i) => `packet ${i} ${'.'.repeat(i % 200)}`);
    await net.send(texts);
    expect(queue.stats.kernel()!.queued).toBe(MANY);
    queue.pause(false);
    await net.arrives(texts);
    const counters = queue.stats.counters();
    expect(counters.packets).toBe(MANY);
    expect(counters.batches).toBeLessThan(MANY / 8);
    expect(counters.sends).toBeLessThan(MANY / 8);
  });

  test('settles more packets at once than its tables hold', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const held: number[] = [];
    const queue = net.bind({ queue: 7 }, (q, base) => held.push(q.table[base + NFQ_D_ID]!));
    // More than 1,024 verdicts, and with their payload more than the send arena.
    const count = 1200;
    await net.send(Array.from({ length: count }, () => 'x'));
    await until(() => held.length === count);
    const packet = net.packetOf(queue, 'y'.repeat(1000));
    for (const [i, id] of held.entries()) {
      if (i < 1100) queue.drop(id);
      else queue.acceptRewritten(id, packet, 0, packet.length, true);
    }
    queue.flush();
    await net.arrives(Array.from({ length: 100 }, () => 'y'.repeat(1000)));
    held.length = 0;
    await net.send(Array.from({ length: count }, () => 'z'));
    await until(() => held.length === count);
    for (const id of held) queue.acceptRewritten(id, packet, 0, packet.length, true);
    await net.arrives(Array.from({ length: 100 + count }, () => 'y'.repeat(1000)));
    expect(queue.stats.kernel()!.queued).toBe(0);
    expect(queue.stats.counters().verdictErrors).toBe(0);
    expect(() => queue.acceptRewritten(1, packet, 0, packet.length + 1, false)).toThrow(RangeError);
  }, 20_000);

  test('gives the event loop its turns while packets wait', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    let handled = 0;
    const queue = net.bind({ queue: 7, batch: 1 }, (q, base) => {
      handled++;
      q.accept(q.table[base + NFQ_D_ID]!);
    });
    queue.pause(true);
    await net.send(Array.from({ length: MANY }, () => 'x'));
    const turns = new Set<number>();
    queue.pause(false);
    while (handled < MANY) {
      await new Promise((resolve) => setImmediate(resolve));
      turns.add(handled);
    }
    expect(turns.size).toBeGreaterThan(10);
  });

  test('drains what waits at once, and from nowhere else than outside a batch', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const seen: string[] = [];
    const queue = net.bind({ queue: 7, batch: 4 }, (q, base) => {
      seen.push(net.payload(q, base));
      q.accept(q.table[base + NFQ_D_ID]!);
    });
    queue.pause(true);
    await net.send(['1', '2', '3', '4', '5', '6']);
    expect(seen).toEqual([]);
    expect(queue.drain()).toBe(6);
    expect(seen).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(queue.drain()).toBe(0);
    await net.arrives(seen);
  });

  test('gives what has come to who asks for it, without waiting', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const seen: string[] = [];
    const look = (q: NfQueue, base: number): void => {
      seen.push(net.payload(q, base));
      q.accept(q.table[base + NFQ_D_ID]!);
    };
    const queue = net.bind({ queue: 7, batch: 4 }, look);
    queue.pause(true);
    await net.send(['1', '2', '3', '4', '5', '6']);
    expect(queue.take()).toBe(0);
    queue.pause(false);
    const first = queue.take();
    expect(first).toBe(4);
    expect(() => queue.take()).toThrow('given before');
    expect(() => queue.drain()).toThrow('looked at');
    for (let i = 0; i < first; i++) look(queue, i * NFQ_D_WORDS);
    queue.give();
    // The others come as ever.
    const all = ['1', '2', '3', '4', '5', '6'];
    await net.arrives(all);
    expect(seen).toEqual(all);
  });

  test('rewrites to another length, and sets marks', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    net.lab.inLeft('iptables', '-w', '-t', 'mangle', '-A', 'POSTROUTING', '-m', 'mark', '--mark', '0x77', '-j', 'DROP');
    net.bind({ queue: 7 }, (q, base) => {
      const id = q.table[base + NFQ_D_ID]!;
      const text = net.payload(q, base);
      if (text === 'mark') q.accept(id, 0x77);
      else if (text === 'mark and edit') net.acceptAs(q, base, 'marked and edited', true, 0x77);
      else if (text === 'mark not') net.acceptAs(q, base, 'not marked', true, 0x78);
      else net.acceptAs(q, base, text === 'grow' ? 'g'.repeat(1000) : 's', true);
    });
    await net.send(['mark', 'mark and edit', 'mark not', 'grow', 'shrink from this']);
    await net.arrives(['not marked', 'g'.repeat(1000), 's']);
  });

  test('computes the full checksum of a rewritten packet that had a partial one', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const info: number[] = [];
    net.bind({ queue: 7, gso: true }, (q, base) => {
      info.push(q.table[base + NFQ_D_SKB_INFO]!);
      const text = net.payload(q, base);
      net.acceptAs(q, base, text.toUpperCase(), text !== 'without');
    });
    await net.send(['without', 'with', 'with odd']);
    // What keeps its partial checksum is wrong for the receiver: the flag is not for show.
    await net.arrives(['WITH', 'WITH ODD']);
    expect(info.map((each) => each & NFQA_SKB_CSUMNOTREADY)).toEqual([1, 1, 1]);
  });

  test('describes packets', async () => {
    net.lab.inLeft('iptables', '-w', '-t', 'mangle', '-A', 'OUTPUT', '-p', 'udp', '-j', 'MARK', '--set-mark', '0x1234');
    net.lab.queueOutput(7, '-p', 'udp');
    const words: number[][] = [];
    const queue = net.bind({ queue: 7, conntrack: true }, (q, base) => {
      words.push([...q.table.subarray(base, base + NFQ_D_WORDS)]);
      q.accept(q.table[base + NFQ_D_ID]!);
    });
    await net.send(['12345']);
    await net.arrives(['12345']);
    const index = Number(net.lab.inLeft('cat', '/sys/class/net/veth0/ifindex'));
    const d = words[0]!;
    expect(d[NFQ_D_LENGTH]).toBe(UDP_HEAD_BYTES + 5);
    expect(d[NFQ_D_ORIGINAL_LENGTH]).toBe(UDP_HEAD_BYTES + 5);
    expect(d[NFQ_D_HW_PROTOCOL]).toBe(0x0800);
    expect(d[NFQ_D_HOOK]).toBe(LOCAL_OUT);
    expect(d[NFQ_D_MARK]).toBe(0x1234);
    expect(d[NFQ_D_OUTDEV]).toBe(index);
    // Without the kernel's glue the flag is reported as not given, and no packet pretends to have an entry.
    if (!queue.settings.conntrack) expect(d[NFQ_D_CT_INFO]).toBe(NFQ_NO_CT);
  });

  test('copies no more than the copy range, and lets the whole packet go', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const lengths: number[][] = [];
    const queue = net.bind({ queue: 7, copyRange: 60 }, (q, base) => {
      lengths.push([q.table[base + NFQ_D_LENGTH]!, q.table[base + NFQ_D_ORIGINAL_LENGTH]!]);
      q.accept(q.table[base + NFQ_D_ID]!);
    });
    expect(queue.settings.copyRange).toBe(60);
    await net.send(['y'.repeat(500), 'short']);
    await net.arrives(['y'.repeat(500), 'short']);
    expect(lengths).toEqual([
      [60, UDP_HEAD_BYTES + 500],
      [UDP_HEAD_BYTES + 5, UDP_HEAD_BYTES + 5],
    ]);
  });

  test('serves several queues in one process, and one settles the packets of another', async () => {
    net.lab.queueOutput(7, '-p', 'udp', '-m', 'length', '--length', '0:100');
    net.lab.queueOutput(8, '-p', 'udp');
    const held: number[] = [];
    const first = net.bind({ queue: 7 }, (q, base) => held.push(q.table[base + NFQ_D_ID]!));
    net.bind({ queue: 8 }, (q, base) => {
      for (const id of held.splice(0)) first.accept(id);
      q.drop(q.table[base + NFQ_D_ID]!);
    });
    await net.send(['held 1', 'held 2']);
    await until(() => held.length === 2);
    await net.send(['l'.repeat(200)]);
    await net.arrives(['held 1', 'held 2']);
  });

  test('reports what the kernel dropped because the queue was full', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const held: number[] = [];
    const queue = net.bind({ queue: 7, maxLength: 4 }, (q, base) => held.push(q.table[base + NFQ_D_ID]!));
    await net.send(['1', '2', '3', '4', '5', '6', '7']);
    await until(() => held.length === 4);
    expect(queue.stats.kernel()).toMatchObject({
      queued: 4,
      dropped: 3,
      userDropped: 0,
      portId: queue.settings.portId,
    });
    queue.close();
    expect(queue.stats.kernel()).toBeUndefined();
    expect(queue.stats.counters().packets).toBe(4);
  });

  test('passes packets unseen when it is full, if so wanted', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const held: number[] = [];
    const queue = net.bind({ queue: 7, maxLength: 2, failOpen: true }, (q, base) =>
      held.push(q.table[base + NFQ_D_ID]!),
    );
    expect(queue.settings.failOpen).toBe(true);
    await net.send(['1', '2', '3', '4']);
    await net.arrives(['3', '4']);
    expect(held.length).toBe(2);
  });

  test('drops what it holds when it is closed, and sends what was decided', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const held: number[] = [];
    const queue = net.bind({ queue: 7 }, (q, base) => held.push(q.table[base + NFQ_D_ID]!));
    await net.send(['go', 'stay', 'stay']);
    await until(() => held.length === 3);
    queue.accept(held[0]!);
    queue.close();
    queue.close();
    expect(queue.closed).toBe(true);
    queue.accept(held[1]!);
    queue.flush();
    net.lab.flushRules();
    await net.send(['after']);
    await net.arrives(['go', 'after']);
  });

  test('may be closed from within a batch', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const queue = net.bind({ queue: 7 }, (q, base) => {
      q.accept(q.table[base + NFQ_D_ID]!);
      q.close();
    });
    await net.send(['last']);
    await net.arrives(['last']);
    expect(queue.closed).toBe(true);
    net.bind({ queue: 7 }, (q, base) => q.accept(q.table[base + NFQ_D_ID]!));
    await net.send(['next']);
    await net.arrives(['last', 'next']);
  });

  test('counts verdicts for packets that do not exist', async () => {
    net.lab.queueOutput(7, '-p', 'udp');
    const queue = net.bind({ queue: 7 }, (q, base) => q.accept(q.table[base + NFQ_D_ID]!));
    queue.accept(4711);
    queue.flush();
    await net.send(['one']);
    await net.arrives(['one']);
    expect(queue.stats.counters()).toMatchObject({ verdictErrors: 1, lastVerdictErrno: 2 /* ENOENT */ });
  });

  test('says what is wrong when it cannot bind', async () => {
    const queue = net.bind({ queue: 7, gso: true, receiveBufferBytes: 8 << 20 }, () => {});
    expect(queue.settings).toMatchObject({ queue: 7, gso: true, failOpen: false, receiveBufferBytes: 16 << 20 });
    expect(queue.settings.receiveBufferForced).toBe(true);
    const netns = net.lab.left;
    const attempt = (options: object) => () => new NfQueue({ queue: 7, netns, ...options }, () => {});
    expect(attempt({})).toThrow(
      expect.objectContaining({ code: 'EBUSY', hint: expect.stringContaining('another program') }),
    );
    expect(attempt({ netns: 'no-such-netns' })).toThrow(
      expect.objectContaining({ code: 'ENOENT', hint: expect.stringContaining('no-such-netns') }),
    );
    expect(attempt({ netns: '../../etc' })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(attempt({ queue: 65536 })).toThrow(
      expect.objectContaining({ code: 'EINVAL', hint: expect.stringContaining('65535') }),
    );
    expect(attempt({ batch: 0 })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(attempt({ copyRange: 70000 })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    const refused = JSON.parse(scene('bindAsNobody').stdout);
    expect(refused).toMatchObject({ code: 'EPERM', hint: expect.stringContaining('CAP_NET_ADMIN') });
  });

  test('ends the process when the handler throws, with its stack, and the kernel drops the packets', async () => {
    net.lab.queueOutput(9, '-p', 'udp');
    const child = new RunningScene('throwInBatch', net.lab.left);
    await child.started;
    await net.send(['never']);
    const ended = await child.ended;
    expect(ended).toMatchObject({ status: 70, signal: null });
    expect(ended.stderr).toMatch(/fatal: the handler of a batch of packets threw/);
    expect(ended.stderr).toMatch(/Error: a planted fault\n\s+at .*native-scenes/);
    net.lab.flushRules();
    await net.send(['after']);
    await net.arrives(['after']);
  });

  test('ends the process when the handler drains', async () => {
    net.lab.queueOutput(9, '-p', 'udp');
    const child = new RunningScene('drainInBatch', net.lab.left);
    await child.started;
    await net.send(['never']);
    expect(await child.ended).toMatchObject({ status: 70, stderr: expect.stringContaining('EBUSY') });
  });

  test('leaves its packets to the kernel to drop when it is killed', async () => {
    net.lab.queueOutput(9, '-p', 'udp');
    const child = new RunningScene('hold', net.lab.left);
    await child.started;
    await net.send(['never']);
    await until(() => child.stdout.includes('held 1'));
    await child.kill();
    net.bind({ queue: 9 }, (q, base) => q.accept(q.table[base + NFQ_D_ID]!));
    await net.send(['after']);
    await net.arrives(['after']);
  });

  test('lets a process end in order with a queue open', () => {
    expect(scene('endWithOpenQueue', [net.lab.left])).toMatchObject({ status: 0, stderr: '' });
  });
});
