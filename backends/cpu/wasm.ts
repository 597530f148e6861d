import { unreachable } from '../../ir/diagnostics.js';
import { add, i32, integer, parameter, register, sameType, typeOf } from '../../ir/kernel/expressions.js';
import { forEachExpression, forEachStatement } from '../../ir/kernel/statements.js';
import type { Expression, Statement, ThreadKernel } from '../../ir/kernel/thread.js';
import { encodeModule, FunctionWriter } from './wasm-binary.js';
import { writeHalves } from './wasm-bytes.js';
import { laneFold } from './wasm-folds.js';
import { hoistExpression, writeExpression } from './wasm-expressions.js';
import { factorOf, isRepeatable, linearForm } from './wasm-linear.js';
import { mathImports, writeHelper } from './wasm-math.js';
import { bytesOfArray, writeStore, writeStoreShared } from './wasm-memory.js';
import { unsupported } from './wasm-operators.js';
import {
  builtinRegister,
  malformed,
  parameterRegister,
  pointerRegister,
  WasmScope,
  wasmTypeOf,
  type RegisterPlace,
} from './wasm-scope.js';

export interface WasmOptions {
  /** Use f32x4.relaxed_madd for `fma`, where the engine has it (`supportsRelaxedMultiplyAdd`). Default false. */
  readonly relaxedMultiplyAdd?: boolean;
}

/** Arguments of `run` before the buffers: bounds of the workgroups in x, y and z, the addresses of parameters and workgroup memory. */
const bounds = ['x', 'y', 'z'] as const;
const parametersArgument = 6;
const sharedArgument = 7;
const firstBuffer = 8;

/**
 * A WebAssembly module that runs a range of a launch's workgroups, one invocation after another:
 *
 * - imports `env.memory` (shared, 65536 pages at most) and, where used, `log`, `sin`, `cos` and `pow` of JavaScript's Math
 * - exports `run(x0, x1, y0, y1, z0, z1, parameters, shared, buffer0, buffer1, ...)`: workgroups x0 <= x < x1 and so on; addresses in
 *   bytes, buffers in the kernel's order and not below `guardBytes`, nor is `shared`, where `bytesOfShared` bytes are this call's alone
 *
 * Vectors are v128 values (two lanes use its lower half). Accesses are not checked: the launch must be valid. Throws
 * F2C215 for f16 registers, barriers, workgroup memory of several invocations, subgroup operations and walks over tiles, F2C216 for a
 * malformed kernel.
 */
export function compileWasm(kernel: ThreadKernel, options: WasmOptions = {}): Uint8Array<ArrayBuffer> {
  const argumentCount = firstBuffer + kernel.buffers.length;
  const writer = new FunctionWriter(new Array<'i32'>(argumentCount).fill('i32'), []);
  const scope = new WasmScope(kernel, writer, options.relaxedMultiplyAdd ?? false);
  checkSupport(scope);

  const immutable = (local: number): RegisterPlace => ({ local, type: i32, depth: scope.depth, mutable: false });
  kernel.buffers.forEach(({ name }, index) => {
    scope.define(pointerRegister(name), immutable(firstBuffer + index));
  });
  let sharedEnd = 0;
  for (const array of kernel.shared) {
    const local = writer.local('i32');
    writer.get(sharedArgument).i32(sharedEnd).op('i32.add').set(local);
    scope.define(pointerRegister(array.name), immutable(local));
    sharedEnd += bytesOfArray(array);
  }
  kernel.parameters.forEach((name, index) => {
    const local = writer.local('i32');
    writer
      .get(parametersArgument)
      .memory('i32.load', 4 * index)
      .set(local);
    const based = kernel.buffers.find((buffer) => name === `${buffer.name}_base`);
    scope.define(parameterRegister(name), { ...immutable(local), factor: based?.lanes ?? 1 });
  });

  const assigned = assignedNames(kernel.body);
  /** Workgroups of one dimension; a cut launch adds its origin here, as the other backends do. */
  const overWorkgroups = (axis: 0 | 1 | 2, body: () => void): void => {
    const name = bounds[axis];
    writeLoop(scope, { local: 2 * axis }, { local: 2 * axis + 1 }, 1, assigned, (counter) => {
      const origin = `origin_${name}`;
      const builtin = builtinRegister(`workgroup_${name}`);
      if (kernel.parameters.includes(origin)) {
        scope.define('@counter', counter);
        defineRegister(scope, builtin, add(register('@counter', i32), parameter(origin)));
      } else scope.define(builtin, counter);
      body();
    });
  };
  const overInvocations = (body: () => void): void =>
    writeLoop(scope, integer(0), integer(kernel.workgroupSize), 1, assigned, (counter) => {
      scope.define(builtinRegister('local_index'), counter);
      body();
    });
  overWorkgroups(2, () =>
    overWorkgroups(1, () => overWorkgroups(0, () => overInvocations(() => writeBlock(scope, kernel.body)))),
  );

  const functions = new Map([...scope.helpers].map((name) => [name as string, writeHelper(name)]));
  functions.set('run', writer);
  return encodeModule(
    [...scope.imports].map((name) => mathImports[name]),
    functions,
    'run',
  );
}

/** Whether the engine has f32x4.relaxed_madd: current browsers and Node 22; Node 20 behind a flag. */
export function supportsRelaxedMultiplyAdd(): boolean {
  const writer = new FunctionWriter(['v128', 'v128', 'v128'], ['v128']);
  writer.get(0).get(1).get(2).op('f32x4.relaxed_madd');
  return WebAssembly.validate(encodeModule([], new Map([['run', writer]]), 'run'));
}

function checkSupport(scope: WasmScope): void {
  const { kernel } = scope;
  if (kernel.walksTiles === true) throw unsupported(scope, 'a walk over tiles');
  if (kernel.shared.length > 0 && kernel.workgroupSize > 1)
    throw unsupported(scope, `workgroup memory ${kernel.shared[0]?.name ?? ''} of several invocations`);
  forEachExpression(kernel.body, (expression) => {
    if (typeOf(expression).scalar === 'f16') throw unsupported(scope, 'f16 registers');
    if (expression.kind === 'builtin' && expression.name.startsWith('subgroup_')) {
      throw unsupported(scope, expression.name);
    }
  });
}

function assignedNames(body: readonly Statement[]): ReadonlySet<string> {
  const names = new Set<string>();
  forEachStatement(body, (statement) => {
    if (statement.kind === 'assign') names.add(statement.name);
  });
  return names;
}

function writeBlock(scope: WasmScope, body: readonly Statement[]): void {
  scope.block(() => {
    for (const statement of body) writeStatement(scope, statement);
  });
}

function writeStatement(scope: WasmScope, statement: Statement): void {
  const { writer } = scope;
  switch (statement.kind) {
    case 'let':
      checkType(scope, statement.name, statement);
      defineRegister(scope, statement.name, statement.value);
      return;
    case 'var': {
      checkType(scope, statement.name, statement);
      writeExpression(scope, statement.value);
      const local = writer.local(wasmTypeOf(statement.type));
      writer.set(local);
      scope.define(statement.name, { local, type: statement.type, depth: scope.depth, mutable: true });
      return;
    }
    case 'assign': {
      const place = scope.register(statement.name);
      if (!place.mutable) throw malformed(scope.kernel.name, `${statement.name} is not assignable`);
      checkType(scope, statement.name, { type: place.type, value: statement.value });
      writeExpression(scope, statement.value);
      writer.set(place.local);
      scope.noteAssignment(statement.name);
      return;
    }
    case 'store':
      writeStore(scope, statement.buffer, statement.index, statement.value, (expression) =>
        writeExpression(scope, expression),
      );
      return;
    case 'store_shared':
      writeStoreShared(scope, statement.array, statement.index, statement.value, (expression) =>
        writeExpression(scope, expression),
      );
      return;
    case 'for':
      writeLoop(scope, statement.start, statement.end, statement.step, assignedNames(statement.body), (variable) => {
        scope.define(statement.variable, variable);
        writeBlock(scope, statement.body);
      });
      return;
    case 'if':
      writeExpression(scope, statement.condition);
      writer.begin('if');
      writeBlock(scope, statement.then);
      if (statement.otherwise !== undefined) {
        writer.op('else');
        writeBlock(scope, statement.otherwise);
      }
      writer.end();
      return;
    case 'barrier':
    case 'copy_async':
    case 'commit_copies':
    case 'wait_copies':
    case 'multiply_matrices':
    case 'multiply_shared':
    case 'share_writes':
    case 'begin_products':
    case 'commit_products':
    case 'wait_products':
    case 'declare_sums':
    case 'load_factor':
    case 'multiply_factors':
    case 'store_sums':
    case 'roles':
    case 'copy_tensor':
    case 'expect_copies':
    case 'arrive':
    case 'wait_barrier':
      throw unsupported(scope, statement.kind);
    default:
      unreachable(statement, 'statement');
  }
}

function checkType(scope: WasmScope, name: string, value: Pick<RegisterPlace, 'type'> & { value: Expression }): void {
  if (!sameType(value.type, typeOf(value.value)))
    throw malformed(scope.kernel.name, `${name} is given a value of another type`);
}

/** An immutable register. A value that the loops do not change is computed outside of them. */
function defineRegister(scope: WasmScope, name: string, value: Expression): void {
  const type = typeOf(value);
  if (type.scalar === 'u32' && type.lanes === 4 && scope.isByteVector(name)) {
    const halves = writeHalves(scope, value, (expression) => writeExpression(scope, expression));
    scope.define(name, { local: halves[0], type, depth: scope.depth, mutable: false, halves });
    return;
  }
  const form = type.lanes === 1 && (type.scalar === 'i32' || type.scalar === 'u32') && linearForm(scope, value);
  const known = {
    ...(form !== false && isRepeatable(scope, form) && { linear: form }),
    ...(form !== false && { factor: factorOf(scope, value) }),
  };
  if (scope.isInvariant(value)) {
    scope.define(name, { ...hoistExpression(scope, value), ...known });
    return;
  }
  const fold = laneFold(value);
  writeExpression(scope, value);
  const local = scope.writer.local(wasmTypeOf(type));
  scope.writer.set(local);
  if (fold !== undefined) {
    const version = scope.versionOf(fold.vector.name);
    scope.define(name, { local, type, depth: scope.depth, mutable: false, fold: { ...fold, version } });
    return;
  }
  scope.define(name, { local, type, depth: scope.depth, mutable: false, ...known });
}

/** for (i = start; i < end; i += step), tested at its foot; bounds are expressions or arguments of the function. */
function writeLoop(
  scope: WasmScope,
  start: Expression | { readonly local: number },
  end: Expression | { readonly local: number },
  step: number,
  assigned: ReadonlySet<string>,
  body: (variable: RegisterPlace) => void,
): void {
  const { writer } = scope;
  const writeBound = (bound: Expression | { readonly local: number }): void => {
    if ('kind' in bound) writeExpression(scope, bound);
    else writer.get(bound.local);
  };
  const variable = writer.local('i32');
  writeBound(start);
  writer.set(variable);
  let last = end;
  if ('kind' in end && end.kind !== 'constant') {
    last = { local: writer.local('i32') };
    writeBound(end);
    writer.set(last.local);
  }
  const preheader = writer.gap();
  const test = (): void => {
    writer.get(variable);
    writeBound(last);
    writer.op('i32.lt_s');
  };
  test();
  writer.begin('if').begin('loop');
  const factor = 'kind' in start ? Math.min(factorOf(scope, start), factorOf(scope, integer(step))) : 1;
  scope.loop(preheader, assigned, () =>
    body({ local: variable, type: i32, depth: scope.depth, mutable: false, factor }),
  );
  writer.get(variable).i32(step).op('i32.add').set(variable);
  test();
  writer.op('br_if', 0).end().end();
}
