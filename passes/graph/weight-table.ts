import { equalWeightSources } from '../../ir/graph/equal.js';
import type { TensorType, WeightDeclaration, WeightPart, WeightSource } from '../../ir/graph/graph.js';
import { NameScope } from '../../ir/graph/names.js';
import type { InferContext } from '../../ir/graph/op-table.js';
import { equalTypes } from '../../ir/graph/types.js';

/** The weights of a module while a pass adds packed ones. */
export class WeightTable implements InferContext {
  private readonly table: Map<string, WeightDeclaration>;
  private readonly names: NameScope;

  constructor(declarations: ReadonlyMap<string, WeightDeclaration>) {
    this.table = new Map(declarations);
    this.names = new NameScope(declarations.keys());
  }

  get declarations(): ReadonlyMap<string, WeightDeclaration> {
    return this.table;
  }

  get(name: string): WeightDeclaration | undefined {
    return this.table.get(name);
  }

  weightType(name: string): TensorType | undefined {
    return this.table.get(name)?.type;
  }

  /** The name of a weight with that type and source: `name` when it is the same already or not taken, else a numbered one. */
  declare(name: string, type: TensorType, source: WeightSource): string {
    const taken = this.table.get(name);
    if (taken !== undefined && equalTypes(taken.type, type) && equalWeightSources(taken.source, source)) return name;
    const fresh = this.names.fresh(name);
    this.table.set(fresh, { name: fresh, type, source });
    return fresh;
  }
}

/** The weight as an ingredient of a packed one. */
export function weightPart(declaration: WeightDeclaration): WeightPart {
  return { shape: declaration.type.shape.map((dim) => dim.constant as number), source: declaration.source };
}
