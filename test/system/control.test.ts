// The control channel over its real carriers: our client, the npm package `netlink` as one that knows nothing of us,
// users who may not speak, controllers that vanish, a daemon that is restarted, and garbage.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NetlinkSocket as IndependentSocket, RawNetlinkSocket } from 'netlink';
import { NetlinkCarrier, parsePortList, portHolder } from '../../src/io/control-netlink';
import { SeqpacketCarrier } from '../../src/io/control-seqpacket';
import { NETLINK_NETFILTER, NETLINK_USERSOCK, NetlinkSocket } from '../../src/io/netlink-socket';
import { connectSeqpacket } from '../../src/io/seqpacket';
import { ColoMode } from '../../src/netlink/colo-generation2';
import {
  type ClientEvent,
  generation1,
  generation2,
  JsonReply,
  own,
  readDatagram,
} from '../../src/nfnetlink-colo/client';
import { ControlChannel } from '../../src/nfnetlink-colo/control';
import type { NodeConfig } from '../../src/nfnetlink-colo/node-table';
import { requires } from '../netns/requires';
import { PRIMARY_1, PRIMARY_2, RecordingDaemon } from '../unit/nfnetlink-colo/harness';
import { until } from './native-lab';

const { PRIMARY } = ColoMode;
/** Port ids of this test process, and of one test each: a closed socket gives its port id back a little later. */
let daemonPort = 0x2c00_0000 + (process.pid & 0x3f_ffff) * 64;
let clientPort = 0x3c00_0000 + (process.pid & 0x3f_ffff) * 64;
const FOREIGN_UID = 12345;
const ADDON = join(__dirname, '../../build/colo.node');

/** A daemon with everything but packets; the clock of its ticks is ours. */
class Server {
  readonly daemon = new RecordingDaemon();
  readonly channel: ControlChannel;
  readonly netlink: NetlinkCarrier;
  readonly unix: SeqpacketCarrier;
  /** Times that the list of ports was looked at. */
  looks = 0;
  nowMs = 0;

  constructor(
    readonly path: string,
    nodes: readonly NodeConfig[] = [PRIMARY_1],
    allowUids: readonly number[] = [],
    state?: unknown,
  ) {
    this.netlink = new NetlinkCarrier({ portId: daemonPort });
    this.unix = new SeqpacketCarrier({ path });
    this.channel = new ControlChannel({
      nodes,
      actions: this.daemon,
      carriers: { netlink: this.netlink, unix: this.unix },
      probe: {
        ports: () => {
          this.looks++;
          return this.netlink.ports();
        },
      },
      allowUids,
    });
    if (state !== undefined) expect(this.channel.resume(state, this.nowMs)).toBeUndefined();
    this.netlink.start(this.channel);
    this.unix.start(this.channel);
  }

  tick(ms: number): void {
    this.nowMs += ms;
    this.channel.tick(this.nowMs);
  }

  close(): void {
    this.netlink.close();
    this.unix.close();
  }
}

interface Client {
  readonly events: ClientEvent[];
  send(bytes: Uint8Array): void;
  close(): void;
}

let directory: string;
let path: string;
const open: { close(): void }[] = [];
const children: ChildProcess[] = [];

function kept<T extends { close(): void }>(each: T): T {
  open.push(each);
  return each;
}

beforeEach(() => {
  daemonPort++;
  clientPort++;
  directory = mkdtempSync(join(tmpdir(), 'colo-control-'));
  path = join(directory, 'open', 'control.sock');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const each of open.splice(0).reverse()) each.close();
  rmSync(directory, { recursive: true });
});

/** Waits until nobody has the port id. */
function free(portId: number): Promise<void> {
  return until(() => !parsePortList(readFileSync('/proc/self/net/netlink', 'utf8'), NETLINK_USERSOCK).has(portId));
}

/** Copies, because views in events hold during the call only. */
function read(into: ClientEvent[]): (buf: Buffer) => void {
  return (buf) => into.push(...readDatagram(Buffer.from(buf)));
}

function overNetlink(portId?: number): Client & { portId: number } {
  const events: ClientEvent[] = [];
  const socket = kept(
    new NetlinkSocket(
      { protocol: NETLINK_USERSOCK, ...(portId !== undefined && { portId }) },
      { onMessage: read(events) },
    ),
  );
  return {
    events,
    portId: socket.portId,
    send: (bytes) => void expect(socket.send(bytes, daemonPort)).toBe(true),
    close: () => socket.close(),
  };
}

function overUnix(): Client {
  const events: ClientEvent[] = [];
  const connection = kept(connectSeqpacket(path, { onMessage: read(events), onClose: () => {} }));
  return { events, send: (bytes) => void connection.send(bytes), close: () => connection.close() };
}

/** Sends and waits for as many events. */
async function ask(client: Client, bytes: Uint8Array, events = 1): Promise<ClientEvent[]> {
  const before = client.events.length;
  client.send(bytes);
  await until(() => client.events.length >= before + events);
  return client.events.slice(before);
}

async function askJson(client: Client, bytes: Uint8Array): Promise<unknown> {
  const before = client.events.length;
  client.send(bytes);
  await until(() => client.events.slice(before).some((event) => event.kind === 'done'));
  const reply = new JsonReply();
  for (const event of client.events.slice(before)) if (event.kind === 'part') reply.add(event);
  return reply.finish();
}

/** Runs a script in a process of its own, which reports by lines. */
function child(script: string, uid?: number): { lines: string[]; process: ChildProcess } {
  const options = {
    cwd: join(__dirname, '../..'),
    stdio: ['ignore', 'pipe', 'inherit'] as const,
    ...(uid !== undefined && { uid, gid: uid }),
  };
  const process = spawn(globalThis.process.execPath, ['-e', script], {
    ...options,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(process);
  const lines: string[] = [];
  createInterface({ input: process.stdout! }).on('line', (line) => lines.push(line));
  return { lines, process };
}

/** A script that sends one datagram by the named carrier, prints what comes back, and stays. */
function speaker(carrier: 'netlink' | 'unix', bytes: Uint8Array): string {
  const openIt =
    carrier === 'netlink'
      ? `const fd = addon.netlinkOpen(2, 0, new Uint32Array(0), 0, undefined, words);
         const send = (b) => addon.netlinkSend(fd, b, 0, b.length, ${daemonPort}, 0);
         const receive = (b) => addon.netlinkReceive(fd, b, words);`
      : `const fd = addon.seqpacketConnect(${JSON.stringify(path)}, 0);
         const send = (b) => addon.messageSend(fd, b, 0, b.length);
         const receive = (b) => addon.seqpacketReceive(fd, b, words);`;
  return `
    const addon = require(${JSON.stringify(ADDON)});
    const words = new Uint32Array(16);
    const buffer = Buffer.alloc(65536);
    ${openIt}
    if (fd < 0) console.log('open ' + fd);
    const port = words[0];
    const bytes = Buffer.from('${Buffer.from(bytes).toString('hex')}', 'hex');
    bytes.writeUInt32LE(${carrier === 'netlink' ? 'port' : '0'}, 12);
    console.log('sent ' + send(bytes));
    setInterval(() => {
      const n = receive(buffer);
      if (n > 0) console.log('got ' + buffer.toString('hex', 0, n));
    }, 5);`;
}

requires('addon')('the control channel', () => {
  describe.each([
    ['NETLINK_USERSOCK', () => overNetlink()],
    ['Unix SEQPACKET', () => overUnix()],
  ] as [string, () => Client & { portId?: number }][])('over %s', (_name, connect) => {
    test('a controller of generation 2: INIT, a notice, a checkpoint, an error', async () => {
      const server = kept(new Server(path));
      const controller = connect();
      const pid = controller.portId ?? 1;
      expect(await ask(controller, generation2.init(PRIMARY, { pid, seq: 3 }))).toMatchObject([
        { kind: 'result', result: 0, requestSeq: 3, requestPid: pid },
      ]);
      server.channel.notify(1);
      await until(() => controller.events.length === 2);
      expect(controller.events[1]).toEqual({ kind: 'notice', generation: 2, wanted: true, pid, seq: 0 });
      controller.send(generation2.checkpoint(PRIMARY, { pid }));
      // The next answer is the next request's: the checkpoint itself was met with silence.
      expect(await ask(controller, generation2.init(PRIMARY, { pid, seq: 4 }))).toMatchObject([
        { kind: 'result', result: -17, requestSeq: 4 },
      ]);
      expect(server.daemon.take()).toEqual(['init 1 mode 1 fresh', 'checkpoint 1']);
    });

    test('an operator: status, rules, release', async () => {
      const server = kept(new Server(path, [PRIMARY_1, PRIMARY_2]));
      const tool = connect();
      expect(await askJson(tool, own.status())).toMatchObject({ version: 1, nodes: [{ index: 1 }, { index: 2 }] });
      expect(await ask(tool, own.bypassAdd({ protocol: 'udp' }, { node: 2 }))).toMatchObject([
        { kind: 'result', result: 0 },
      ]);
      expect(await ask(tool, own.release())).toMatchObject([
        { kind: 'result', result: -22, why: expect.stringContaining('which node?') },
      ]);
      expect(server.daemon.take()).toEqual(['bypass 2 + {"protocol":"udp"}']);
    });

    test('a long reply arrives whole', async () => {
      const server = kept(new Server(path));
      server.daemon.statusFields = { text: 'ä'.repeat(200_000) };
      const tool = connect();
      const before = tool.events.length;
      tool.send(own.status());
      await until(() => {
        server.channel.flush();
        return tool.events.some((event) => event.kind === 'done');
      });
      const reply = new JsonReply();
      for (const event of tool.events.slice(before)) if (event.kind === 'part') reply.add(event);
      expect(reply.finish()).toMatchObject({ nodes: [{ text: 'ä'.repeat(200_000) }] });
    });

    test('garbage hurts nobody', async () => {
      const server = kept(new Server(path));
      const controller = connect();
      const pid = controller.portId ?? 1;
      await ask(controller, generation2.init(PRIMARY, { pid }));
      const vandal = connect();
      let seed = 12345;
      const random = (n: number) => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return (seed >>> 8) % n;
      };
      const good = Buffer.concat([generation2.checkpoint(PRIMARY, { pid: 99 }), generation1.query({ pid: 3 })]);
      for (let i = 0; i < 300; i++) {
        const bytes = i % 2 === 0 ? Buffer.from(good) : Buffer.alloc(1 + random(100));
        for (let j = 0; j < (i % 2 === 0 ? 3 : bytes.length); j++) bytes[random(bytes.length)] = random(256);
        vandal.send(bytes);
        if (i % 20 === 19) await ask(vandal, generation2.checkpoint(PRIMARY, { pid: 99 }));
      }
      expect(server.channel.counters.get('malformed')).toBeGreaterThan(100);
      server.daemon.take();
      server.channel.notify(1);
      await until(() => controller.events.some((event) => event.kind === 'notice'));
      expect(await ask(controller, generation2.checkpoint(PRIMARY, { pid, ack: true }))).toMatchObject([{ result: 0 }]);
      expect(server.daemon.take()).toEqual(['checkpoint 1']);
    });
  });

  test('a controller of generation 1: its port id is the node’s index', async () => {
    const exact: NodeConfig = { index: clientPort, name: 'exact', role: PRIMARY };
    const server = kept(new Server(path, [PRIMARY_1, exact]));
    const controller = overNetlink(clientPort);
    expect(await ask(controller, generation1.init({ pid: 1 }))).toMatchObject([{ result: 0 }]);
    server.channel.notify(clientPort);
    await until(() => controller.events.length === 2);
    expect(controller.events[1]).toEqual({ kind: 'notice', generation: 1, wanted: true, pid: clientPort, seq: 0 });
    expect(await ask(controller, generation1.failover({ pid: 1 }))).toMatchObject([{ result: -1 }]);
    expect(server.daemon.take()).toEqual([`init ${clientPort} mode 1 fresh`]);
  });

  test('the npm package netlink, which knows nothing of this project, is a controller', async () => {
    const server = kept(new Server(path));
    const socket = kept(new IndependentSocket(new RawNetlinkSocket(NETLINK_USERSOCK), { ref: true }));
    const { port: pid } = socket.address();
    const heard: { type: number; data: Buffer }[] = [];
    socket.on('message', (messages) => {
      for (const message of messages) heard.push({ type: message.type, data: Buffer.from(message.data) });
    });
    const to = { port: daemonPort, timeout: 60_000 };
    const primary = Buffer.from('000000010500010001000000', 'hex');
    const INIT = 0x0c03;
    const CHECKPOINT = 0x0c01;
    expect((await socket.request(INIT, primary, to))[0]).toEqual([]);
    await expect(socket.request(INIT, primary, to)).rejects.toThrow(/EEXIST|exists|17/i);
    expect(server.channel.table.at(1)!.claim).toMatchObject({
      key: pid,
      generation: 2,
      uid: process.geteuid!(),
      pid: process.pid,
    });
    server.channel.notify(1);
    await until(() => heard.length > 0);
    expect(heard).toEqual([{ type: 0x0c00, data: Buffer.from('000000000800010000000001', 'hex') }]);
    expect((await socket.request(CHECKPOINT, primary, to))[0]).toEqual([]);
    expect(server.daemon.take()).toEqual(['init 1 mode 1 fresh', 'checkpoint 1']);
    // A mode that does not fit, and a secondary's message.
    const secondary = Buffer.from('000000010500010002000000', 'hex');
    await expect(socket.request(CHECKPOINT, secondary, to)).rejects.toThrow(/EINVAL|invalid|22/i);
    await expect(socket.request(0x0c02, secondary, to)).rejects.toThrow(/EINVAL|invalid|22/i);
    // Our own status, in its parts.
    const [parts] = await socket.request(0x0c40, Buffer.from('00010000', 'hex'), to);
    expect(parts.map((part) => part.type)).toEqual([0x0c40]);
    const status = JSON.parse(
      parts[0]!.data
        .subarray(4 + 8 + 8 + 4)
        .toString('utf8')
        .replace(/\0+$/, ''),
    );
    expect(status).toMatchObject({ version: 1, nodes: [{ index: 1, mode: 'primary', controller: { key: pid } }] });
  });

  test('our errors are, byte for byte, what a kernel of today answers to the same message', async () => {
    kept(new Server(path));
    const kernel: Buffer[] = [];
    const daemon: Buffer[] = [];
    const one = kept(
      new NetlinkSocket(
        { protocol: NETLINK_NETFILTER, portId: clientPort },
        { onMessage: (b) => kernel.push(Buffer.from(b)) },
      ),
    );
    const other = kept(
      new NetlinkSocket(
        { protocol: NETLINK_USERSOCK, portId: clientPort },
        { onMessage: (b) => daemon.push(Buffer.from(b)) },
      ),
    );
    // Subsystem 12, operation 5, which neither knows.
    const bytes = Buffer.from('1c000000050c01002a000000aabbccdd000000010500010001000000', 'hex');
    one.send(bytes, 0);
    other.send(bytes, daemonPort);
    await until(() => kernel.length === 1 && daemon.length === 1);
    expect(daemon[0]!.toString('hex')).toBe(kernel[0]!.toString('hex'));
  });

  test('a notice that finds the controller’s buffer full arrives when there is room', async () => {
    const server = kept(new Server(path));
    const controller = overNetlink();
    await ask(controller, generation2.init(PRIMARY, { pid: controller.portId }));
    const { counters } = server.channel;
    // Nothing is read while this loop runs.
    while (counters.get('notices_delayed') === 0) server.channel.notify(1);
    expect(server.channel.busy).toBe(true);
    await until(() => controller.events.length > counters.get('notices_sent'));
    server.tick(50);
    expect(server.channel.busy).toBe(false);
    await until(() => controller.events.length === 1 + counters.get('notices_sent'));
    expect(server.daemon.take()).toEqual(['init 1 mode 1 fresh']);
  });

  describe('a controller that vanishes', () => {
    test('from a netlink port is lost at the next look', async () => {
      const server = kept(new Server(path));
      const { lines, process } = child(speaker('netlink', generation2.init(PRIMARY, { pid: 0 })));
      await until(() => lines.length === 2);
      expect(lines[0]).toBe('sent 28');
      expect(server.daemon.take()).toEqual(['init 1 mode 1 fresh']);
      server.tick(1000);
      expect(server.daemon.take()).toEqual([]);
      process.kill('SIGKILL');
      await new Promise((resolve) => process.once('exit', resolve));
      const before = server.looks;
      server.tick(999);
      expect(server.daemon.take()).toEqual([]);
      server.tick(1);
      expect(server.daemon.take()).toEqual(['lost 1 mode 1 port_gone']);
      expect(server.looks - before).toBe(1);
    });

    test('from a netlink port that another takes over at once is lost too', async () => {
      const server = kept(new Server(path));
      const first = overNetlink(clientPort);
      await ask(first, generation2.init(PRIMARY, { pid: clientPort }));
      first.close();
      await free(clientPort);
      overNetlink(clientPort);
      server.tick(1000);
      expect(server.daemon.take()).toEqual(['init 1 mode 1 fresh', 'lost 1 mode 1 port_reused']);
    });

    test('from a Unix socket is lost without a tick', async () => {
      const server = kept(new Server(path));
      const { lines, process } = child(speaker('unix', generation2.init(PRIMARY, { pid: 0 })));
      await until(() => lines.length === 2);
      expect(server.daemon.take()).toEqual(['init 1 mode 1 fresh']);
      process.kill('SIGKILL');
      await until(() => server.daemon.calls.length > 0);
      expect(server.daemon.take()).toEqual(['lost 1 mode 1 connection_closed']);
    });

    test('under a notice is lost afterwards, never within it', async () => {
      const server = kept(new Server(path));
      const controller = overUnix();
      await ask(controller, generation2.init(PRIMARY, { pid: 0 }));
      server.daemon.take();
      controller.close();
      server.channel.notify(1);
      expect(server.daemon.take()).toEqual([]);
      await until(() => server.daemon.calls.length > 0);
      expect(server.daemon.take()).toEqual(['lost 1 mode 1 connection_closed']);
    });
  });

  describe('a daemon that is restarted', () => {
    test('goes on notifying the controller’s netlink port', async () => {
      const first = kept(new Server(path));
      const controller = overNetlink();
      await ask(controller, generation2.init(PRIMARY, { pid: controller.portId }));
      const state: unknown = JSON.parse(JSON.stringify(first.channel.save()));
      first.close();
      await free(daemonPort);
      const second = kept(new Server(path, [PRIMARY_1], [], state));
      expect(second.daemon.take()).toEqual(['init 1 mode 1 restored']);
      second.channel.notify(1);
      await until(() => controller.events.some((event) => event.kind === 'notice'));
      second.tick(3000);
      expect(
        await ask(controller, generation2.checkpoint(PRIMARY, { pid: controller.portId, ack: true })),
      ).toMatchObject([{ result: 0 }]);
      expect(second.daemon.take()).toEqual(['checkpoint 1']);
    });

    test('takes a controller back that connects to its Unix socket again', async () => {
      const first = kept(new Server(path));
      const controller = overUnix();
      await ask(controller, generation2.init(PRIMARY, { pid: 0 }));
      const state: unknown = JSON.parse(JSON.stringify(first.channel.save()));
      first.close();
      await free(daemonPort);
      const second = kept(new Server(path, [PRIMARY_1], [], state));
      expect(await ask(overUnix(), generation2.init(PRIMARY, { pid: 0 }))).toMatchObject([{ result: 0 }]);
      second.tick(3000);
      expect(second.daemon.take()).toEqual(['init 1 mode 1 restored', 'init 1 mode 1 reattached']);
    });
  });
});

requires('addon', 'root')('users who may not speak', () => {
  beforeEach(() => {
    // mkdtemp makes directories that only their owner may pass.
    chmodSync(directory, 0o755);
  });

  test.each(['netlink', 'unix'] as const)('are refused with EPERM over %s, and counted', async (carrier) => {
    const server = kept(new Server(path));
    const { lines } = child(speaker(carrier, generation2.init(PRIMARY, { pid: 0 })), FOREIGN_UID);
    await until(() => lines.length === 2);
    expect(lines[0]).toBe('sent 28');
    const [answer] = readDatagram(Buffer.from(lines[1]!.replace('got ', ''), 'hex'));
    expect(answer).toMatchObject({ kind: 'result', result: -1 });
    expect(server.channel.counters.get('refused')).toBe(1);
    expect(server.channel.lastRefused).toMatchObject({ uid: FOREIGN_UID });
    expect(server.daemon.take()).toEqual([]);
  });

  test.each(['netlink', 'unix'] as const)('may if they are configured to, over %s', async (carrier) => {
    const server = kept(new Server(path, [PRIMARY_1], [FOREIGN_UID]));
    const { lines } = child(speaker(carrier, generation2.init(PRIMARY, { pid: 0 })), FOREIGN_UID);
    await until(() => lines.length === 2);
    expect(readDatagram(Buffer.from(lines[1]!.replace('got ', ''), 'hex'))).toMatchObject([{ result: 0 }]);
    expect(server.channel.table.at(1)!.claim).toMatchObject({ uid: FOREIGN_UID });
  });

  test.each(['netlink', 'unix'] as const)(
    'are answered so often only, and read so often only, over %s',
    async (carrier) => {
      const server = kept(new Server(path));
      const message = JSON.stringify([...generation2.init(PRIMARY, { pid: 0 })]);
      const send =
        carrier === 'netlink'
          ? `const fd = addon.netlinkOpen(2, 0, new Uint32Array(0), 0, '', new Uint32Array(1));
           const send = () => addon.netlinkSend(fd, message, 0, message.length, ${daemonPort}, 0);`
          : `let fd = addon.seqpacketConnect(${JSON.stringify(path)}, 0);
           const send = () => { if (addon.messageSend(fd, message, 0, message.length) !== message.length) fd = addon.seqpacketConnect(${JSON.stringify(path)}, 0); };`;
      const script = `
      const addon = require(${JSON.stringify(ADDON)});
      const message = Uint8Array.from(${message});
      ${send}
      console.log('begun');
      const until = Date.now() + 1000;
      let sent = 0;
      for (; Date.now() < until; sent++) send();
      console.log('sent', sent);`;
      const { lines } = child(script, FOREIGN_UID);
      await until(() => lines.length === 1);
      // Root is heard in the midst of it, as soon as it is its turn.
      child(`
      const addon = require(${JSON.stringify(ADDON)});
      const fd = addon.seqpacketConnect(${JSON.stringify(path)}, 5000);
      const message = Uint8Array.from(${JSON.stringify([...generation2.init(PRIMARY, { pid: 0 })])});
      console.log(addon.messageSend(fd, message, 0, message.length));
      setInterval(() => {}, 1000);`);
      await until(() => server.channel.table.at(1)!.claim !== undefined);
      await until(() => lines.length === 2);
      const { counters } = server.channel;
      expect(counters.get('refused_unread')).toBeGreaterThan(0);
      // However long the second was: so many in each 100 ms, and what is in the buffers.
      const sent = Number(lines[1]!.split(' ')[1]);
      expect(counters.get('refused')).toBeLessThan(Math.max(sent / 2, 6000));
      expect(counters.get('refused') - counters.get('refused_unread')).toBeLessThan(1000);
    },
  );

  test('find no way to a socket of which root alone is configured to make use', async () => {
    kept(new SeqpacketCarrier({ path, othersMaySpeak: false }));
    const script = `console.log(require(${JSON.stringify(ADDON)}).seqpacketConnect(${JSON.stringify(path)}, 0));`;
    const { lines } = child(script, FOREIGN_UID);
    await until(() => lines.length === 1);
    expect(lines[0]).toBe('-13'); // EACCES
  });

  test('not even those who may can use up the connections of root', async () => {
    kept(new Server(path, [PRIMARY_1], [FOREIGN_UID]));
    const script = `
      const addon = require(${JSON.stringify(ADDON)});
      for (let i = 0; i < 300; i++) if (addon.seqpacketConnect(${JSON.stringify(path)}, 0) < 0) i--;
      console.log('done');
      setInterval(() => {}, 1000);`;
    const { lines } = child(script, FOREIGN_UID);
    await until(() => lines.length === 1);
    expect(await ask(overUnix(), generation2.init(PRIMARY, { pid: 0 }))).toMatchObject([{ result: 0 }]);
  });

  test('cannot use up the connections of those who may', async () => {
    const server = kept(new Server(path));
    const script = `
      const addon = require(${JSON.stringify(ADDON)});
      for (let i = 0; i < 100; i++) addon.seqpacketConnect(${JSON.stringify(path)}, 0);
      console.log('done');
      setInterval(() => {}, 1000);`;
    const { lines } = child(script, FOREIGN_UID);
    await until(() => lines.length === 1);
    // Their line is before ours, and is taken at a bounded rate.
    let client: ReturnType<typeof overUnix> | undefined;
    await until(() => {
      try {
        client = overUnix();
      } catch (error) {
        if (!String(error).includes('EAGAIN')) throw error;
      }
      return client !== undefined;
    });
    expect(await ask(client!, generation2.init(PRIMARY, { pid: 0 }))).toMatchObject([{ result: 0 }]);
    expect(server.daemon.take()).toEqual(['init 1 mode 1 fresh']);
    expect(server.unix.refused).toBeGreaterThan(0);
  });

  test('that have taken the port id first do not keep the daemon from the Unix socket, nor from the port for ever', async () => {
    const script = `
      const addon = require(${JSON.stringify(ADDON)});
      console.log(addon.netlinkOpen(2, ${daemonPort}, new Uint32Array(0), 0, '', new Uint32Array(1)) >= 0);
      setInterval(() => {}, 1000);`;
    const thief = child(script, FOREIGN_UID);
    await until(() => thief.lines.length === 1);
    expect(thief.lines[0]).toBe('true');
    expect(portHolder(daemonPort)).toMatch(/^pid \d+ \(node\)$|^inode \d+: ss -f netlink -p/);
    const server = kept(new Server(path));
    expect(server.netlink.failure).toMatch(/address already in use/);
    expect(await ask(overUnix(), generation2.init(PRIMARY, { pid: 0 }))).toMatchObject([{ result: 0 }]);
    thief.process.kill();
    await until(() => server.netlink.failure === undefined);
    expect(await ask(overNetlink(), generation2.checkpoint(PRIMARY, { pid: 0, ack: true }))).toHaveLength(1);
  });
});

requires('addon')('colo ctl says what was wrong, and what to do', () => {
  function ctl(...args: string[]): Promise<{ status: number; stderr: string }> {
    return new Promise((resolve) => {
      const program = [join(__dirname, '../../bin/colo'), 'ctl', ...args, '--socket', path];
      execFile(process.execPath, program, { timeout: 30_000 }, (error, _stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code), stderr });
      });
    });
  }

  test('of a node without a controller, and of one that has one', async () => {
    kept(new Server(path));
    expect(await ctl('checkpoint')).toEqual({
      status: 2,
      stderr: 'colo: the daemon refused: the node has no controller\ncolo: `colo ctl init` begins protection\n',
    });
    expect((await ctl('init')).status).toBe(0);
    expect(await ctl('init')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/has a controller already\n.*`colo ctl leave`/),
    });
  });

  test('of a failover of a primary', async () => {
    const { daemon } = kept(new Server(path));
    expect(await ctl('failover')).toEqual({
      status: 2,
      stderr:
        'colo: a failover is for a secondary, and this daemon is a primary\ncolo: run this on the secondary host\n',
    });
    expect(daemon.take()).toEqual([]);
  });

  test.each(['init', 'checkpoint', 'failover', 'reset'])('of %s where it could be for several nodes', async (word) => {
    const { daemon } = kept(new Server(path, [PRIMARY_1, PRIMARY_2]));
    expect(await ctl(word)).toEqual({
      status: 2,
      stderr: 'colo: which node? configured: 1 (web), 2 (mail)\ncolo: name it with --node\n',
    });
    expect(daemon.take()).toEqual([]);
  });

  test("in the daemon's words where it has some, with no guess beside them", async () => {
    const { daemon } = kept(new Server(path));
    daemon.result = { refused: 'invalid', why: 'bypass rule: protocol: must be one of tcp, udp' };
    expect(await ctl('bypass', 'add', '--protocol', 'tpc')).toEqual({
      status: 2,
      stderr: 'colo: the daemon refused: bypass rule: protocol: must be one of tcp, udp\n',
    });
  });
});
