// The secondary's number of its present epoch, in memory that outlives the process: after a restart the primary knows
// by it whether a checkpoint was obeyed meanwhile. Another memory is another secondary.

const MAGIC_AT = 0;
const EPOCH_AT = 1;
const ID_AT = 2;
const ID_WORDS = 4;
export const KEPT_EPOCH_WORDS = ID_AT + ID_WORDS;

const MAGIC = 0x45504b31;

export class KeptEpoch {
  /** `words`: KEPT_EPOCH_WORDS of them, zeros or what an earlier process has left. */
  constructor(
    private readonly words: Uint32Array,
    private readonly newUuid: () => string,
  ) {
    if (words[MAGIC_AT] === MAGIC) return;
    this.renew();
    words[EPOCH_AT] = 0;
    words[MAGIC_AT] = MAGIC;
  }

  /** A UUID. */
  get memory(): string {
    const id = Array.from(this.words.subarray(ID_AT, ID_AT + ID_WORDS), (word) => word.toString(16).padStart(8, '0'));
    return id.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }

  get value(): number {
    return this.words[EPOCH_AT]!;
  }

  next(): number {
    return ++this.words[EPOCH_AT]!;
  }

  /** Another secondary: who has not heard of it must not take its next epoch for a checkpoint's. */
  renew(): void {
    const digits = this.newUuid().replaceAll('-', '');
    for (let i = 0; i < ID_WORDS; i++) this.words[ID_AT + i] = Number.parseInt(digits.slice(8 * i, 8 * i + 8), 16);
  }
}
