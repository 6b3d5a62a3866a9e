// What a value of a configuration may be: how it is read, and what is said when it is something else. A shape reads a value into what
// it means, and complains of everything that is wrong with it: each key, and what is allowed there.

import { type Complaint, missing, type Path, unknownKey, wrong } from './errors';

/** What must be there instead, as what follows the key ("must be ..."), or the key of an object (`at`) that is to blame. */
class Wrong {
  constructor(
    readonly allowed: string,
    readonly at?: string,
  ) {}
}

type Convert<T> = (value: unknown, path: Path, complaints: Complaint[]) => T | Wrong;

export type Parsed<T> = { value: T; complaints?: undefined } | { value?: undefined; complaints: readonly Complaint[] };

/** What values of a shape mean. */
export type Meaning<S> = S extends Shape<infer T> ? T : never;

export class Shape<T> {
  constructor(
    readonly allowed: string,
    readonly convert: Convert<T>,
    /** What a value that is left out means; without it none may be. */
    private readonly absent?: (path: Path, complaints: Complaint[]) => T,
  ) {}

  parse(value: unknown): Parsed<T> {
    const complaints: Complaint[] = [];
    const read = this.read(value, [], complaints);
    return complaints.length > 0 ? { complaints } : { value: read };
  }

  /** The result means something only where nothing was complained of. */
  read(value: unknown, path: Path, complaints: Complaint[]): T {
    if (value === undefined) {
      if (this.absent !== undefined) return this.absent(path, complaints);
      complaints.push(missing(path, this.allowed));
      return undefined as T;
    }
    const read = this.convert(value, path, complaints);
    if (!(read instanceof Wrong)) return read;
    const { allowed, at } = read;
    if (at === undefined) complaints.push(wrong(path, allowed, value));
    else complaints.push(wrong([...path, at], allowed, (value as Record<string, unknown>)[at]));
    return undefined as T;
  }

  optional(): Shape<T | undefined> {
    return new Shape<T | undefined>(this.allowed, this.convert, () => undefined);
  }

  /** `value` as it would be written. */
  default(value: unknown): Shape<T> {
    return new Shape(this.allowed, this.convert, (path, complaints) => this.read(value, path, complaints));
  }

  /** A further rule for what is right so far. `at`: the key of an object that is to blame. */
  where(holds: (value: T) => boolean, allowed: string, at?: string): Shape<T> {
    return new Shape(
      this.allowed,
      (value, path, complaints) => {
        const before = complaints.length;
        const read = this.convert(value, path, complaints);
        return read instanceof Wrong || complaints.length > before || holds(read) ? read : new Wrong(allowed, at);
      },
      this.absent,
    );
  }
}

/** `otherwise`: what is said of a text without the pattern. */
export function text(allowed: string, pattern?: RegExp, otherwise = allowed): Shape<string> {
  return new Shape(allowed, (value) => {
    if (typeof value !== 'string') return new Wrong(allowed);
    return pattern === undefined || pattern.test(value) ? value : new Wrong(otherwise);
  });
}

export function number(allowed: string): Shape<number> {
  return new Shape(allowed, (value) => (typeof value === 'number' && Number.isFinite(value) ? value : new Wrong(allowed)));
}

export function whole(min: number, max: number, allowed = `must be a whole number from ${min} to ${max}`): Shape<number> {
  return new Shape(allowed, (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max ? (value as number) : new Wrong(allowed),
  );
}

const UNITS: Record<string, number> = { '': 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** A number of bytes, or the same with a unit: 33554432, 32M, 32MiB. */
export function byteSize(min: number, max: number): Shape<number> {
  const bytes = whole(min, max);
  return new Shape(bytes.allowed, (value, path, complaints) => {
    const parts = typeof value === 'string' ? /^(\d+) *([kmg]?)(i?b)?$/i.exec(value) : null;
    return bytes.convert(parts ? Number(parts[1]) * UNITS[parts[2]!.toLowerCase()]! : value, path, complaints);
  });
}

export function oneOf<const T extends string | number | boolean>(
  values: readonly T[],
  allowed = `must be one of ${values.join(', ')}`,
): Shape<T> {
  return new Shape(allowed, (value) => (values.includes(value as T) ? (value as T) : new Wrong(allowed)));
}

export const flag = oneOf([true, false], 'must be true or false');
export const onOff = oneOf(['on', 'off', true, false], 'must be on or off');

/** The first of two shapes that a value has. */
export function either<A, B>(first: Shape<A>, second: Shape<B>, allowed: string): Shape<A | B> {
  return new Shape<A | B>(allowed, (value) => {
    const one = first.parse(value);
    if (one.complaints === undefined) return one.value;
    const other = second.parse(value);
    return other.complaints === undefined ? other.value : new Wrong(allowed);
  });
}

/** `bounds`: how many entries, and what is said of fewer or more. */
export function list<T>(entry: Shape<T>, allowed: string, ...bounds: readonly [min: number, max: number, allowed: string][]): Shape<T[]> {
  return new Shape(allowed, (value, path, complaints) => {
    if (!Array.isArray(value)) return new Wrong(allowed);
    for (const [min, max, what] of bounds) if (value.length < min || value.length > max) return new Wrong(what);
    return value.map((one, i) => entry.read(one, [...path, i], complaints));
  });
}

type Optional<S> = { [K in keyof S]: undefined extends Meaning<S[K]> ? K : never }[keyof S];
type ObjectOf<S> = { [K in Exclude<keyof S, Optional<S>>]: Meaning<S[K]> } & { [K in Optional<S>]?: Meaning<S[K]> };

const AN_OBJECT = 'must be an object';

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** These keys and no others; where `others` is true those are somebody else's. */
export function object<S extends Record<string, Shape<unknown>>>(keys: S, others = false): Shape<ObjectOf<S>> {
  return new Shape<ObjectOf<S>>(AN_OBJECT, (value, path, complaints) => {
    if (!isObject(value)) return new Wrong(AN_OBJECT);
    const out: Record<string, unknown> = {};
    for (const [name, shape] of Object.entries(keys)) {
      const read = shape.read(value[name], [...path, name], complaints);
      if (read !== undefined) out[name] = read;
    }
    for (const name of others ? [] : Object.keys(value)) {
      if (!Object.hasOwn(keys, name)) complaints.push(unknownKey([...path, name], Object.keys(keys)));
    }
    return out as ObjectOf<S>;
  });
}

/** Any keys, all of the same shape. */
export function record<T>(entry: Shape<T>): Shape<Record<string, T>> {
  return new Shape(AN_OBJECT, (value, path, complaints) => {
    if (!isObject(value)) return new Wrong(AN_OBJECT);
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, entry.read(one, [...path, name], complaints)]));
  });
}
