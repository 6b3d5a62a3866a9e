import {
  type Direction,
  type Filter,
  FilterChain,
  type Place,
  type Queue,
  Verdict,
} from '../../../../src/qemu/netdev/filter-chain';

/** Writes its letter into the frame's next free byte, so that a frame tells where it has been. */
class Stamp implements Filter {
  readonly type = 'stamp';
  verdict: Verdict = Verdict.Pass;
  seen = 0;

  constructor(
    readonly id: string,
    readonly queue: Queue = 'all',
  ) {}

  frame(_direction: Direction, buf: Buffer, off: number, len: number): Verdict {
    this.seen++;
    const at = buf.subarray(off, off + len).indexOf(0x2e);
    buf[off + at] = this.id.charCodeAt(0);
    return this.verdict;
  }

  report(): Record<string, unknown> {
    return {};
  }
}

class Bench {
  guest: string[] = [];
  host: string[] = [];
  readonly vnet: number[] = [];
  readonly chain = new FilterChain(
    (buf, off, len, vnet) => {
      this.guest.push(buf.toString('latin1', off, off + len));
      this.vnet.push(vnet);
    },
    (buf, off, len, vnet) => {
      this.host.push(buf.toString('latin1', off, off + len));
      this.vnet.push(vnet);
    },
  );

  add(id: string, queue?: Queue, place?: Place): Stamp {
    const filter = new Stamp(id, queue);
    this.chain.add(filter, place);
    return filter;
  }

  order(): string {
    return this.chain
      .list()
      .map((f) => f.id)
      .join('');
  }

  tx(): string {
    const { buf } = frame();
    this.chain.fromHost(buf, 3, 6, 0);
    return this.guest.pop() ?? 'consumed';
  }

  rx(): string {
    const { buf } = frame();
    this.chain.fromGuest(buf, 3, 6, 0);
    return this.host.pop() ?? 'consumed';
  }

  inject(filter: Filter): [guest: string, host: string] {
    const { buf } = frame();
    this.chain.inject(filter, buf, 3, 6, 0);
    expect(buf.toString('latin1', 0, 3) + buf.toString('latin1', 9)).toBe('######');
    return [this.guest.pop() ?? '', this.host.pop() ?? ''];
  }
}

const frame = () => ({ buf: Buffer.from('###......###') });

describe('order', () => {
  test('tx goes from head to tail, rx from tail to head, each in place', () => {
    const t = new Bench();
    for (const id of 'abc') t.add(id);
    expect([t.tx(), t.rx()]).toEqual(['abc...', 'cba...']);
  });

  test('queue says which of the two a filter sees; all is both', () => {
    const t = new Bench();
    t.add('a', 'tx');
    t.add('b', 'rx');
    t.add('c', 'all');
    expect([t.tx(), t.rx()]).toEqual(['ac....', 'cb....']);
  });

  test('without filters frames go straight through, with their virtio-net header', () => {
    const t = new Bench();
    t.chain.fromHost(Buffer.from('frame'), 0, 5, 10);
    t.chain.fromGuest(Buffer.from('other'), 0, 5, 12);
    expect([t.guest, t.host, t.vnet]).toEqual([['frame'], ['other'], [10, 12]]);
  });

  test('what a filter consumes goes no further', () => {
    const t = new Bench();
    const [a, b, c] = [t.add('a'), t.add('b'), t.add('c')];
    b.verdict = Verdict.Consumed;
    expect([t.tx(), t.rx()]).toEqual(['consumed', 'consumed']);
    expect([a.seen, b.seen, c.seen]).toEqual([1, 2, 1]);
  });
});

describe('position and insert', () => {
  const by = (id: string, insert: 'before' | 'behind'): Place => ({ position: { id }, insert });

  test('head, tail, before and behind another one', () => {
    const t = new Bench();
    t.add('b');
    t.add('d', 'all', { position: 'tail', insert: 'behind' });
    t.add('a', 'all', { position: 'head', insert: 'behind' });
    t.add('c', 'all', by('b', 'behind'));
    t.add('e', 'all', by('d', 'behind'));
    t.add('x', 'all', by('a', 'before'));
    t.add('y', 'all', by('c', 'before'));
    expect(t.order()).toBe('xabycde');
  });

  test('insert without id= means nothing, as with QEMU', () => {
    const t = new Bench();
    t.add('a');
    t.add('b', 'all', { position: 'tail', insert: 'before' });
    t.add('c', 'all', { position: 'head', insert: 'behind' });
    expect(t.order()).toBe('cab');
  });

  test('errors are in QEMU’s words, and change nothing', () => {
    const t = new Bench();
    t.add('a');
    expect(() => t.add('b', 'all', by('zz', 'before'))).toThrow("filter 'zz' not found");
    expect(() => t.add('a')).toThrow("Duplicate ID 'a' for object");
    expect(() => t.chain.setStatus('zz', false)).toThrow("filter 'zz' not found");
    expect(() => t.chain.remove('zz')).toThrow("filter 'zz' not found");
    expect(t.order()).toBe('a');
  });

  test('filters come and go, also while others stay', () => {
    const t = new Bench();
    const [a] = [t.add('a'), t.add('b'), t.add('c')];
    expect(t.chain.remove('b').id).toBe('b');
    expect([t.tx(), t.rx()]).toEqual(['ac....', 'ca....']);
    t.add('b');
    expect(t.tx()).toBe('acb...');
    t.chain.remove('a');
    // One that is gone brings nothing in any more.
    expect(t.inject(a)).toEqual(['', '']);
    expect(t.guest.length + t.host.length).toBe(0);
  });
});

describe('status', () => {
  test('off: frames skip the filter, in both directions, until it is on again', () => {
    const t = new Bench();
    for (const id of 'abc') t.add(id);
    t.chain.setStatus('b', false);
    expect([t.tx(), t.rx(), t.chain.isOn('b')]).toEqual(['ac....', 'ca....', false]);
    t.chain.setStatus('b', true);
    expect([t.tx(), t.chain.isOn('b')]).toEqual(['abc...', true]);
  });

  test('a filter may begin switched off', () => {
    const t = new Bench();
    t.add('a');
    t.chain.add(new Stamp('b'), undefined, false);
    expect(t.tx()).toBe('a.....');
  });

  test('off does not stop what it injects', () => {
    const t = new Bench();
    const [a] = [t.add('a', 'tx'), t.add('b')];
    t.chain.setStatus('a', false);
    expect(t.inject(a)).toEqual(['b.....', '']);
  });
});

describe('injection', () => {
  test('begins behind the injecting filter in its own direction', () => {
    const t = new Bench();
    const [, b] = [t.add('a'), t.add('b', 'tx'), t.add('c')];
    expect(t.inject(b)).toEqual(['c.....', '']);
    const u = new Bench();
    const [, v] = [u.add('a'), u.add('b', 'rx'), u.add('c')];
    expect(u.inject(v)).toEqual(['', 'a.....']);
  });

  test('queue=all: both ways, and what one way’s filters change the other does not see', () => {
    const t = new Bench();
    const [, b] = [t.add('a'), t.add('b', 'all'), t.add('c')];
    expect(t.inject(b)).toEqual(['c.....', 'a.....']);
  });

  test('at the ends it goes straight to the port', () => {
    const t = new Bench();
    const [a, b] = [t.add('a', 'rx'), t.add('b', 'tx')];
    expect([t.inject(a), t.inject(b)]).toEqual([
      ['', '......'],
      ['......', ''],
    ]);
  });

  test('filters behind it that are of the other direction, or off, are skipped', () => {
    const t = new Bench();
    const [a] = [t.add('a', 'tx'), t.add('b', 'rx'), t.add('c', 'tx'), t.add('d', 'tx')];
    t.chain.setStatus('c', false);
    expect(t.inject(a)).toEqual(['d.....', '']);
  });
});
