// The folders are the architecture: imports go one way, and engines do no I/O.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const SRC = join(__dirname, '../../src');

const PURE = [
  'core',
  'packet',
  'netlink',
  'conntrack',
  'compare',
  'pmycolo',
  'seccolo',
  'digest',
  'node',
  'nfnetlink-colo',
  'qmp',
  'link',
];
const ALLOWED: Record<string, readonly string[]> = {
  core: [],
  packet: ['core'],
  netlink: ['core'],
  conntrack: ['core', 'packet'],
  compare: ['core', 'packet', 'conntrack'],
  pmycolo: ['core', 'packet', 'conntrack', 'compare'],
  seccolo: ['core', 'packet', 'conntrack'],
  node: ['core', 'packet', 'digest', 'pmycolo', 'seccolo', 'link'],
  digest: ['core', 'packet', 'link', 'conntrack', 'pmycolo'],
  'nfnetlink-colo': ['core', 'netlink', 'node'],
  qmp: ['core'],
  link: ['core', 'packet'],
  native: ['core'],
  // The control channel's carriers are adapters: they know whom they carry for.
  io: ['native', 'netlink', 'packet', 'core', 'nfnetlink-colo'],
  chardev: ['core', 'packet', 'io'],
  'qemu/compare': ['core', 'node', 'packet', 'conntrack', 'compare', 'pmycolo', 'io', 'native', 'chardev', 'qmp'],
  'qemu/netdev': ['core', 'packet', 'conntrack', 'seccolo', 'node', 'io', 'chardev', 'qmp'],
  rules: ['io', 'core'],
  config: ['core', 'packet', 'pmycolo'],
  replay: ['core', 'packet', 'conntrack', 'compare', 'pmycolo', 'io'],
  doctor: ['core', 'packet', 'native', 'io'],
  sim: PURE,
  'sim/frames': [...PURE, 'sim', 'io', 'native', 'chardev', 'qemu/compare'],
  daemon: [...PURE, 'native', 'io', 'config', 'rules', 'chardev', 'qemu/compare', 'qemu/netdev'],
  cli: [
    ...PURE,
    'native',
    'io',
    'rules',
    'config',
    'replay',
    'doctor',
    'daemon',
    'chardev',
    'qemu/compare',
    'qemu/netdev',
    'sim',
    'sim/frames',
  ],
};

/** The room of a path below src: the table's, of two names or of one. */
function roomOf(path: string): string {
  const [first, second] = path.split('/');
  return `${first}/${second}` in ALLOWED ? `${first}/${second}` : first!;
}

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) =>
    e.isDirectory() ? sources(join(dir, e.name)) : e.name.endsWith('.ts') ? [join(dir, e.name)] : [],
  );
}

const files = sources(SRC).map((path) => {
  const text = readFileSync(path, 'utf8');
  const imports = [
    ...text.matchAll(/(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|require\('([^']+)'\)|import\('([^']+)'\)/g),
  ];
  return { path, folder: roomOf(relative(SRC, path)), text, imports: imports.map((m) => (m[1] ?? m[2] ?? m[3])!) };
});

test('every folder is in the table', () => {
  expect([...new Set(files.map((f) => f.folder))].filter((f) => !(f in ALLOWED))).toEqual([]);
});

test('imports between folders go one way', () => {
  const wrong: string[] = [];
  for (const f of files) {
    for (const name of f.imports) {
      if (!name.startsWith('.')) continue;
      const target = roomOf(relative(SRC, join(f.path, '..', name)));
      if (target !== f.folder && !ALLOWED[f.folder]!.includes(target))
        wrong.push(`${relative(SRC, f.path)} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('pure folders import no module, read no clock and draw no random number', () => {
  const wrong: string[] = [];
  for (const f of files) {
    if (![...PURE, 'sim'].includes(f.folder)) continue;
    for (const name of f.imports) if (!name.startsWith('.')) wrong.push(`${relative(SRC, f.path)} imports ${name}`);
    if (/\bDate\.now\b|\bnew Date\b|\bMath\.random\b|\bperformance\.[a-z]|\bprocess\.[a-z]/.test(f.text)) {
      wrong.push(`${relative(SRC, f.path)} reaches for the world`);
    }
  }
  expect(wrong).toEqual([]);
});

test('comparators do not import one another across protocols', () => {
  const tcp = files.find((f) => f.path.endsWith('compare/tcp.ts'))!;
  const datagram = files.find((f) => f.path.endsWith('compare/datagram.ts'))!;
  expect(tcp.imports).not.toContain('./datagram');
  expect(datagram.imports).not.toContain('./tcp');
});
