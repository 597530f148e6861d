import { Dim } from '../../ir/dim.js';
import type { Block, Operation, Value } from '../../ir/graph/graph.js';
import { sameShape } from '../kernel/from-group/group.js';
import { part, viewBefore } from './views.js';
import type { View } from './views.js';

/** Makes a dense storage for a value. */
export type Allocate = (value: Value, label: string, isResult: boolean) => View;

/**
 * Where values should be written so that later operations find them in place: a part of a concatenation in the whole, a
 * value that is only read transposed in the transposed order, a function's result in the result's storage.
 */
export class Destinations {
  private readonly readers = new Map<Value, Operation[]>();
  private readonly functionResults = new Set<Value>();
  private readonly blockResults = new Set<Value>();
  private readonly decided = new Map<Value, View | undefined>();

  constructor(
    body: Block,
    private readonly allocate: Allocate,
  ) {
    const walk = (block: Block): void => {
      for (const operation of block.operations) {
        for (const operand of operation.operands) {
          this.readers.set(operand, [...(this.readers.get(operand) ?? []), operation]);
        }
        if (operation.kind === 'loop' && operation.body !== undefined) walk(operation.body);
      }
      for (const result of block.results) this.blockResults.add(result);
    };
    walk(body);
    for (const result of body.results) this.functionResults.add(result);
  }

  /** The wanted place of a value about to be produced, or undefined when any place will do. Allocates at most once. */
  take(value: Value): View | undefined {
    if (!this.decided.has(value)) this.decided.set(value, this.decide(value));
    return this.decided.get(value);
  }

  /** Where a concatenation lies: a place in which its own shape has strides, so that parts of it have. Allocates at most once. */
  wholeOf(join: Operation): View {
    const result = join.results[0] as Value;
    const wanted = this.take(result);
    const hasParts = wanted !== undefined && sameShape(wanted.shape, result.type.shape);
    return hasParts ? wanted : this.allocateOnce(result);
  }

  private decide(value: Value): View | undefined {
    if (this.functionResults.has(value)) return this.allocate(value, value.name, true);
    const readers = this.readers.get(value) ?? [];
    const joins = readers.filter(({ kind }) => kind === 'concat');
    const join = joins[0];
    if (joins.length === 1 && join?.kind === 'concat') {
      const whole = this.wholeOf(join);
      const slot = join.operands.indexOf(value);
      const start = join.operands
        .slice(0, slot)
        .reduce((sum, operand) => sum.add(operand.type.shape[join.attributes.axis] as Dim), Dim.of(0));
      return part(whole, join.attributes.axis, start, value.type.shape);
    }
    const only = readers.length === 1 && !this.blockResults.has(value) ? readers[0] : undefined;
    if (only === undefined || (only.kind !== 'reshape' && only.kind !== 'transpose')) return undefined;
    const result = only.results[0] as Value;
    const wanted = this.take(result) ?? (this.hasTranspose(only) ? this.allocateOnce(result) : undefined);
    return wanted === undefined ? undefined : viewBefore(only, wanted, value.type.shape);
  }

  /** Following single readers through views, does a transpose come? Then the order at its end is the one to write in. */
  private hasTranspose(operation: Operation): boolean {
    if (operation.kind === 'transpose') return true;
    const result = operation.results[0] as Value;
    const readers = this.readers.get(result) ?? [];
    const only = readers.length === 1 && !this.blockResults.has(result) ? readers[0] : undefined;
    return only !== undefined && (only.kind === 'reshape' || only.kind === 'transpose') && this.hasTranspose(only);
  }

  private allocateOnce(value: Value): View {
    const view = this.allocate(value, value.name, false);
    this.decided.set(value, view);
    return view;
  }
}
