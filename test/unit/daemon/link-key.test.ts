import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkCarriage, readLinkKey } from '../../../src/daemon/link-key';
import { parseEndpoint } from '../../../src/io/stream/endpoint';

let dir: string;
let path: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'colo-key-'));
  path = join(dir, 'key');
});
afterEach(() => rmSync(dir, { recursive: true }));

function file(text: string, mode = 0o600): void {
  writeFileSync(path, text);
  chmodSync(path, mode);
}

const KEY = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

test.each([
  ['hex', KEY.toString('hex')],
  ['base64', KEY.toString('base64')],
  ['base64 of URLs', KEY.toString('base64url')],
  ['a line', `  ${KEY.toString('hex')}\n`],
])('a key is read from %s', (_what, text) => {
  file(text);
  expect(readLinkKey(path)).toEqual(KEY);
});

test.each([
  ['nothing', '', /neither hex nor base64/],
  ['too short a key', '00112233', /4 bytes, not 16 to 256/],
  ['too long a key', 'ab'.repeat(300), /300 bytes/],
  ['words', 'this is no key at all, at all', /neither hex nor base64/],
  ['a large file', 'a'.repeat(5000), /5000 bytes, which is no key/],
])('a file with %s is refused', (_what, text, message) => {
  file(text);
  expect(() => readLinkKey(path)).toThrow(
    expect.objectContaining({ code: 'ELINKKEY', message: expect.stringMatching(message) }),
  );
});

test.each([0o640, 0o604, 0o620, 0o644])('a file that others may use is refused, and its mode named: %o', (mode) => {
  file(KEY.toString('hex'), mode);
  const text = mode.toString(8).padStart(4, '0');
  expect(() => readLinkKey(path)).toThrow(
    expect.objectContaining({ message: expect.stringContaining(text), hint: expect.stringContaining('chmod 0600') }),
  );
});

test('what is no file is refused, and so is what is not there', () => {
  expect(() => readLinkKey(path)).toThrow(
    expect.objectContaining({ hint: expect.stringContaining('openssl rand -hex 32') }),
  );
  mkdirSync(path, 0o700);
  expect(() => readLinkKey(path)).toThrow(/no regular file/);
});

test("a file of another user's is refused", () => {
  file(KEY.toString('hex'));
  const owner = process.geteuid!();
  if (owner === 0) {
    // What is root's is everybody's who may read it.
    expect(readLinkKey(path, 1234)).toEqual(KEY);
    return;
  }
  expect(() => readLinkKey(path, owner + 1)).toThrow(/belongs to user/);
});

test.each([
  ['unix:/run/link', false, false, true],
  ['unix:/run/link', true, false, false],
  ['tcp:127.0.0.1:1', false, false, true],
  ['tcp:127.9.9.9:1', false, false, true],
  ['tcp:[::1]:1', false, false, true],
  ['tcp:localhost:1', false, false, true],
  ['tcp:10.0.0.1:1', false, false, false],
  ['tcp:127.0.0.1.example.org:1', false, false, false],
  ['tcp:0.0.0.0:1,server', false, false, false],
  ['tcp::1,server', false, false, false],
  ['tcp:[::]:1,server', false, false, false],
  ['tcp:10.0.0.1:1', true, false, true],
  ['tcp:10.0.0.1:1', false, true, true],
  ['tcp:127.0.0.1:1', false, true, true],
  ['unix:/run/link', false, true, true],
])('%s, with a key: %s, insecure: %s: may be used: %s', (text, withKey, insecure, may) => {
  const check = () => checkCarriage(parseEndpoint(text), withKey ? KEY : undefined, insecure);
  if (may) expect(check()).toBe(insecure && text === 'tcp:10.0.0.1:1');
  else expect(check).toThrow(expect.objectContaining({ code: 'ELINKOPEN' }));
});
