import fc from 'fast-check';
import { ArpView, arpReplyFrame, arpRequestFrame, gratuitousArpFrame, parseArp } from '../../../src/packet/arp';
import { taggedFrame } from '../../../src/packet/ethernet';
import { solicitedNaFrame, unsolicitedNaFrame } from '../../../src/packet/neighbour';
import { ANSWER_MS, MAX_NEIGHBOURS, NeighbourAnswers, QUESTION_MS } from '../../../src/seccolo/neighbour-answers';
import { buildIp, onesComplementSum } from '../../lib/build-packet';

const GUEST = Buffer.from('525400000001', 'hex');
const ROUTER = Buffer.from('525400000099', 'hex');
const OTHER = Buffer.from('525400000077', 'hex');
const GUEST_IP = 0x0a000005;
const ROUTER_IP = 0x0a000001;
const GUEST_6 = Buffer.from('fe800000000000000000000000000005', 'hex');
const ROUTER_6 = Buffer.from('fe800000000000000000000000000001', 'hex');
const VLAN_7 = 0x81000007;

/** A solicitation of `target` from `source`. */
function solicitation(source: Uint8Array, target: Uint8Array, hopLimit = 255): Buffer {
  const l4 = Buffer.alloc(32);
  l4[0] = 135;
  l4.set(target, 8);
  l4.set([1, 1, ...GUEST], 24);
  const group = [0xff, 2, ...Array(9).fill(0), 1, 0xff, ...target.subarray(13)];
  const ip = buildIp(6, [...source], group, 58, l4, hopLimit);
  return Buffer.concat([Buffer.from([0x33, 0x33, 0xff, ...target.subarray(13)]), GUEST, Buffer.from([0x86, 0xdd]), ip]);
}

class Lab {
  readonly own: string[] = [];
  readonly answers = new NeighbourAnswers((_, address) => this.own.includes(Buffer.from(address).toString('hex')));
  now = 1000;

  /** The frame is poisoned afterwards: nothing of it may be kept. */
  private give(frame: Uint8Array, to: (buf: Uint8Array) => Uint8Array | undefined): Uint8Array | undefined {
    const buf = Buffer.from(frame);
    const out = to(buf);
    buf.fill(0x5a);
    return out;
  }
  heard(frame: Uint8Array, vlan = 0): Uint8Array | undefined {
    return this.give(frame, (buf) => this.answers.heard(buf, buf.length, vlan, this.now));
  }
  asks(frame: Uint8Array, vlan = 0): Uint8Array | undefined {
    return this.give(frame, (buf) => this.answers.question(buf, buf.length, vlan, this.now));
  }
}

const arpAnswer = (mac = ROUTER): Buffer => arpReplyFrame(mac, ROUTER_IP, GUEST, GUEST_IP);
const arpQuestion = (): Buffer => arpRequestFrame(GUEST, GUEST_IP, ROUTER_IP);
const naAnswer = (router: boolean, override: boolean, mac = ROUTER): Buffer =>
  solicitedNaFrame(GUEST, GUEST_6, mac, ROUTER_6, router, override);

describe('a question of the SVM', () => {
  test('is answered with what the PVM was answered, byte by byte', () => {
    const lab = new Lab();
    expect(lab.heard(arpAnswer())).toBeUndefined();
    expect(lab.asks(arpQuestion())).toEqual(arpAnswer());
    const arp = new ArpView();
    const frame = lab.asks(arpQuestion())!;
    expect(parseArp(arp, frame, 14, 28)).toBe(true);
    expect(arp).toMatchObject({ operation: 2, senderIp: ROUTER_IP, targetIp: GUEST_IP });
  });
  test.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('router flag %p and override flag %p as they came', (router, override) => {
    const lab = new Lab();
    lab.heard(naAnswer(router, override));
    const frame = Buffer.from(lab.asks(solicitation(GUEST_6, ROUTER_6))!);
    expect(frame).toEqual(naAnswer(router, override));
    const l4 = frame.subarray(54);
    expect([l4[0], l4[4]]).toEqual([136, 0x40 | (router ? 0x80 : 0) | (override ? 0x20 : 0)]);
    const pseudo = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, 0, 0, l4.length, 0, 0, 0, 58])]);
    expect(onesComplementSum([pseudo, l4])).toBe(0xffff);
  });
  test('is answered for less than 30 s after the answer', () => {
    const lab = new Lab();
    lab.heard(arpAnswer());
    lab.now += ANSWER_MS - 1;
    expect(lab.asks(arpQuestion())).toBeDefined();
    lab.now++;
    expect(lab.asks(arpQuestion())).toBeUndefined();
  });
  test('that is put before the PVM’s waits for its answer, for a second', () => {
    const lab = new Lab();
    expect(lab.asks(arpQuestion())).toBeUndefined();
    lab.now += QUESTION_MS - 1;
    expect(lab.heard(arpAnswer())).toEqual(arpAnswer());
    expect(lab.heard(arpAnswer())).toBeUndefined();
    lab.now += ANSWER_MS;
    lab.asks(arpQuestion());
    lab.now += QUESTION_MS;
    expect(lab.heard(arpAnswer())).toBeUndefined();
    expect(lab.answers.answered).toBe(1);
  });
  test('from before a checkpoint waits no more, while the answers stay', () => {
    const lab = new Lab();
    lab.asks(arpQuestion());
    lab.answers.checkpoint();
    expect(lab.heard(arpAnswer())).toBeUndefined();
    expect(lab.asks(arpQuestion())).toBeDefined();
    lab.answers.clear();
    expect(lab.asks(arpQuestion())).toBeUndefined();
  });
  test.each<[string, Uint8Array]>([
    ['an ARP probe', arpRequestFrame(GUEST, 0, ROUTER_IP)],
    ['an announcement', gratuitousArpFrame(GUEST, ROUTER_IP)],
    ['a reply', arpReplyFrame(GUEST, GUEST_IP, ROUTER, ROUTER_IP)],
    ['duplicate address detection', solicitation(new Uint8Array(16), ROUTER_6)],
    ['a solicitation that was forwarded', solicitation(GUEST_6, ROUTER_6, 254)],
    ['half a solicitation', solicitation(GUEST_6, ROUTER_6).subarray(0, 70)],
    ['half a request', arpQuestion().subarray(0, 40)],
    ['a question for a group', solicitation(GUEST_6, Buffer.from('ff020000000000000000000000000001', 'hex'))],
    ['something else', Buffer.alloc(60)],
    ['nothing', Buffer.alloc(0)],
  ])('is not %s', (_, frame) => {
    const lab = new Lab();
    lab.heard(arpAnswer());
    lab.heard(naAnswer(true, true));
    expect(lab.asks(frame)).toBeUndefined();
    expect([lab.answers.asked, lab.heard(arpAnswer()), lab.heard(naAnswer(true, true))]).toEqual([
      0,
      undefined,
      undefined,
    ]);
  });
  test('for an address of the guest’s own is never answered, whatever was heard of it', () => {
    const lab = new Lab();
    lab.heard(arpAnswer());
    lab.own.push('0a000001', ROUTER_6.toString('hex'));
    expect(lab.asks(arpQuestion())).toBeUndefined();
    lab.heard(naAnswer(true, true));
    expect(lab.asks(solicitation(GUEST_6, ROUTER_6))).toBeUndefined();
    lab.own.length = 0;
    expect(lab.asks(solicitation(GUEST_6, ROUTER_6))).toBeUndefined();
  });
  test('is answered in its VLAN', () => {
    const lab = new Lab();
    lab.heard(taggedFrame(arpAnswer(), [VLAN_7]));
    expect(lab.asks(arpQuestion())).toBeUndefined();
    expect(lab.asks(arpQuestion(), 0x8100e007)).toEqual(taggedFrame(arpAnswer(), [VLAN_7]));
    expect(lab.asks(taggedFrame(arpQuestion(), [VLAN_7]))).toEqual(taggedFrame(arpAnswer(), [VLAN_7]));
  });
});

describe('what is heard', () => {
  const ask = (lab: Lab): string =>
    Buffer.from(lab.asks(arpQuestion()) ?? [])
      .subarray(6, 12)
      .toString('hex');
  const ask6 = (lab: Lab): [string, number] => {
    const frame = Buffer.from(lab.asks(solicitation(GUEST_6, ROUTER_6)) ?? Buffer.alloc(80));
    return [frame.subarray(6, 12).toString('hex'), frame[58]!];
  };

  test('an announcement brings no answer, but replaces one', () => {
    const lab = new Lab();
    lab.heard(gratuitousArpFrame(ROUTER, ROUTER_IP));
    lab.heard(unsolicitedNaFrame(ROUTER, ROUTER_6, true));
    expect([ask(lab), ask6(lab)[1]]).toEqual(['', 0]);
    lab.answers.clear();
    lab.heard(arpAnswer());
    lab.heard(naAnswer(true, true));
    lab.heard(gratuitousArpFrame(OTHER, ROUTER_IP));
    lab.heard(unsolicitedNaFrame(OTHER, ROUTER_6, false));
    expect([ask(lab), ask6(lab)]).toEqual([OTHER.toString('hex'), [OTHER.toString('hex'), 0x60]]);
  });
  test('nor does an announcement make an answer younger', () => {
    const lab = new Lab();
    lab.heard(arpAnswer());
    lab.now += ANSWER_MS - 1;
    lab.heard(gratuitousArpFrame(ROUTER, ROUTER_IP));
    lab.now++;
    expect(ask(lab)).toBe('');
  });
  test('one without the override flag replaces no other MAC address (RFC 4861 section 7.2.5)', () => {
    const lab = new Lab();
    lab.heard(naAnswer(true, true));
    lab.heard(unsolicitedNaFrame(OTHER, ROUTER_6, false, false));
    expect(ask6(lab)).toEqual([ROUTER.toString('hex'), 0xe0]);
  });
  test('an answer to everybody, or from a group’s MAC address, is none', () => {
    const lab = new Lab();
    const toAll = arpAnswer();
    toAll.fill(0xff, 0, 6);
    lab.heard(toAll);
    lab.heard(arpAnswer(Buffer.from('010000000001', 'hex')));
    expect(ask(lab)).toBe('');
  });
  test('the SVM’s own question is no answer', () => {
    const lab = new Lab();
    lab.heard(arpQuestion());
    lab.heard(solicitation(GUEST_6, ROUTER_6));
    expect([ask(lab), ask6(lab)[1]]).toEqual(['', 0]);
  });
});

test('both tables are bounded, and the oldest give way', () => {
  const lab = new Lab();
  for (let i = 0; i < 3 * MAX_NEIGHBOURS; i++) {
    lab.heard(arpReplyFrame(ROUTER, 0x0b000000 + i, GUEST, GUEST_IP));
    lab.asks(arpRequestFrame(GUEST, GUEST_IP, 0x0c000000 + i));
  }
  const known = (n: number): boolean => lab.asks(arpRequestFrame(GUEST, GUEST_IP, 0x0b000000 + n)) !== undefined;
  expect([known(3 * MAX_NEIGHBOURS - 1), known(2 * MAX_NEIGHBOURS), known(2 * MAX_NEIGHBOURS - 1), known(0)]).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

test('no bytes whatever make it fail', () => {
  const base = fc.constantFrom<Uint8Array>(
    arpAnswer(),
    arpQuestion(),
    naAnswer(true, true),
    solicitation(GUEST_6, ROUTER_6),
  );
  fc.assert(
    fc.property(
      base,
      fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 6 }),
      fc.nat(90),
      (frame, changes, length) => {
        const lab = new Lab();
        const bytes = Buffer.from(frame);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        lab.heard(bytes.subarray(0, length));
        lab.asks(bytes.subarray(0, length));
      },
    ),
  );
});
