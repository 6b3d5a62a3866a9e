// Every constant that names a kernel constant at its line's end has the value that this machine's headers give it.
// Files say by `Linux: <header>` in their opening comment which headers they follow; names of no stock header are left
// out.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FOLDER = join(__dirname, '../../../src/netlink');
const LINE = /(\w+)\s*(?::|=)\s*((?:0x[0-9a-f]+|\d+)),?;?\s*\/\/ (.+)$/i;

interface Constant {
  where: string;
  value: number;
  expression: string;
}

function constantsOf(file: string): { headers: string[]; constants: Constant[] } {
  const lines = readFileSync(join(FOLDER, file), 'utf8').split('\n');
  const opening = lines
    .slice(
      0,
      lines.findIndex((line) => !line.startsWith('//')),
    )
    .join(' ');
  const headers = opening.includes('Linux:') ? [...opening.matchAll(/<([\w./-]+\.h)>/g)].map((m) => m[1]!) : [];
  const constants: Constant[] = [];
  lines.forEach((line, i) => {
    const match = LINE.exec(line);
    if (match === null) return;
    constants.push({ where: `${file}:${i + 1} ${match[1]}`, value: Number(match[2]), expression: match[3]! });
  });
  return { headers, constants };
}

/** What the headers say, in the order of the expressions. */
function valuesOf(headers: string[], expressions: string[]): number[] {
  const folder = mkdtempSync(join(tmpdir(), 'colo-constants-'));
  try {
    const source = join(folder, 'constants.c');
    const program = join(folder, 'constants');
    const lines = [
      '#include <stdio.h>',
      '#include <sys/socket.h>',
      ...headers.map((header) => `#include <${header}>`),
      'int main(void) {',
      ...expressions.map((e) => `  printf("%llu\\n", (unsigned long long)((${e}) & 0xffffffffu));`),
      '  return 0;',
      '}',
    ];
    writeFileSync(source, `${lines.join('\n')}\n`);
    execFileSync('gcc', ['-o', program, source], { stdio: 'pipe' });
    return execFileSync(program, { encoding: 'utf8' }).trim().split('\n').map(Number);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const compiler = spawnSync('gcc', ['--version']).status === 0;
const files = readdirSync(FOLDER)
  .map(constantsOf)
  .filter(({ headers }) => headers.length > 0);

test('there are constants to compare', () => {
  expect(files.length).toBeGreaterThanOrEqual(5);
  expect(files.flatMap((f) => f.constants).length).toBeGreaterThan(120);
});

(compiler ? test : test.skip)('they equal the C headers', () => {
  const headers = [...new Set(files.flatMap((f) => f.headers))];
  const constants = files.flatMap((f) => f.constants);
  const values = valuesOf(
    headers,
    constants.map((c) => c.expression),
  );
  const ours = constants.map((c) => `${c.where} ${c.expression} = ${c.value}`);
  const theirs = constants.map((c, i) => `${c.where} ${c.expression} = ${values[i]}`);
  expect(ours).toEqual(theirs);
});
