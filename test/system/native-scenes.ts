// What native-child.js runs in a process of its own.
import { mapFile } from '../../src/io/map-file';
import { NETLINK_USERSOCK, NetlinkSocket } from '../../src/io/netlink-socket';
import { NfQueue } from '../../src/io/nfqueue';
import { connectSeqpacket } from '../../src/io/seqpacket';
import { Chardev, parseEndpoint } from '../../src/io/stream/chardev';
import { dropCapabilities, readCapabilities } from '../../src/native';

const NOBODY = 65534;

function becomeNobody(): void {
  process.setgid!(NOBODY);
  process.setuid!(NOBODY);
}

function report(error: unknown): void {
  const { code, message, hint } = error as { code?: string; message?: string; hint?: string };
  console.log(JSON.stringify({ code, message, hint }));
}

export const SCENES: Record<string, (...args: string[]) => void> = {
  /** The handler of the first packet throws. */
  throwInBatch(netns) {
    new NfQueue({ queue: 9, netns: netns! }, () => {
      throw new Error('a planted fault');
    });
    console.log('ready');
  },

  /** The handler does what is forbidden there. */
  drainInBatch(netns) {
    const queue: NfQueue = new NfQueue({ queue: 9, netns: netns! }, () => {
      queue.drain();
    });
    console.log('ready');
  },

  /** Holds what comes until the process is killed. */
  hold(netns) {
    new NfQueue({ queue: 9, netns: netns! }, (count) => console.log(`held ${count}`));
    console.log('ready');
  },

  /** Ends by itself with a queue open. */
  endWithOpenQueue(netns) {
    new NfQueue({ queue: 9, netns: netns! }, () => {});
    console.log('ready');
    process.exit(0);
  },

  bindAsNobody() {
    becomeNobody();
    try {
      new NfQueue({ queue: 9 }, () => {});
    } catch (error) {
      report(error);
    }
  },

  chardevReadsNothing(endpoint) {
    const events = { onOpen: () => console.log('ready'), onData: () => 0, onClose: () => {} };
    const device = new Chardev(parseEndpoint(endpoint!), events);
    device.pause(true);
    void device.open();
    setInterval(() => {}, 1000);
  },

  /** Says what happens to it. */
  chardevServes(endpoint) {
    const events = {
      onOpen: () => console.log('open'),
      onData: (_buf: Buffer, from: number, to: number) => to - from,
      onClose: () => console.log('close'),
    };
    void new Chardev(parseEndpoint(endpoint!), events).open().then(() => console.log('ready'));
  },

  /** A consumer with a fault, in a process that has a handler for uncaught exceptions. */
  chardevConsumer(endpoint, fault) {
    process.on('uncaughtException', () => {});
    const events = {
      onOpen: () => {},
      onData: (_buf: Buffer, from: number, to: number) => {
        if (fault === 'throws') throw new Error('a planted fault');
        return fault === 'takesTooMuch' ? to - from + 1 : 0;
      },
      onClose: () => {},
    };
    void new Chardev(parseEndpoint(endpoint!), events, { receiveBytes: 4096 }).open().then(() => console.log('ready'));
  },

  sendNetlinkAsNobody(portId) {
    becomeNobody();
    const socket = new NetlinkSocket({ protocol: NETLINK_USERSOCK }, { onMessage: () => {} });
    console.log(socket.send(Buffer.from('from nobody'), Number(portId)));
    socket.close();
  },

  sendSeqpacketAsNobody(path) {
    becomeNobody();
    const connection = connectSeqpacket(path!, { onMessage: () => {}, onClose: () => process.exit(0) });
    connection.send(Buffer.from('from nobody'));
  },

  connectSeqpacketAsNobody(path) {
    becomeNobody();
    try {
      connectSeqpacket(path!, { onMessage: () => {}, onClose: () => {} });
    } catch (error) {
      report(error);
    }
  },

  /** Serves until it is killed, and leaves its socket file behind. */
  serve(path) {
    const { SeqpacketServer } = require('../../src/io/seqpacket') as typeof import('../../src/io/seqpacket');
    new SeqpacketServer({ path: path! }, () => {});
    console.log('ready');
  },

  /** Writes into a mapped file and waits to be killed. */
  map(path) {
    mapFile(path!, 8192).write('written before the kill', 4096);
    console.log('ready');
    setInterval(() => {}, 1000);
  },

  mapOnce(path) {
    try {
      mapFile(path!, 8192);
      console.log('{}');
    } catch (error) {
      report(error);
    }
  },

  /** What is left after giving up all but two, in every thread, and whether it can still open what it needs. */
  capabilities(...args) {
    dropCapabilities(['CAP_NET_ADMIN', 'CAP_NET_RAW']);
    const fs = require('node:fs') as typeof import('node:fs');
    const threads = fs.readdirSync('/proc/self/task').map((tid) => {
      const status = fs.readFileSync(`/proc/self/task/${tid}/status`, 'utf8');
      return ['CapPrm', 'CapEff', 'CapBnd'].map((set) => status.match(new RegExp(`${set}:\\s*(\\w+)`))![1]).join(' ');
    });
    const queue = new NfQueue({ queue: 9 }, () => {});
    const forced = queue.settings.receiveBufferForced;
    queue.close();
    console.log(
      JSON.stringify({ pid: process.pid, args, threads, forced, permitted: String(readCapabilities().permitted) }),
    );
  },
};
