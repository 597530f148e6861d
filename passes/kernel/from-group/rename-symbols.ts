import { Dim } from '../../../ir/dim.js';
import type { Operation, Value } from '../../../ir/graph/graph.js';
import type { KernelGroup, MemoryLayout } from './group.js';

/**
 * The group with its size symbols called `s0`, `s1`, ... in order of appearance, so that none is taken for an axis or a
 * term of the kernel (users call sizes `m` and `n` too), and what each new name stands for.
 */
export function renameSymbols(group: KernelGroup): {
  readonly group: KernelGroup;
  readonly original: ReadonlyMap<string, string>;
} {
  const renamer = new SymbolRenamer();
  return { group: renamer.renameGroup(group), original: renamer.original };
}

class SymbolRenamer {
  readonly original = new Map<string, string>();
  private readonly replacements: Record<string, Dim> = {};
  private readonly values = new Map<Value, Value>();

  renameGroup({ anchor, body, operands, results }: KernelGroup): KernelGroup {
    const layouts = [operands, results].map((list) => list.map((layout) => this.renameLayout(layout)));
    const parameters = body.parameters.map((value) => this.renameValue(value));
    const operations = body.operations.map((operation) => this.renameOperation(operation));
    const renamed = { parameters, operations, results: body.results.map((value) => this.renameValue(value)) };
    return { anchor, body: renamed, operands: layouts[0] ?? [], results: layouts[1] ?? [] };
  }

  private renameLayout(layout: MemoryLayout): MemoryLayout {
    return { ...layout, shape: this.renameAll(layout.shape), strides: this.renameAll(layout.strides) };
  }

  private renameValue(value: Value): Value {
    let renamed = this.values.get(value);
    if (renamed === undefined) {
      renamed = { name: value.name, type: { ...value.type, shape: this.renameAll(value.type.shape) } };
      this.values.set(value, renamed);
    }
    return renamed;
  }

  private renameOperation(operation: Operation): Operation {
    const attributes = Object.entries(operation.attributes).map(([name, attribute]: [string, unknown]) => {
      if (attribute instanceof Dim) return [name, this.rename(attribute)] as const;
      const isList = Array.isArray(attribute) && attribute.every((part) => part instanceof Dim);
      return [name, isList ? this.renameAll(attribute as readonly Dim[]) : attribute] as const;
    });
    const operands = operation.operands.map((value) => this.renameValue(value));
    const results = operation.results.map((value) => this.renameValue(value));
    // Dims stay dims and everything else stays what it was, so the attributes still belong to the kind.
    const renamed = Object.fromEntries(attributes) as unknown as typeof operation.attributes;
    return { ...operation, attributes: renamed, operands, results } as Operation;
  }

  private renameAll(dims: readonly Dim[]): Dim[] {
    return dims.map((dim) => this.rename(dim));
  }

  private rename(dim: Dim): Dim {
    if (dim.constant !== undefined) return dim;
    for (const symbol of dim.symbols) {
      if (symbol in this.replacements) continue;
      const name = `s${this.original.size}`;
      this.original.set(name, symbol);
      this.replacements[symbol] = Dim.symbol(name);
    }
    return dim.substitute(this.replacements);
  }
}
