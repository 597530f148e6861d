/** Gives each name of a kernel one legal identifier of a language: itself where that is free, otherwise with `_` behind it. */
export class KernelNames {
  private readonly legalNames = new Map<string, string>();
  private readonly taken: Set<string>;

  /**
   * @param identifier an identifier of the language as near to a wish as one may be
   * @param reserved what no name of the kernel may be
   * @param ownNames every name of the kernel, so that invented names stay clear of them
   */
  constructor(
    private readonly identifier: (wish: string) => string,
    reserved: Iterable<string>,
    ownNames: Iterable<string>,
  ) {
    this.taken = new Set(reserved);
    for (const name of ownNames) this.legal(name);
  }

  legal(name: string): string {
    let known = this.legalNames.get(name);
    if (known === undefined) {
      known = this.invent(name);
      this.legalNames.set(name, known);
    }
    return known;
  }

  /** A name that nothing else has. */
  invent(wish: string): string {
    let name = this.identifier(wish);
    while (this.taken.has(name)) name += '_';
    this.taken.add(name);
    return name;
  }
}
