import {
  add,
  binary,
  builtin,
  constant,
  convert,
  divide,
  f32,
  float,
  i32,
  integer,
  modulo,
  multiply,
  parameter,
  register,
  select,
  splat,
  typeOf,
  unary,
  vectorOf,
} from '../ir/kernel/expressions.js';
import type { BinaryOperator, Expression, RegisterType, Statement, ThreadKernel } from '../ir/kernel/thread.js';

export const randomKernelInvocations = 16;
/** Elements of the buffers `numbers` (f32 x4, in fours), `integers` (i32) and `result` (f32 x4, in fours). */
export const randomKernelSizes = { numbers: 8, integers: 16, result: 2 * randomKernelInvocations };

interface Variable {
  readonly name: string;
  readonly type: RegisterType;
  readonly assignable: boolean;
}

/**
 * A well-formed kernel, the same for the same seed. All f32 values are integers below 2^11, so every sum and product is
 * exact and each implementation must give the same bits, fused or not.
 */
export function randomThreadKernel(seed: number): ThreadKernel {
  return new KernelGenerator(seed).kernel();
}

class KernelGenerator {
  private state: number;
  private names = 0;
  private scope: Variable[] = [];

  constructor(seed: number) {
    this.state = (seed * 2654435761 + 1) >>> 0;
  }

  kernel(): ThreadKernel {
    const body: Statement[] = [];
    for (let at = 0; at < 3; at++) body.push(this.declaration('let'), this.declaration('var'));
    for (let at = 0; at < 5; at++) body.push(...this.statement(2));
    const index = add(multiply(builtin('workgroup_x'), integer(randomKernelInvocations)), builtin('local_index'));
    body.push({ kind: 'store', buffer: 'result', index, value: this.float(4, 3) });
    return {
      phase: 'thread',
      name: 'random',
      buffers: [
        { name: 'numbers', storage: 'f32', lanes: 4, access: 'read' },
        { name: 'integers', storage: 'i32', lanes: 1, access: 'read' },
        { name: 'result', storage: 'f32', lanes: 4, access: 'write' },
      ],
      parameters: ['count', 'shift'],
      workgroupSize: randomKernelInvocations,
      shared: [{ name: 'exchange', type: vectorOf('f32', 2), length: randomKernelInvocations }],
      body,
    };
  }

  private random(below: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % below;
  }

  private pick<T>(choices: readonly T[]): T {
    return choices[this.random(choices.length)] as T;
  }

  private randomType(): RegisterType {
    return this.pick([f32, vectorOf('f32', 2), vectorOf('f32', 4), i32, vectorOf('bool', 1), vectorOf('u32', 1)]);
  }

  private value(type: RegisterType, depth: number): Expression {
    if (type.scalar === 'f32') return this.float(type.lanes, depth);
    if (type.scalar === 'i32') return this.integer(depth);
    if (type.scalar === 'u32') return this.unsigned(depth);
    return this.condition(depth);
  }

  private declaration(kind: 'let' | 'var'): Statement {
    const type = this.randomType();
    const value = this.value(type, 3);
    const name = `r${this.names++}`;
    this.scope.push({ name, type, assignable: kind === 'var' });
    return { kind, name, type, value };
  }

  private block(depth: number, variables: readonly Variable[] = []): Statement[] {
    const outer = this.scope;
    this.scope = [...outer, ...variables];
    const body = Array.from({ length: 1 + this.random(3) }, () => this.statement(depth, false)).flat();
    this.scope = outer;
    return body;
  }

  private statement(depth: number, isUniform = true): readonly Statement[] {
    const choice = this.random(depth > 0 ? 6 : 3);
    if (choice === 0) return [this.declaration(this.pick(['let', 'var']))];
    if (choice <= 2) {
      const targets = this.scope.filter(({ assignable }) => assignable);
      if (targets.length === 0) return [this.declaration('var')];
      const { name, type } = this.pick(targets);
      return [{ kind: 'assign', name, value: this.value(type, 3) }];
    }
    if (choice === 3 && isUniform) return this.exchange();
    if (choice === 4) {
      const variable = `k${this.names++}`;
      const end = this.random(2) === 0 ? integer(this.random(5)) : parameter('count');
      const body = this.block(depth - 1, [{ name: variable, type: i32, assignable: false }]);
      return [{ kind: 'for', variable, start: integer(this.random(2)), end, step: 1 + this.random(2), body }];
    }
    const condition = this.condition(2);
    const then = this.block(depth - 1);
    if (this.random(2) === 0) return [{ kind: 'if', condition, then }];
    return [{ kind: 'if', condition, then, otherwise: this.block(depth - 1) }];
  }

  private exchange(): readonly Statement[] {
    const name = `r${this.names++}`;
    const type = vectorOf('f32', 2);
    const value = this.float(2, 2);
    this.scope.push({ name, type, assignable: false });
    const index = binary('xor', builtin('local_index'), integer(1 + this.random(randomKernelInvocations - 1)));
    return [
      { kind: 'store_shared', array: 'exchange', index: builtin('local_index'), value },
      { kind: 'barrier' },
      { kind: 'let', name, type, value: { kind: 'load_shared', array: 'exchange', index, type } },
      { kind: 'barrier' },
    ];
  }

  /** Never a constant: compilers refuse constant expressions that overflow. */
  private leaf(type: RegisterType): Expression {
    const known = this.scope.filter(
      (variable) => variable.type.scalar === type.scalar && variable.type.lanes === type.lanes,
    );
    if (known.length > 0 && this.random(3) > 0) {
      const { name } = this.pick(known);
      return register(name, type);
    }
    if (type.scalar === 'i32') return this.pick([builtin('local_index'), builtin('workgroup_x'), parameter('shift')]);
    const number = binary('and', this.leaf(i32), integer(7));
    if (type.scalar === 'bool') return binary('less', number, integer(4));
    return splat(convert(number, type.scalar), type.lanes);
  }

  private float(lanes: 1 | 2 | 4, depth: number): Expression {
    const type = vectorOf('f32', lanes);
    if (depth === 0) return this.leaf(type);
    const next = (): Expression => this.float(lanes, depth - 1);
    const bounded = (value: Expression): Expression =>
      binary('min', binary('max', value, float(-31, lanes)), float(31, lanes));
    switch (this.random(lanes === 1 ? 10 : 12)) {
      case 0:
        return bounded(binary(this.pick<BinaryOperator>(['add', 'sub', 'mul']), next(), next()));
      case 1:
        return bounded({ kind: 'fma', a: next(), b: next(), c: next() });
      case 2:
        return binary(this.pick<BinaryOperator>(['min', 'max']), next(), float(this.random(20) - 10, lanes));
      case 3:
        return unary(this.pick(['neg', 'abs', 'floor']), next());
      case 4:
        return select(this.condition(depth - 1), next(), next());
      case 5:
        return splat(convert(binary('and', this.integer(depth - 1), integer(15)), 'f32'), lanes);
      case 6:
        return unary('floor', binary('mul', next(), float(0.5 * (1 + this.random(3)), lanes)));
      case 7:
        return lanes === 1
          ? { kind: 'lane', operand: this.float(4, depth - 1), lane: this.random(4) }
          : {
              kind: 'shuffle',
              operand: this.float(4, depth - 1),
              lanes: Array.from({ length: lanes }, () => this.random(4)),
            };
      case 8: {
        const index = binary('and', this.integer(depth - 1), integer(randomKernelSizes.numbers - 1));
        const load: Expression = { kind: 'load', buffer: 'numbers', index, type: vectorOf('f32', 4) };
        if (lanes === 4) return load;
        if (lanes === 1) return { kind: 'lane', operand: load, lane: this.random(4) };
        return { kind: 'shuffle', operand: load, lanes: [this.random(4), this.random(4)] };
      }
      case 9: {
        const operandLanes = this.pick([2, 4] as const);
        const dot: Expression = {
          kind: 'dot',
          a: this.float(operandLanes, depth - 1),
          b: this.float(operandLanes, depth - 1),
        };
        return splat(binary('min', binary('max', dot, float(-31)), float(31)), lanes);
      }
      default: {
        const parts = lanes === 4 && this.random(2) === 0 ? ([2, 1, 1] as const) : new Array<1>(lanes).fill(1);
        return { kind: 'vector', parts: parts.map((part) => this.float(part, depth - 1)) };
      }
    }
  }

  private integer(depth: number): Expression {
    if (depth === 0) return this.leaf(i32);
    const next = (): Expression => this.integer(depth - 1);
    switch (this.random(9)) {
      case 0:
        return binary(
          this.pick<BinaryOperator>(['add', 'sub', 'mul', 'xor', 'and', 'or', 'min', 'max']),
          next(),
          next(),
        );
      case 1:
        return binary(this.pick<BinaryOperator>(['add', 'sub', 'mul']), next(), integer(this.random(9) - 4));
      case 2:
        return divide(next(), integer(1 + this.random(6)));
      case 3:
        return modulo(next(), integer(1 + this.random(6)));
      case 4:
        return binary(this.pick<BinaryOperator>(['shift_left', 'shift_right']), next(), integer(this.random(5)));
      case 5:
        return convert(this.float(1, depth - 1), 'i32');
      case 6:
        return select(this.condition(depth - 1), next(), next());
      case 7: {
        const index = binary('and', next(), integer(randomKernelSizes.integers - 1));
        return { kind: 'load', buffer: 'integers', index, type: i32 };
      }
      default:
        return { kind: 'bitcast', to: 'i32', operand: this.unsigned(depth - 1) };
    }
  }

  private unsigned(depth: number): Expression {
    const type = vectorOf('u32', 1);
    if (depth === 0) return this.leaf(type);
    const operator = this.pick<BinaryOperator>(['add', 'mul', 'xor', 'or', 'shift_right', 'div', 'mod']);
    const right =
      operator === 'xor' || operator === 'or' ? this.unsigned(depth - 1) : constant(1 + this.random(9), type);
    if (this.random(3) === 0) return unary('not', convert(this.integer(depth - 1), 'u32'));
    return binary(operator, this.unsigned(depth - 1), right);
  }

  private condition(depth: number): Expression {
    if (depth === 0) return this.leaf(vectorOf('bool', 1));
    switch (this.random(4)) {
      case 0:
        return unary('not', this.condition(depth - 1));
      case 1:
        return binary(
          this.pick<BinaryOperator>(['and', 'or', 'equal']),
          this.condition(depth - 1),
          this.condition(depth - 1),
        );
      default: {
        const left = this.value(this.pick([f32, i32, vectorOf('u32', 1)]), depth - 1);
        const operator = this.pick<BinaryOperator>(['less', 'less_equal', 'equal']);
        return binary(operator, left, this.value(typeOf(left), depth - 1));
      }
    }
  }
}

/** Contents of the buffers of a random kernel, and its parameters. */
export function randomKernelInputs(seed: number): {
  readonly numbers: Float32Array;
  readonly integers: Int32Array;
  readonly result: Float32Array;
  readonly parameters: Readonly<Record<string, number>>;
} {
  const mix = (at: number): number => (Math.imul(at + seed * 31 + 7, 0x9e3779b1) >>> 9) % 41;
  return {
    numbers: Float32Array.from({ length: 4 * randomKernelSizes.numbers }, (_, at) => mix(at) - 20),
    integers: Int32Array.from({ length: randomKernelSizes.integers }, (_, at) => mix(at + 100) * 3 - 50),
    result: new Float32Array(4 * randomKernelSizes.result),
    parameters: { count: 1 + (seed % 4), shift: (seed % 7) - 3 },
  };
}
