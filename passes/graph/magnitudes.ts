import { isFloat } from '../../ir/dtype.js';
import type { Operation, Value } from '../../ir/graph/graph.js';

/**
 * How large a value's numbers get, whatever comes into a function:
 * - `unit`: at most 1
 * - `normalised`: what a norm over n numbers makes of them before its weights, at most sqrt(n) (all but one of them equal), or as much by
 *   a few steps from `unit`
 * - `scaled`: that times a weight, plus weights: in a norm of a trained network tens where n is millions
 *
 * Nothing is known of other values: those that come in, sums along an axis, what products make.
 */
export type Magnitude = 'unit' | 'normalised' | 'scaled';

const order: readonly Magnitude[] = ['unit', 'normalised', 'scaled'];

/** At most 1 whatever their operands are: rotary tables and time embeddings are sines and cosines. */
const unitKinds: ReadonlySet<Operation['kind']> = new Set<Operation['kind']>([
  'sigmoid', 'tanh', 'erf', 'sin', 'cos', 'softmax', 'rope_table', 'timestep_embedding',
]); // prettier-ignore

/** No larger than the largest of their first operand, or than 1 where that is. */
const keepingKinds: ReadonlySet<Operation['kind']> = new Set<Operation['kind']>([
  'neg', 'abs', 'sqrt', 'floor', 'silu', 'gelu', 'reduce_mean', 'reduce_max',
  'reshape', 'transpose', 'slice', 'split', 'broadcast', 'upsample_nearest', 'gather',
]); // prettier-ignore

/** What moves a weight's numbers, or changes their type. */
const carryingKinds: ReadonlySet<Operation['kind']> = new Set<Operation['kind']>([
  'reshape', 'transpose', 'slice', 'split', 'broadcast', 'cast',
]); // prettier-ignore

/**
 * Finds out from the operations that make values how large they get: forward from norms and from functions that saturate, through
 * what does not grow. A value is looked at once; what a loop carries is not followed.
 */
export class Magnitudes {
  private readonly known = new Map<Value, Magnitude | undefined>();

  /** @param definition the operation that makes a value; undefined for parameters */
  constructor(private readonly definition: (value: Value) => Operation | undefined) {}

  /** The value's magnitude; undefined where nothing bounds it. */
  of(value: Value): Magnitude | undefined {
    if (this.known.has(value)) return this.known.get(value);
    const maker = this.definition(value);
    const found = maker !== undefined && isFloat(value.type.dtype) ? this.ofResult(maker) : undefined;
    this.known.set(value, found);
    return found;
  }

  /** Whether a value is a weight's numbers, as they are stored: parameters of a norm, filters. */
  isWeight(value: Value): boolean {
    const maker = this.definition(value);
    if (maker === undefined) return false;
    return maker.kind === 'weight' || (carryingKinds.has(maker.kind) && this.isWeight(maker.operands[0] as Value));
  }

  private ofResult(operation: Operation): Magnitude | undefined {
    const { kind, operands } = operation;
    const [x, y] = operands as readonly [Value, Value];
    if (unitKinds.has(kind)) return 'unit';
    if (keepingKinds.has(kind)) return this.of(x);
    switch (operation.kind) {
      case 'constant':
        return operation.attributes.values.every((value) => Math.abs(value) <= 1) ? 'unit' : undefined;
      case 'cast':
        return this.of(x);
      case 'layer_norm':
        return 'normalised';
      case 'rms_norm':
        return this.times('normalised', y);
      case 'group_norm':
        return this.scaledAndShifted(y, operands[2] as Value);
      case 'group_apply': {
        const [, statistics, weight, bias] = operands as readonly [Value, Value, Value, Value];
        return this.areStatisticsOf(statistics, x) ? this.scaledAndShifted(weight, bias) : undefined;
      }
      case 'mul':
        return this.times(this.of(x), y) ?? this.times(this.of(y), x);
      case 'add':
      case 'sub':
        return this.plus(x, y) ?? this.plus(y, x);
      case 'min':
      case 'max':
        return this.widest([x, y]);
      case 'select':
        return this.widest(operands.slice(1));
      case 'concat':
        return this.widest(operands);
      case 'pad':
        return Math.abs(operation.attributes.value) <= 1 ? this.of(x) : undefined;
      case 'rope':
        return this.turned(operands);
      default:
        return undefined;
    }
  }

  private times(magnitude: Magnitude | undefined, by: Value): Magnitude | undefined {
    if (magnitude === undefined) return undefined;
    if (this.of(by) === 'unit') return magnitude;
    // Once: products of weights may be anything.
    return magnitude !== 'scaled' && this.isWeight(by) ? 'scaled' : undefined;
  }

  private plus(x: Value, by: Value): Magnitude | undefined {
    const magnitude = this.of(x);
    if (magnitude === undefined) return undefined;
    if (this.of(by) === 'unit') return magnitude === 'unit' ? 'normalised' : 'scaled';
    return this.isWeight(by) ? 'scaled' : undefined;
  }

  private scaledAndShifted(weight: Value, bias: Value): Magnitude | undefined {
    const scaled = this.times('normalised', weight);
    return scaled !== undefined && (this.isWeight(bias) || this.of(bias) === 'unit') ? 'scaled' : undefined;
  }

  /** Applied to anything else than what they were taken of, statistics bound nothing. */
  private areStatisticsOf(statistics: Value, x: Value): boolean {
    const combined = this.definition(statistics);
    const moments = combined?.kind === 'combine_moments' ? this.definition(combined.operands[0] as Value) : undefined;
    return moments?.kind === 'group_moments' && moments.operands[0] === x;
  }

  private widest(values: readonly Value[]): Magnitude | undefined {
    const places = values.map((value) => order.indexOf(this.of(value) as Magnitude));
    return places.includes(-1) ? undefined : order[Math.max(...places)];
  }

  /** A pair keeps its length when it is turned: each of it gets at most sqrt(2) times as large. */
  private turned([x, cos, sin]: readonly Value[]): Magnitude | undefined {
    if (this.of(cos as Value) !== 'unit' || this.of(sin as Value) !== 'unit') return undefined;
    const magnitude = this.of(x as Value);
    return magnitude === 'unit' ? 'normalised' : magnitude;
  }
}
