/**
 * Names in use in one scope: a function with its loops, or the body of a fused operation. Hands out new ones in
 * constant time: `matmul`, `matmul.1`, `matmul.2`, ...
 */
export class NameScope {
  private readonly taken = new Set<string>();
  private readonly nextNumber = new Map<string, number>();

  /** `fresh` also keeps away from names that `avoid` holds for true: they may be reserved later. */
  constructor(
    taken: Iterable<string> = [],
    private readonly avoid: (name: string) => boolean = () => false,
  ) {
    for (const name of taken) this.taken.add(name);
  }

  has(name: string): boolean {
    return this.taken.has(name);
  }

  /** Marks a name as used; false when it already was. */
  reserve(name: string): boolean {
    if (this.taken.has(name)) return false;
    this.taken.add(name);
    return true;
  }

  /** A name that was not used: the hint itself, otherwise the hint (without a number it already has) and the next number. */
  fresh(hint: string): string {
    if (!this.avoid(hint) && this.reserve(hint)) return hint;
    const base = hint.replace(/\.[0-9]+$/, '');
    for (let number = this.nextNumber.get(base) ?? 1; ; number += 1) {
      const name = `${base}.${number}`;
      if (!this.avoid(name) && this.reserve(name)) {
        this.nextNumber.set(base, number + 1);
        return name;
      }
    }
  }
}

/** How errors call a value: `%x`; weights, whose values are named after them, `@fc.weight`. */
export function displayName(name: string): string {
  return name.startsWith('@') ? name : `%${name}`;
}
