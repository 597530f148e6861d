import { Flux2cError } from '../../ir/diagnostics.js';
import { operandsOf, sameType } from '../../ir/kernel/expressions.js';
import type { Builtin, BufferParameter, Expression, RegisterType, ThreadKernel } from '../../ir/kernel/thread.js';
import type { Code, FunctionWriter, WasmType } from './wasm-binary.js';
import { findByteVectors, type WidenedHalves } from './wasm-bytes.js';
import type { KnownFold } from './wasm-folds.js';
import type { LinearForm } from './wasm-linear.js';
import type { HelperName, mathImports } from './wasm-math.js';
import { helperCalls } from './wasm-math.js';

/** A named value of the kernel in a local. */
export interface RegisterPlace {
  readonly local: number;
  readonly type: RegisterType;
  /** Loops around the definition of the value; 0 is the function itself. */
  readonly depth: number;
  readonly mutable: boolean;
  /** What an i32 value is made of, where address arithmetic may look through it. */
  readonly linear?: LinearForm;
  /** A power of two that divides an i32 value; 1 when left out. */
  readonly factor?: number;
  readonly fold?: KnownFold;
  /** Of 16 bytes that are only multiplied: then nothing is in the local. */
  readonly halves?: WidenedHalves;
}

interface Loop {
  readonly number: number;
  /** Just before the loop: what does not change in it goes here. */
  readonly preheader: Code;
  /** Names that the loop's body assigns. */
  readonly assigned: ReadonlySet<string>;
  /** Locals of values in the preheader, by structural key. */
  readonly hoisted: Map<string, number>;
}

/** Where a value lives: scalars in i32 or f32 locals (bool as 0 or 1), vectors in v128 (bool lanes as 0 or -1). */
export function wasmTypeOf(type: RegisterType): WasmType {
  if (type.lanes !== 1) return 'v128';
  return type.scalar === 'f32' ? 'f32' : 'i32';
}

/** F2C216: the kernel is not well formed, which its verifier should have found. */
export function malformed(kernelName: string, found: string): Flux2cError {
  return new Flux2cError('F2C216', 'internal: malformed kernel', { where: [`kernel ${kernelName}`], found });
}

/** Names, loops and helpers while one kernel is written. */
export class WasmScope {
  readonly helpers = new Set<HelperName>();
  readonly imports = new Set<keyof typeof mathImports>();
  /** The depth that code is being written at. */
  depth = 0;
  private registers = new Map<string, RegisterPlace>();
  private readonly loops: Loop[] = [];
  private nextLoop = 0;
  private readonly assignments = new Map<string, number>();
  private readonly byteVectors: ReadonlySet<string>;
  private readonly buffers: ReadonlyMap<string, BufferParameter>;

  constructor(
    readonly kernel: ThreadKernel,
    readonly writer: FunctionWriter,
    /** Whether f32x4.relaxed_madd may be used. */
    readonly relaxed: boolean,
  ) {
    this.byteVectors = findByteVectors(kernel.body);
    this.buffers = new Map(kernel.buffers.map((buffer) => [buffer.name, buffer]));
  }

  buffer(name: string): BufferParameter {
    const buffer = this.buffers.get(name);
    if (buffer === undefined) throw malformed(this.kernel.name, `unknown buffer ${name}`);
    return buffer;
  }

  /** Whether a register is kept as halves. */
  isByteVector(name: string): boolean {
    return this.byteVectors.has(name);
  }

  register(name: string): RegisterPlace {
    const place = this.registers.get(name);
    if (place === undefined) throw malformed(this.kernel.name, `unknown register ${name}`);
    return place;
  }

  define(name: string, place: RegisterPlace): void {
    if (this.registers.has(name)) {
      // A name is used anew: no form may refer to its old meaning.
      for (const [other, { linear, ...rest }] of this.registers)
        if (linear?.terms.some((term) => mentions(term.atom, name))) this.registers.set(other, rest);
    }
    this.registers.set(name, place);
  }

  /** What changes when the register is assigned, and differs between loops: code of one version sees one value. */
  versionOf(name: string): string {
    return `${this.register(name).local} ${this.assignments.get(name) ?? 0} ${this.loops.map(({ number }) => number).join()}`;
  }

  noteAssignment(name: string): void {
    this.assignments.set(name, (this.assignments.get(name) ?? 0) + 1);
  }

  /** The sum of lanes that a register holds, where the vector has not changed since. */
  foldOf(name: string): KnownFold | undefined {
    const { fold } = this.register(name);
    return fold !== undefined && fold.version === this.versionOf(fold.vector.name) ? fold : undefined;
  }

  /** Names defined by `write` end with it. */
  block(write: () => void): void {
    const outer = this.registers;
    this.registers = new Map(outer);
    write();
    this.registers = outer;
  }

  /** `write` is the loop's body, in which `assigned` are assigned. */
  loop(preheader: Code, assigned: ReadonlySet<string>, write: () => void): void {
    this.loops.push({ number: this.nextLoop++, preheader, assigned, hoisted: new Map() });
    this.depth++;
    this.block(write);
    this.depth--;
    this.loops.pop();
  }

  /** The innermost loop that a value changes in; infinite for values that depend on memory. */
  depthOf(expression: Expression): number {
    switch (expression.kind) {
      case 'register': {
        const place = this.register(expression.name);
        if (!sameType(place.type, expression.type))
          throw malformed(this.kernel.name, `register ${expression.name} used as another type`);
        if (!place.mutable) return place.depth;
        const assigning = this.loops.findLastIndex((loop) => loop.assigned.has(expression.name)) + 1;
        return Math.max(place.depth, assigning);
      }
      case 'builtin':
        return this.register(builtinRegister(expression.name)).depth;
      case 'load':
      case 'load_shared':
        return Infinity;
      default:
        return operandsOf(expression).reduce((depth, operand) => Math.max(depth, this.depthOf(operand)), 0);
    }
  }

  /** Whether the expression is computed once outside of the loop that code is being written in. */
  isInvariant(expression: Expression): boolean {
    return operandsOf(expression).length > 0 && this.depthOf(expression) < this.depth;
  }

  /** The local of an invariant value; `write` writes it where it is needed for the first time. */
  hoist(expression: Expression, type: WasmType, write: () => void): number {
    const depth = this.depthOf(expression);
    const loop = this.loops[depth];
    if (loop === undefined) throw new Error('internal: hoisted out of no loop');
    const key = this.key(expression);
    const known = loop.hoisted.get(key);
    if (known !== undefined) return known;
    const local = this.writer.local(type);
    const outer = this.depth;
    this.depth = depth;
    this.writer.within(loop.preheader, () => {
      write();
      this.writer.set(local);
    });
    this.depth = outer;
    loop.hoisted.set(key, local);
    return local;
  }

  /** The same for expressions that compute the same from the same definitions. */
  key(expression: Expression): string {
    if (expression.kind === 'register') return `%${this.register(expression.name).local}`;
    const details = Object.entries(expression).map(([name, value]: [string, unknown]) =>
      typeof value === 'object' && value !== null && ('kind' in value || name === 'parts') ? '' : JSON.stringify(value),
    );
    return `(${details.join(' ')} ${operandsOf(expression)
      .map((operand) => this.key(operand))
      .join(' ')})`;
  }

  /** Writes a call of a helper function. */
  callHelper(name: HelperName): void {
    const add = (helper: HelperName): void => {
      for (const other of helperCalls[helper]) add(other);
      this.helpers.add(helper);
    };
    add(name);
    this.writer.call(name);
  }

  callImport(name: keyof typeof mathImports): void {
    this.imports.add(name);
    this.writer.call(name);
  }
}

/** Names that no kernel uses, for what is not a register in the kernel. */
export function builtinRegister(name: Builtin): string {
  return `@${name}`;
}

export function pointerRegister(buffer: string): string {
  return `@pointer ${buffer}`;
}

export function parameterRegister(name: string): string {
  return `@parameter ${name}`;
}

function mentions(expression: Expression, name: string): boolean {
  if (expression.kind === 'register') return expression.name === name;
  return operandsOf(expression).some((operand) => mentions(operand, name));
}
