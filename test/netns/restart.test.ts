// Daemons that are killed and started again in the middle of transfers: nobody notices, and nothing wrong gets out
// meanwhile.
import { readdirSync, rmSync } from 'node:fs';
import { expected } from './guest/content';
import { requires } from './requires';
import type { Order } from './support/client';
import { ADDRESSES, GUEST_PORT, Pair, type Side } from './support/pair';
import { sleep, until } from './support/wait';

jest.setTimeout(240_000);

const port = GUEST_PORT;
const BYTES = 3_000_000;
const RATE = 1_000_000;
const ORDERS: Order[] = [
  { op: 'get', host: ADDRESSES.IPv4, port, bytes: BYTES, rate: RATE },
  { op: 'get', host: ADDRESSES.IPv6, port, bytes: BYTES, rate: RATE },
  { op: 'dial', host: ADDRESSES.IPv4, port, bytes: BYTES, rate: RATE, local: 9000 },
  { op: 'upload', host: ADDRESSES.IPv4, port, bytes: BYTES, rate: RATE },
];

requires('netns', 'nfqueue')('a daemon that is killed and started again in mid-transfer', () => {
  let pair: Pair;
  beforeEach(async () => {
    // Over a stream a daemon that was away asks for a checkpoint, and guests in namespaces cannot be made equal.
    pair = await Pair.create({ link: 'ethernet', node: { compareTimeoutMs: 60_000 } });
  });
  afterEach(() => pair?.destroy());

  /** Starts the transfers, does what is to be done in their middle, and checks that all of them end well. */
  async function during(disturb: () => Promise<void>): Promise<void> {
    const transfers = ORDERS.map((order) => pair.client.begin(order));
    await until('beginning of all transfers', () => transfers.every((transfer) => transfer.begun));
    await sleep(500);
    await disturb();
    expect(transfers.filter((transfer) => transfer.outcome === undefined)).toHaveLength(ORDERS.length);
    for (const transfer of transfers) {
      const outcome = await pair.client.finish(transfer, 60_000).catch(async (error: Error) => {
        throw new Error(`${error.message}\n${await pair.account()}`);
      });
      expect(outcome).toMatchObject({ bytes: BYTES, sha256: expected(BYTES) });
    }
  }

  async function restart(side: Side): Promise<void> {
    await pair.killDaemon(side);
    await pair.startDaemon(side);
    await pair.attach(side);
  }

  function killPrimary(): void {
    pair.controllers.primary.close();
    pair.lab.killPrimary(true);
  }

  test("the primary node's: the transfers go on, compared", async () => {
    await during(() => restart('primary'));
    await pair.provenEqual();
  });

  test("the secondary node's, and a failover after it", async () => {
    await during(async () => {
      await restart('secondary');
      await sleep(300);
      await pair.provenEqual();
      killPrimary();
      await pair.controllers.secondary.failover();
    });
    expect((await pair.controllers.secondary.status()).state).toBe('failed-over');
  });

  test("the primary node's, whose file of deltas is gone: how the connections are numbered has to be told by a checkpoint", async () => {
    await pair.killDaemon('primary');
    const [file] = readdirSync(`${pair.lab.dir}/primary`).filter((name) => name.startsWith('deltas'));
    rmSync(`${pair.lab.dir}/primary/${file!}`);
    await pair.startDaemon('primary');
    const controller = await pair.attach('primary');
    await until('the request', () => controller.notices > 0);
    expect((await controller.status()).state).toBe('waiting-for-checkpoint');
  });

  // The SVM, which gets its packets through both, lacks what the PVM has, and the peer is told so.
  test('both at once: the transfers go on, compared', async () => {
    await during(() => Promise.all([restart('primary'), restart('secondary')]).then(() => {}));
    await pair.provenEqual();
  });

  test("the secondary node's, after the failover", async () => {
    await during(async () => {
      killPrimary();
      await pair.controllers.secondary.failover();
      await sleep(300);
      await restart('secondary');
    });
    expect((await pair.controllers.secondary.status()).state).toBe('failed-over');
  });
});
