// Reads a configuration file. YAML 1.2; JSON is a part of it.

import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml';
import { OperatorError } from '../core/errors';
import type { Path } from './errors';

export interface ConfigSource {
  value: unknown;
  /** Says where in the file a key stands, as far as it stands there: `colo.yaml:12`. */
  place(path: Path): string;
}

/** Throws OperatorError. */
export function readConfigFile(file: string): ConfigSource {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new OperatorError('ECONFIG', `cannot read the configuration: ${(cause as Error).message}`, undefined, {
      cause,
    });
  }
  return parseConfig(text, file);
}

/** Throws OperatorError. `name` is what errors call the text. */
export function parseConfig(text: string, name: string): ConfigSource {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const error = document.errors[0];
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new OperatorError('ECONFIG', `${name}:${line}:${col}: ${error.message}`, 'the file must be YAML or JSON');
  }
  let value: unknown;
  try {
    value = document.toJS() ?? {};
  } catch (cause) {
    // An alias without an anchor, or aliases that multiply without end.
    throw new OperatorError('ECONFIG', `${name}: ${(cause as Error).message}`, 'the file must be YAML or JSON', {
      cause,
    });
  }
  return {
    value,
    place: (path) => {
      const offset = offsetOf(document, path);
      return offset === undefined ? name : `${name}:${lines.linePos(offset).line}`;
    },
  };
}

/** Where a key, or the nearest thing around it, begins. */
function offsetOf(document: Document, path: Path): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isNode(item.key) && item.key.toJS(document) === key);
      if (pair && isNode(pair.key) && pair.key.range) return pair.key.range[0];
    }
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return undefined;
}
