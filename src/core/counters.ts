// Counters live in one Float64Array so that the packet path only adds to a slot; names are for readers of it.

export class Counters<Name extends string> {
  readonly values: Float64Array;

  constructor(readonly names: readonly Name[]) {
    this.values = new Float64Array(names.length);
  }

  /** A plain object for status replies and metrics; never called per packet. */
  snapshot(): Record<Name, number> {
    const out = {} as Record<Name, number>;
    for (let i = 0; i < this.names.length; i++) out[this.names[i]!] = this.values[i]!;
    return out;
  }
}

/** Of each name its slot in `values`. */
export function slotsOf<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name, slot) => [name, slot])) as Record<Name, number>;
}
