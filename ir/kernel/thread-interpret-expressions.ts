import { Flux2cError, unreachable } from '../diagnostics.js';
import { typeOf } from './expressions.js';
import type { Builtin, Expression, RegisterType, SubgroupProduct } from './thread.js';
import type { BoundTensorMap } from './launch.js';
import type { PhaseBarriers } from './thread-interpret-barriers.js';
import type { CopyQueue } from './thread-interpret-copies.js';
import { createValues } from './thread-interpret-memory.js';
import type { BoundBuffer, Invocations, Values } from './thread-interpret-memory.js';
import type { SharedMemory } from './thread-interpret-shared.js';
import { dotHalves, dotWords } from './thread-interpret-bytes.js';
import { compileExchange, compileLoadMatrix, compilePack } from './thread-interpret-matrix.js';
import { binaryLoop, convertFunction, roundToHalf, unaryFunction } from './thread-interpret-operators.js';

/** An expression ready to run for a whole workgroup: `run` fills `values`, which stays the same array. */
export interface CompiledExpression {
  readonly values: Values;
  readonly run: () => void;
}

/** What a kernel's expressions and statements use. */
export interface InterpretScope {
  readonly invocations: Invocations;
  readonly subgroupSize: number;
  /** Of the kernel. */
  readonly subgroupProduct: SubgroupProduct | undefined;
  readonly registers: Map<string, Values>;
  /** Sums and factors, of one subgroup after the other. */
  readonly matrices: Map<string, Float32Array>;
  readonly parameters: ReadonlyMap<string, Values>;
  readonly builtins: Readonly<Record<Builtin, Values>>;
  readonly buffers: ReadonlyMap<string, BoundBuffer>;
  readonly shared: ReadonlyMap<string, SharedMemory>;
  readonly copies: CopyQueue;
  readonly barriers: ReadonlyMap<string, PhaseBarriers>;
  /** Of the launch that runs. */
  readonly tensorMaps: Map<string, BoundTensorMap>;
}

const nothing = (): void => undefined;

/**
 * Turns an expression into closures over arrays of all invocations. Inactive invocations compute along (their values are
 * never used) except where that has effects: loads and integer division.
 */
export function compileExpression(expression: Expression, scope: InterpretScope): CompiledExpression {
  const type = typeOf(expression);
  const compiled = compileExact(expression, scope);
  if (type.scalar !== 'f16' || compiled.run === nothing) return compiled;
  return {
    values: compiled.values,
    run: () => {
      compiled.run();
      roundToHalf(compiled.values);
    },
  };
}

function compileExact(expression: Expression, scope: InterpretScope): CompiledExpression {
  const { invocations } = scope;
  const { count } = invocations;
  const compile = (part: Expression): CompiledExpression => compileExpression(part, scope);
  const type = typeOf(expression);
  switch (expression.kind) {
    case 'constant':
      return { values: constantValues(expression.value, type, count), run: nothing };
    case 'register':
      return { values: known(scope.registers.get(expression.name), expression.name), run: nothing };
    case 'parameter':
      return { values: known(scope.parameters.get(expression.name), expression.name), run: nothing };
    case 'builtin':
      return { values: scope.builtins[expression.name], run: nothing };
    case 'unary': {
      const compute = unaryFunction(expression.operator, type.scalar);
      return mapOne(compile(expression.operand), createValues(type, count), compute);
    }
    case 'convert': {
      const compute = convertFunction(typeOf(expression.operand).scalar, expression.to);
      return mapOne(compile(expression.operand), createValues(type, count), compute);
    }
    case 'binary':
      return compileBinary(expression, scope);
    case 'fma': {
      const [a, b, c] = [compile(expression.a), compile(expression.b), compile(expression.c)];
      const values = createValues(type, count);
      const run = (): void => {
        a.run();
        b.run();
        c.run();
        multiplyAddAll(a.values, b.values, c.values, values);
      };
      return { values, run };
    }
    case 'select':
      return compileSelect(expression, scope);
    case 'bitcast': {
      const operand = compile(expression.operand);
      const { buffer } = operand.values;
      const view =
        type.scalar === 'f32'
          ? new Float32Array(buffer)
          : type.scalar === 'u32'
            ? new Uint32Array(buffer)
            : new Int32Array(buffer);
      return { values: view, run: operand.run };
    }
    case 'load': {
      const index = compile(expression.index);
      const buffer = known(scope.buffers.get(expression.buffer), expression.buffer);
      const values = createValues(type, count);
      const run = (): void => {
        index.run();
        buffer.load(index.values, values);
      };
      return { values, run };
    }
    case 'load_shared': {
      const index = compile(expression.index);
      const array = known(scope.shared.get(expression.array), expression.array);
      const values = createValues(type, count);
      const run = (): void => {
        index.run();
        array.load(index.values, values);
      };
      return { values, run };
    }
    case 'splat':
      return pick(
        compile(expression.operand),
        1,
        new Array<number>(expression.lanes).fill(0),
        createValues(type, count),
      );
    case 'lane':
      return pick(
        compile(expression.operand),
        typeOf(expression.operand).lanes,
        [expression.lane],
        createValues(type, count),
      );
    case 'shuffle':
      return pick(
        compile(expression.operand),
        typeOf(expression.operand).lanes,
        expression.lanes,
        createValues(type, count),
      );
    case 'vector':
      return compileVector(expression.parts, createValues(type, count), type.lanes, scope);
    case 'lookup':
    case 'subgroup_lookup': {
      const { values } = expression;
      return mapOne(compile(expression.operand), createValues(type, count), (index) => values[index] ?? NaN);
    }
    case 'dot': {
      const [a, b] = [compile(expression.a), compile(expression.b)];
      const values = createValues(type, count);
      const { lanes } = typeOf(expression.a);
      const run = (): void => {
        a.run();
        b.run();
        dotAll(a.values, b.values, values, lanes);
      };
      return { values, run };
    }
    case 'dot_bytes': {
      const [a, b] = [compile(expression.a), compile(expression.b)];
      const values = createValues(type, count);
      const add = type.lanes === 4 ? dotHalves : dotWords;
      const run = (): void => {
        a.run();
        b.run();
        add(a.values, b.values, values);
      };
      return { values, run };
    }
    case 'subgroup_broadcast':
    case 'subgroup_reduce':
      return compileSubgroup(expression, scope);
    case 'subgroup_exchange':
      return compileExchange(expression, scope);
    case 'pack':
      return compilePack(expression, scope);
    case 'load_matrix':
      return compileLoadMatrix(expression, scope);
    default:
      return unreachable(expression, 'expression');
  }
}

function constantValues(value: number, type: RegisterType, count: number): Values {
  const values = createValues(type, count).fill(value);
  if (type.scalar === 'f16') roundToHalf(values);
  return values;
}

/** What a name stands for; F2C220 when nothing. */
export function known<T>(found: T | undefined, name: string): T {
  if (found === undefined) throw new Flux2cError('F2C220', `'${name}' is not defined where the kernel uses it`);
  return found;
}

function mapOne(operand: CompiledExpression, values: Values, compute: (a: number) => number): CompiledExpression {
  const from = operand.values;
  const run = (): void => {
    operand.run();
    for (let at = 0; at < values.length; at++) values[at] = compute(from[at] as number);
  };
  return { values, run };
}

/** Rounds the product and the sum: what devices without a fused instruction do. */
function multiplyAddAll(a: Values, b: Values, c: Values, out: Values): void {
  for (let at = 0; at < out.length; at++) {
    out[at] = Math.fround((a[at] as number) * (b[at] as number)) + (c[at] as number);
  }
}

function dotAll(a: Values, b: Values, out: Values, lanes: number): void {
  for (let at = 0; at < out.length; at++) {
    let sum = 0;
    for (let lane = at * lanes; lane < (at + 1) * lanes; lane++) {
      sum = Math.fround(sum + Math.fround((a[lane] as number) * (b[lane] as number)));
    }
    out[at] = sum;
  }
}

function compileBinary(expression: Extract<Expression, { kind: 'binary' }>, scope: InterpretScope): CompiledExpression {
  const { invocations } = scope;
  const left = compileExpression(expression.left, scope);
  const right = compileExpression(expression.right, scope);
  const values = createValues(typeOf(expression), invocations.count);
  const operandType = typeOf(expression.left);
  const loop = binaryLoop(expression.operator, operandType.scalar);
  const a = left.values;
  const b = right.values;
  const divides = expression.operator === 'div' || expression.operator === 'mod';
  if (divides && (operandType.scalar === 'i32' || operandType.scalar === 'u32')) {
    const safe = createValues(operandType, invocations.count);
    return {
      values,
      run: () => {
        left.run();
        right.run();
        // What an inactive invocation divides by does not matter.
        for (let at = 0; at < safe.length; at++) {
          safe[at] = invocations.active[Math.floor(at / operandType.lanes)] === 0 ? 1 : (b[at] as number);
        }
        loop(a, safe, values);
      },
    };
  }
  return {
    values,
    run: () => {
      left.run();
      right.run();
      loop(a, b, values);
    },
  };
}

function compileSelect(expression: Extract<Expression, { kind: 'select' }>, scope: InterpretScope): CompiledExpression {
  const condition = compileExpression(expression.condition, scope);
  const yes = compileExpression(expression.yes, scope);
  const no = compileExpression(expression.no, scope);
  const type = typeOf(expression);
  const values = createValues(type, scope.invocations.count);
  // One condition for all lanes, or one for each.
  const share = type.lanes / typeOf(expression.condition).lanes;
  const run = (): void => {
    condition.run();
    yes.run();
    no.run();
    const chosen = condition.values;
    for (let at = 0; at < values.length; at++) {
      values[at] = (chosen[Math.floor(at / share)] === 0 ? no.values[at] : yes.values[at]) as number;
    }
  };
  return { values, run };
}

/** Lane `l` of the result is lane `lanes[l]` of the operand. */
function pick(
  operand: CompiledExpression,
  operandLanes: number,
  lanes: readonly number[],
  values: Values,
): CompiledExpression {
  const from = operand.values;
  const count = values.length / lanes.length;
  const run = (): void => {
    operand.run();
    let to = 0;
    for (let invocation = 0; invocation < count; invocation++) {
      for (const lane of lanes) values[to++] = from[invocation * operandLanes + lane] as number;
    }
  };
  return { values, run };
}

function compileVector(
  parts: readonly Expression[],
  values: Values,
  lanes: number,
  scope: InterpretScope,
): CompiledExpression {
  const compiled = parts.map((part) => ({ ...compileExpression(part, scope), lanes: typeOf(part).lanes }));
  const { count } = scope.invocations;
  const run = (): void => {
    let first = 0;
    for (const part of compiled) {
      part.run();
      for (let invocation = 0; invocation < count; invocation++) {
        for (let lane = 0; lane < part.lanes; lane++) {
          values[invocation * lanes + first + lane] = part.values[invocation * part.lanes + lane] as number;
        }
      }
      first += part.lanes;
    }
  };
  return { values, run };
}

function compileSubgroup(
  expression: Extract<Expression, { kind: 'subgroup_broadcast' | 'subgroup_reduce' }>,
  scope: InterpretScope,
): CompiledExpression {
  const { invocations, subgroupSize } = scope;
  const operand = compileExpression(expression.operand, scope);
  const type = typeOf(expression);
  const values = createValues(type, invocations.count);
  const from = operand.values;
  const run = (): void => {
    operand.run();
    for (let start = 0; start < invocations.count; start += subgroupSize) {
      const size = Math.min(subgroupSize, invocations.count - start);
      if (!checkWhole(invocations, start, size)) continue;
      for (let lane = 0; lane < type.lanes; lane++) {
        const result =
          expression.kind === 'subgroup_broadcast'
            ? (from[(start + expression.source) * type.lanes + lane] as number)
            : reduceLane(from, start, size, type.lanes, lane, expression.operator);
        for (let member = start; member < start + size; member++) values[member * type.lanes + lane] = result;
      }
    }
  };
  return { values, run };
}

function reduceLane(
  from: Values,
  start: number,
  size: number,
  lanes: number,
  lane: number,
  operator: 'add' | 'max',
): number {
  let total = from[start * lanes + lane] as number;
  for (let member = start + 1; member < start + size; member++) {
    const value = from[member * lanes + lane] as number;
    total =
      operator === 'max'
        ? Math.max(total, value)
        : from instanceof Float32Array
          ? Math.fround(total + value)
          : total + value;
  }
  return total;
}

/** False when no invocation of the subgroup takes part; a part of a subgroup is an error. */
export function checkWhole(invocations: Invocations, start: number, size: number): boolean {
  let taking = 0;
  for (let member = start; member < start + size; member++) taking += invocations.active[member] as number;
  if (taking === 0) return false;
  if (taking === size) return true;
  throw new Flux2cError('F2C247', 'a subgroup operation runs in a part of a subgroup', {
    where: [`kernel @${invocations.kernelName}`],
    found: `${taking} of ${size} invocations from ${start} on, workgroup (${invocations.workgroup.join(', ')})`,
    hint: 'Move it out of the branch or loop that divides the subgroup.',
  });
}
