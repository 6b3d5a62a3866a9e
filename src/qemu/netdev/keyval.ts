// QEMU's syntax of options on a command line: `WORD,name=value,name=value`, a comma inside a value doubled.

/** The parts between single commas, with doubled commas made one. */
export function splitOptions(text: string): string[] {
  const parts = [''];
  for (let i = 0; i < text.length; i++) {
    const comma = text[i] === ',';
    if (comma && text[i + 1] !== ',') {
      parts.push('');
      continue;
    }
    if (comma) i++;
    parts[parts.length - 1] += text[i];
  }
  return parts;
}

/** `name=value`; a part without `=` is a name that is on. */
export function splitPair(part: string): [string, string] {
  const at = part.indexOf('=');
  return at < 0 ? [part, 'on'] : [part.slice(0, at), part.slice(at + 1)];
}

/** QEMU's syntax of an id: letters, digits, and - . _, beginning with a letter. */
export function isIdentifier(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9._-]*$/.test(text);
}
