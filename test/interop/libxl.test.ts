// Xen's libxl on the checkpoint channel (notify_dev), replayed step by step by a client that does what libxl does, with
// its mistakes: libxl tolerates little, and a comparer that it does not understand costs the guest its protection.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildUdp } from '../lib/build-packet';
import { requires } from '../netns/requires';
import { until } from '../netns/support/wait';
import { Comparer } from './support/comparer';
import { buildLibxlClient, LibxlClient } from './support/libxl';

/** libxl takes a checkpoint after this long without a notice. */
const PERIOD_MS = 5000;
/** The same, for the rounds that only have to show the order of things. */
const SHORT_PERIOD_MS = 300;
const INIT_REPLY_BYTES = 'COLO_COMPARE_GET_XEN_INIT'.length;
/** For scenes in which only the controller may end a wait. */
const NEVER_MS = 3_600_000;
/** Longer than any machine takes for a notice that is due at once. */
const LONG_MS = 30_000;

const ETHERNET = Buffer.from('525400c01001525400c010020800', 'hex');
const datagram = (payload: string, dport = 40000): Buffer => Buffer.concat([ETHERNET, buildUdp({ payload, dport })]);
const BARRIER = 'barrier';
const payloadOf = (frame: Buffer): string => frame.toString('latin1', ETHERNET.length + 28);

requires('addon', 'gcc')("libxl's client", () => {
  let directory: string;
  let program: string;
  let comparer: Comparer;
  let libxl: LibxlClient;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'colo-libxl-'));
    program = buildLibxlClient(directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  afterEach(async () => {
    await libxl?.end();
    await comparer?.stop();
  });

  async function connect(stack: 'zero' | 'dirty' = 'zero', timeoutMs = NEVER_MS): Promise<void> {
    comparer = await Comparer.start(timeoutMs);
    libxl = await LibxlClient.connect(program, comparer.notifyPort, stack);
  }

  const barriers = (): number => comparer.out.frames.filter((frame) => payloadOf(frame) === BARRIER).length;
  const released = (): string[] => comparer.out.frames.map(payloadOf).filter((payload) => payload !== BARRIER);

  /** The sockets are read in any order; this waits until what was sent as the primary before has been taken in. */
  async function primaryTaken(): Promise<void> {
    const before = barriers();
    comparer.primary.send(datagram(BARRIER, 40001));
    comparer.secondary.send(datagram(BARRIER, 40001));
    await until('release of the barrier', () => barriers() > before);
  }

  const releases = (...expected: string[]): Promise<unknown> =>
    until(`release of ${expected}`, () => released().length >= expected.length).then(() =>
      expect(released()).toEqual(expected),
    );

  test('has its reply to INIT before it gives up', async () => {
    await connect();
    expect(await libxl.ask('init')).toBe(`init ${INIT_REPLY_BYTES}`);
  });

  test('is told of a divergence, and its COLO_CHECKPOINT lets out what the primary said, in order', async () => {
    await connect();
    await libxl.ask('init');
    comparer.primary.send(datagram('equal'));
    comparer.secondary.send(datagram('equal'));
    await releases('equal');
    comparer.primary.send(datagram('PVM one'));
    comparer.primary.send(datagram('PVM two'));
    await primaryTaken();
    comparer.secondary.send(datagram('SVM one'));
    expect(await libxl.ask(`wait ${LONG_MS}`)).toBe('notified');
    expect(released()).toEqual(['equal']);
    await libxl.ask('preresume');
    await releases('equal', 'PVM one', 'PVM two');
    // The next round starts clean.
    comparer.primary.send(datagram('again'));
    comparer.secondary.send(datagram('again'));
    await releases('equal', 'PVM one', 'PVM two', 'again');
  });

  test('is told of a secondary that is silent when compare_timeout has passed', async () => {
    await connect('zero', 200);
    await libxl.ask('init');
    comparer.primary.send(datagram('PVM only'));
    expect(await libxl.ask(`wait ${LONG_MS}`)).toBe('notified');
    expect(released()).toEqual([]);
    await libxl.ask('preresume');
    await releases('PVM only');
  });

  test('takes a checkpoint each period when nothing is said, and that lets out what waits', async () => {
    await connect();
    await libxl.ask('init');
    const said: string[] = [];
    for (const round of ['one', 'two', 'three']) {
      comparer.primary.send(datagram(`equal ${round}`));
      comparer.secondary.send(datagram(`equal ${round}`));
      await releases(...said, `equal ${round}`);
      comparer.primary.send(datagram(`held ${round}`));
      await primaryTaken();
      expect(await libxl.ask(`wait ${SHORT_PERIOD_MS}`)).toBe('timeout');
      expect(released()).toEqual([...said, `equal ${round}`]);
      await libxl.ask('preresume');
      said.push(`equal ${round}`, `held ${round}`);
      await releases(...said);
    }
  });

  test('hears nothing for the whole of its own period of 5 s while the guests agree', async () => {
    await connect('zero', 3000);
    await libxl.ask('init');
    for (let i = 0; i < 100; i++) {
      comparer.primary.send(datagram(`${i}`));
      comparer.secondary.send(datagram(`${i}`));
    }
    expect(await libxl.ask(`wait ${PERIOD_MS}`)).toBe('timeout');
    expect(comparer.out.frames).toHaveLength(100);
    await libxl.ask('preresume');
    expect(await libxl.ask(`wait ${SHORT_PERIOD_MS}`)).toBe('timeout');
  });

  test('finds length and text of every notice together, however late it reads', async () => {
    await connect();
    await libxl.ask('init');
    for (let round = 0; round < 20; round++) {
      comparer.primary.send(datagram(`PVM ${round}`));
      comparer.secondary.send(datagram(`SVM ${round}`));
      // A text that came apart from its length would be "torn" here.
      expect(await libxl.ask(`wait ${LONG_MS}`)).toBe('notified');
      await libxl.ask('preresume');
      await releases(...Array.from({ length: round + 1 }, (_, earlier) => `PVM ${earlier}`));
    }
  });

  test('with anything on its stack, finds a text that it takes a checkpoint for', async () => {
    await connect('dirty');
    await libxl.ask('init');
    comparer.primary.send(datagram('PVM'));
    comparer.secondary.send(datagram('SVM'));
    // libxl compares with whatever lies behind the text; a text that it does not know leads to a checkpoint, too.
    expect(await libxl.ask(`wait ${LONG_MS}`)).toMatch(/^(notified|other DO_CHECKPOINT)$/);
    await libxl.ask('preresume');
    await releases('PVM');
  });

  test('finds a notice that was sent before INIT, or nothing at all, but no broken stream', async () => {
    await connect();
    comparer.primary.send(datagram('PVM early'));
    await primaryTaken();
    comparer.secondary.send(datagram('SVM early'));
    await new Promise((resolve) => setTimeout(resolve, SHORT_PERIOD_MS));
    // Any message is a reply to libxl.
    expect(await libxl.ask('init')).toMatch(/^init \d+$/);
    expect(await libxl.ask(`wait ${SHORT_PERIOD_MS}`)).toMatch(/^(timeout|notified|other COLO_COMPARE_GET_XEN_INIT)$/);
    await libxl.ask('preresume');
    await releases('PVM early');
  });

  test('that comes back after its end finds everything as it was, nothing let out meanwhile', async () => {
    await connect();
    await libxl.ask('init');
    await libxl.end();
    comparer.primary.send(datagram('PVM meanwhile'));
    await primaryTaken();
    comparer.secondary.send(datagram('SVM meanwhile'));
    libxl = await LibxlClient.connect(program, comparer.notifyPort, 'zero');
    expect(await libxl.ask('init')).toMatch(/^init \d+$/);
    expect(released()).toEqual([]);
    await libxl.ask('preresume');
    await releases('PVM meanwhile');
  });

  test('is not disconnected by a text that it never says, as that would read as checkpoints without end', async () => {
    await connect();
    expect(await libxl.ask('init WHAT_IS_THIS')).toBe('init timeout');
    expect(await libxl.ask('init')).toBe(`init ${INIT_REPLY_BYTES}`);
    comparer.primary.send(datagram('PVM'));
    comparer.secondary.send(datagram('SVM'));
    expect(await libxl.ask(`wait ${LONG_MS}`)).toBe('notified');
  });
});
