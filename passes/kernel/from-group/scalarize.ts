import { Dim } from '../../../ir/dim.js';
import { Flux2cError, unreachable } from '../../../ir/diagnostics.js';
import { isFloat } from '../../../ir/dtype.js';
import type { OpKind } from '../../../ir/graph/attributes.js';
import type { Operation, Value } from '../../../ir/graph/graph.js';
import { roundToDType } from '../../../ir/graph/ops/rounding.js';
import type { IndexCondition, TileBuffer, TileExpression } from '../../../ir/kernel/tile.js';
import type { IndexSpace } from './index-space.js';
import { addressOf, denseStrides } from './group.js';
import type { KernelGroup, MemoryLayout } from './group.js';
import { binary, constantOf, convert, indexNumber, number, roundTo, scalarOf, unary } from './tile-expressions.js';

/** Produces an element of a value at given coordinates; anchors register these for what they compute. */
export type ElementRule = (index: readonly Dim[], conditions: readonly IndexCondition[]) => TileExpression;

/**
 * Pulls elements through the operations of a group: the element of a result at some coordinates becomes an expression over
 * loads. Views and data movement only rewrite coordinates; what is guarded (a concat's side, a pad's inside) guards its loads.
 */
export class Scalarizer {
  private readonly producers = new Map<Value, { readonly operation: Operation; readonly place: number }>();
  private readonly parameters = new Map<Value, { readonly name: string; readonly layout: MemoryLayout }>();
  private readonly rules = new Map<Value, ElementRule>();
  private readonly memo = new Map<string, TileExpression>();
  private readonly ids = new Map<Value, number>();
  private tileCounter = 0;
  private exchangedAxis: string | undefined;

  constructor(
    group: KernelGroup,
    readonly space: IndexSpace,
  ) {
    const { body } = group;
    body.parameters.forEach((value, place) => {
      const layout = group.operands[place] as MemoryLayout;
      this.parameters.set(value, { name: `a${layout.within?.operand ?? place}`, layout });
    });
    for (const operation of body.operations) {
      operation.results.forEach((value, place) => this.producers.set(value, { operation, place }));
    }
  }

  /** What to call when an anchor's own result is asked for. */
  define(value: Value, rule: ElementRule): void {
    this.rules.set(value, rule);
  }

  /** From now on another rule holds; what was pulled before stays as it is. */
  redefine(value: Value, rule: ElementRule): void {
    this.rules.set(value, rule);
    this.memo.clear();
  }

  /** Pairs of neighbours along the axis are held together: the other of a pair is exchanged, not read again. */
  exchangeAlong(axis: string): void {
    this.exchangedAxis = axis;
  }

  producerOf(value: Value): Operation | undefined {
    return this.producers.get(value)?.operation;
  }

  isParameter(value: Value): boolean {
    return this.parameters.has(value);
  }

  freshTile(hint: string): string {
    return `${hint}${this.tileCounter++}`;
  }

  elementOf(value: Value, index: readonly Dim[], conditions: readonly IndexCondition[] = []): TileExpression {
    const key = `${this.idOf(value)} ${index.map(({ text }) => text).join(',')} ${conditions
      .map(({ kind, left, right }) => `${kind} ${left.text} ${right.text}`)
      .join('&')}`;
    const known = this.memo.get(key);
    if (known !== undefined) return known;
    const expression = this.compute(value, index, conditions);
    this.memo.set(key, expression);
    return expression;
  }

  private compute(value: Value, index: readonly Dim[], conditions: readonly IndexCondition[]): TileExpression {
    const rule = this.rules.get(value);
    if (rule !== undefined) return roundTo(value.type.dtype, rule(index, conditions));
    const parameter = this.parameters.get(value);
    if (parameter !== undefined) {
      const { layout } = parameter;
      const at = addressOf(this.space, layout, value.type.shape, index).add(layout.within?.offset ?? 0);
      const element: TileExpression = { kind: 'load', buffer: parameter.name, index: at, conditions };
      // Booleans are words in memory.
      return value.type.dtype === 'bool' ? convert('bool', element) : element;
    }
    const produced = this.producers.get(value);
    if (produced === undefined) throw new Error(`internal: %${value.name} has no producer in its group`);
    const { operation, place } = produced;
    const element = this.apply(operation, place, index, conditions);
    if (moving.has(operation.kind)) return element;
    expectComputable(operation, value);
    return roundTo(value.type.dtype, element);
  }

  private apply(
    operation: Operation,
    place: number,
    index: readonly Dim[],
    conditions: readonly IndexCondition[],
  ): TileExpression {
    const { space } = this;
    const operand = (which: number): Value => operation.operands[which] as Value;
    const result = operation.results[place] as Value;
    const pointwise = (which: number): TileExpression =>
      this.elementOf(operand(which), broadcastIndex(index, result, operand(which)), conditions);
    switch (operation.kind) {
      case 'constant': {
        const { values } = operation.attributes;
        if (values.length !== 1) throw new Error('internal: a dense constant reached a kernel');
        return constantOf(result.type.dtype, roundToDType(result.type.dtype, values[0] as number));
      }
      case 'iota':
        return { kind: 'index', index: index[0] as Dim };
      case 'neg':
      case 'abs':
      case 'exp':
      case 'log':
      case 'sqrt':
      case 'rsqrt':
      case 'sin':
      case 'cos':
      case 'tanh':
      case 'floor':
      case 'sigmoid':
      case 'silu':
      case 'gelu':
      case 'erf':
        return unary(operation.kind, pointwise(0));
      case 'div': {
        const { dtype } = result.type;
        if (isFloat(dtype)) return binary('div', pointwise(0), pointwise(1));
        // An integer divided by 0 is itself.
        const [zero, one] = [constantOf(dtype, 0), constantOf(dtype, 1)];
        const by = pointwise(1);
        const safe: TileExpression = { kind: 'select', condition: binary('equal', by, zero), yes: one, no: by };
        return binary('div', pointwise(0), safe);
      }
      case 'add':
      case 'sub':
      case 'mul':
      case 'min':
      case 'max':
      case 'pow':
      case 'less':
      case 'less_equal':
        return binary(operation.kind, pointwise(0), pointwise(1));
      case 'equal': {
        if (operand(0).type.dtype !== 'bool') return binary('equal', pointwise(0), pointwise(1));
        return binary('equal', convert('i32', pointwise(0)), convert('i32', pointwise(1)));
      }
      case 'cast': {
        const { dtype } = operation.attributes;
        return convert(scalarOf(dtype), pointwise(0));
      }
      case 'select':
        return { kind: 'select', condition: pointwise(0), yes: pointwise(1), no: pointwise(2) };
      case 'broadcast':
        return pointwise(0);
      case 'reshape': {
        const { shape } = operand(0).type;
        const flat = space.linearize(index, denseStrides(result.type.shape));
        return this.elementOf(operand(0), space.delinearize(flat, shape), conditions);
      }
      case 'transpose': {
        const { permutation } = operation.attributes;
        const source = new Array<Dim>(index.length);
        permutation.forEach((from, to) => (source[from] = index[to] as Dim));
        return this.elementOf(operand(0), source, conditions);
      }
      case 'slice':
        return this.elementOf(
          operand(0),
          moved(index, operation.attributes.axis, operation.attributes.start),
          conditions,
        );
      case 'split': {
        const { axis, sizes } = operation.attributes;
        const start = sizes.slice(0, place).reduce((sum, size) => sum.add(size), Dim.of(0));
        return this.elementOf(operand(0), moved(index, axis, start), conditions);
      }
      case 'concat': {
        const { axis } = operation.attributes;
        const at = index[axis] as Dim;
        let start = Dim.of(0);
        const sides = operation.operands.map((side) => {
          const end = start.add(side.type.shape[axis] as Dim);
          const part = { side, start, end };
          start = end;
          return part;
        });
        let chosen: TileExpression | undefined;
        for (const { side, start: from, end } of [...sides].reverse()) {
          const below: IndexCondition = { kind: 'less', left: at, right: end };
          const above: IndexCondition = { kind: 'not_less', left: at, right: from };
          const guards = [...conditions, ...(from.constant === 0 ? [] : [above]), below];
          const element = this.elementOf(side, moved(index, axis, from.mul(-1)), guards);
          chosen = chosen === undefined ? element : { kind: 'when', conditions: [below], yes: element, no: chosen };
        }
        return chosen as TileExpression;
      }
      case 'pad': {
        const { low, value } = operation.attributes;
        const shape = operand(0).type.shape;
        const source = index.map((at, axis) => at.sub(low[axis] ?? 0));
        const guards: IndexCondition[] = source.flatMap((at, axis): IndexCondition[] => [
          { kind: 'not_less', left: at, right: Dim.of(0) },
          { kind: 'less', left: at, right: shape[axis] as Dim },
        ]);
        const inside = this.elementOf(operand(0), source, [...conditions, ...guards]);
        const outside = constantOf(result.type.dtype, value);
        return value === 0 && this.isZeroOutside(operand(0))
          ? inside
          : { kind: 'when', conditions: guards, yes: inside, no: outside };
      }
      case 'upsample_nearest': {
        const by = Dim.of(operation.attributes.factor);
        const source = index.map((at, axis) => (axis === 1 || axis === 2 ? space.floor(at, by) : at));
        return this.elementOf(operand(0), source, conditions);
      }
      case 'gather': {
        const ids = operand(1);
        const layout = this.parameters.get(ids);
        if (layout === undefined) throw new Error('internal: gather indices must be in memory');
        const rank = ids.type.shape.length;
        const at = addressOf(space, layout.layout, ids.type.shape, index.slice(0, rank));
        const row = space.loaded(layout.name, at, operand(0).type.shape[0] as Dim);
        return this.elementOf(operand(0), [row, ...index.slice(rank)], conditions);
      }
      case 'dequantize':
        return this.decode(operation, index, conditions);
      case 'rope':
        return this.rotate(operation, index, conditions);
      case 'group_apply': {
        const channels = result.type.shape.at(-1) as Dim;
        const size = channels.divideExactly(operation.attributes.groups) as Dim;
        const channel = index.at(-1) as Dim;
        const group = space.floor(channel, size);
        const mean = this.elementOf(operand(1), [index[0] as Dim, group, Dim.of(0)], conditions);
        const scale = this.elementOf(operand(1), [index[0] as Dim, group, Dim.of(1)], conditions);
        const x = this.elementOf(operand(0), index, conditions);
        const normal = binary('mul', binary('sub', x, mean), scale);
        const weight = this.elementOf(operand(2), [channel], conditions);
        return binary('add', binary('mul', normal, weight), this.elementOf(operand(3), [channel], conditions));
      }
      case 'weight':
      case 'matmul':
      case 'conv2d':
      case 'attention':
      case 'layer_norm':
      case 'rms_norm':
      case 'softmax':
      case 'quantize_rows':
      case 'group_norm':
      case 'group_moments':
      case 'combine_moments':
      case 'reduce_sum':
      case 'reduce_mean':
      case 'reduce_max':
      case 'rope_table':
      case 'timestep_embedding':
      case 'loop':
      case 'fused':
        throw new Error(`internal: ${operation.kind} cannot be pulled into this kernel`);
      default:
        return unreachable(operation, 'operation');
    }
  }

  /** A column's bits and its group's numbers, from where each field has them. */
  private decode(
    { operands, attributes, results }: Extract<Operation, { kind: 'dequantize' }>,
    [row, column]: readonly Dim[],
    conditions: readonly IndexCondition[],
  ): TileExpression {
    const columns = results[0]?.type.shape[1] as Dim;
    const fields = operands.map((array) => {
      const columnsOfNumber = columns.divideExactly(array.type.shape[1] as Dim) as Dim;
      return this.elementOf(array, [row as Dim, this.space.floor(column as Dim, columnsOfNumber)], conditions);
    });
    return { kind: 'decode', encoding: attributes.encoding, column: column as Dim, fields };
  }

  /** out[2i] = x[2i]·cos - x[2i+1]·sin, out[2i+1] = x[2i+1]·cos + x[2i]·sin; `half` pairs i with i + D/2. */
  private rotate(
    operation: Extract<Operation, { kind: 'rope' }>,
    index: readonly Dim[],
    conditions: readonly IndexCondition[],
  ): TileExpression {
    const [x, cos, sin] = operation.operands as readonly [Value, Value, Value];
    const place = index.at(-1) as Dim;
    const position = index[1] as Dim;
    const size = x.type.shape.at(-1) as Dim;
    const half = size.divideExactly(2) as Dim;
    const { space } = this;
    const own = this.elementOf(x, index, conditions);
    if (operation.attributes.style === 'interleaved') {
      const pair = space.floor(place, Dim.of(2));
      const axis = this.exchangedAxis;
      const other: TileExpression =
        axis !== undefined && place.equals(Dim.symbol(axis))
          ? { kind: 'exchange', axis, mask: 1, operand: own }
          : this.elementOf(x, [...index.slice(0, -1), space.exclusiveOr(place, 1)], conditions);
      const odd = space.modulo(place, Dim.of(2));
      // -1 for even places, 1 for odd ones
      const sign =
        odd.constant === undefined
          ? binary('sub', binary('mul', number(2), indexNumber(odd)), number(1))
          : number(2 * odd.constant - 1);
      const turned = binary('mul', binary('mul', sign, other), this.elementOf(sin, [position, pair], conditions));
      return binary('add', binary('mul', own, this.elementOf(cos, [position, pair], conditions)), turned);
    }
    const angle = space.modulo(place, half);
    const other = this.elementOf(x, [...index.slice(0, -1), space.modulo(place.add(half), size)], conditions);
    const first: IndexCondition = { kind: 'less', left: place, right: half };
    const sign: TileExpression = { kind: 'when', conditions: [first], yes: number(-1), no: number(1) };
    const turned = binary('mul', binary('mul', sign, other), this.elementOf(sin, [position, angle], conditions));
    return binary('add', binary('mul', own, this.elementOf(cos, [position, angle], conditions)), turned);
  }

  /** A guarded load gives zero by itself; anything computed from it may not. */
  private isZeroOutside(value: Value): boolean {
    const operation = this.producers.get(value)?.operation;
    if (operation === undefined) return this.parameters.has(value);
    return ['reshape', 'transpose', 'slice', 'split', 'upsample_nearest'].includes(operation.kind)
      ? this.isZeroOutside(operation.operands[0] as Value)
      : false;
  }

  private idOf(value: Value): number {
    const known = this.ids.get(value);
    if (known !== undefined) return known;
    this.ids.set(value, this.ids.size);
    return this.ids.size - 1;
  }
}

/** What makes no new numbers. */
const moving: ReadonlySet<OpKind> = new Set<OpKind>([
  'constant', 'iota', 'select', 'reshape', 'transpose', 'slice', 'split', 'concat', 'broadcast', 'pad',
  'upsample_nearest', 'gather',
]); // prettier-ignore

/** Kernels compute in 32 bits: narrower and wider integers can be moved and read, not made. */
function expectComputable(operation: Operation, value: Value): void {
  const { dtype } = value.type;
  if (dtype !== 'i64' && dtype !== 'u8' && dtype !== 'i8') return;
  throw new Flux2cError('F2C301', `a kernel cannot compute ${dtype} numbers`, {
    where: [`%${value.name}`, operation.kind],
    expected: 'f32, f16, bf16, i32, u32 or bool',
    found: dtype,
    hint: 'Cast to i32 first.',
  });
}

/** Coordinates of a broadcast operand. */
function broadcastIndex(index: readonly Dim[], result: Value, operand: Value): readonly Dim[] {
  const { shape } = operand.type;
  const offset = result.type.shape.length - shape.length;
  return shape.map((size, axis) => (size.constant === 1 ? Dim.of(0) : (index[axis + offset] as Dim)));
}

function moved(index: readonly Dim[], axis: number, by: Dim): readonly Dim[] {
  return index.map((at, place) => (place === axis ? at.add(by) : at));
}

/** Buffers of a group: operands a0, a1, ... but those within another's, results r0, r1, ... */
export function buffersOf(group: KernelGroup): TileBuffer[] {
  const operands = group.operands.flatMap(({ storage, alignment, within }, place): TileBuffer[] =>
    within === undefined ? [{ name: `a${place}`, storage, alignment, access: 'read' }] : [],
  );
  const results = group.results.map(({ storage, alignment }, place): TileBuffer => ({
    name: `r${place}`,
    storage,
    alignment,
    access: 'write',
  }));
  return [...operands, ...results];
}
