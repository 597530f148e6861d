/** Most bytes that are kept: the smaller arrays of the largest matrices together. */
const mostBytes = 2 ** 28;

interface Kept {
  /** How many rows, from the first on, are there. */
  known: number;
  readonly rows: number;
  readonly byteLength: number;
  readonly arrays: Map<string, Uint8Array>;
}

/**
 * Arrays that came up while another of the same rows was read (scales beside codes), until they are asked for: plans load one array after
 * the other, and one pass over the file gives all. Row-major, rows of as many bytes.
 */
export class KeptArrays {
  private readonly entries = new Map<string, Kept>();
  private byteLength = 0;

  /**
   * Keeps rows `first` to `first + count - 1`, if all rows before are there.
   * @param rows of the whole arrays
   */
  keep(key: string, first: number, count: number, rows: number, arrays: ReadonlyMap<string, Uint8Array>): void {
    // Whoever begins anew will ask for all of them again.
    const entry = first === 0 ? this.begin(key, count, rows, arrays) : this.entries.get(key);
    if (entry === undefined || first > entry.known) return;
    for (const [name, whole] of entry.arrays) {
      const part = arrays.get(name);
      if (part !== undefined) whole.set(part, (part.byteLength / count) * first);
    }
    entry.known = Math.max(entry.known, first + count);
  }

  /** Some rows of an array, if they are there. With the last row's all of it are forgotten. */
  take(key: string, name: string, first: number, count: number): Uint8Array | undefined {
    const entry = this.entries.get(key);
    const whole = entry?.arrays.get(name);
    if (entry === undefined || whole === undefined || first + count > entry.known) return undefined;
    const rowBytes = whole.byteLength / entry.rows;
    const taken = whole.slice(first * rowBytes, (first + count) * rowBytes);
    if (first + count === entry.rows) entry.arrays.delete(name);
    if (entry.arrays.size === 0) this.forget(key);
    return taken;
  }

  private begin(key: string, count: number, rows: number, parts: ReadonlyMap<string, Uint8Array>): Kept | undefined {
    this.forget(key);
    const arrays = new Map([...parts].map(([name, part]) => [name, new Uint8Array((part.byteLength / count) * rows)]));
    const byteLength = [...arrays.values()].reduce((sum, array) => sum + array.byteLength, 0);
    if (count === 0 || byteLength > mostBytes) return undefined;
    // Those that nobody asked for, the oldest first.
    for (const other of this.entries.keys()) if (this.byteLength + byteLength > mostBytes) this.forget(other);
    const entry = { known: 0, rows, byteLength, arrays };
    this.entries.set(key, entry);
    this.byteLength += byteLength;
    return entry;
  }

  private forget(key: string): void {
    this.byteLength -= this.entries.get(key)?.byteLength ?? 0;
    this.entries.delete(key);
  }
}
