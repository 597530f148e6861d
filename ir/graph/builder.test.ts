import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../diagnostics.js';
import { Dim } from '../dim.js';
import { type BlockBuilder, ModuleBuilder } from './builder.js';
import type { Value } from './graph.js';
import { NameScope } from './names.js';
import { printModule } from './print.js';
import { findProblems } from './verify.js';

function errorOf(build: () => unknown): Flux2cError {
  try {
    build();
  } catch (error) {
    if (error instanceof Flux2cError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the builders', () => {
  it('build functions with loops and fused operations', () => {
    const module = new ModuleBuilder();
    module.declareWeight('w', 'bf16', [4, 4]);
    const f = module.function('f');
    const x = f.input('x', 'f32', ['img', 4]);
    f.input('t', 'f32', ['steps', 1]);
    const w = f.emitOne('weight', [], { name: 'w' });
    const results = f.emitLoop('steps', 'step', [x], (body, [carried]) => {
      const product = body.emitOne('matmul', [carried as Value, w], { transposeB: true });
      return body.emitFused('map', [product, x], (kernel, [p, q]) => [
        kernel.emitOne('add', [kernel.emitOne('silu', [p as Value], {}), q as Value], {}),
      ]);
    });
    f.finish({ y: results[0] as Value });
    const built = module.build();
    expect(findProblems(built)).toEqual([]);
    expect(printModule(built)).toBe(`weight @w : bf16[4, 4] = tensor "w"

func @f(%x: f32[img, 4], %t: f32[steps, 1]) -> (y: %loop) {
  %loop = loop(%x) {count = steps, symbol = step} : f32[img, 4] do (%carried: f32[img, 4]) -> (%fused) {
    %matmul = matmul(%carried, @w) {transposeB = true} : f32[img, 4]
    %fused = fused(%matmul, %x) {anchor = map} : f32[img, 4] do (%p0: f32[img, 4], %p1: f32[img, 4]) -> (%add) {
      %silu = silu(%p0) : f32[img, 4]
      %add = add(%silu, %p1) : f32[img, 4]
    }
  }
}
`);
  });

  it('take names as hints and give out each once', () => {
    const f = new ModuleBuilder().function('f');
    const x = f.input('x', 'f32', [2, 4]);
    const [a, b] = f.emit('split', [x], { axis: 1, sizes: [Dim.of(2), Dim.of(2)] }, ['q', 'q']);
    const c = f.emitOne('neg', [a as Value], {}, 'q.1');
    expect([a?.name, b?.name, c.name]).toEqual(['q', 'q.1', 'q.2']);
  });

  it('refuse a loop whose body gives back other types, or another number', () => {
    const f = new ModuleBuilder().function('f');
    const x = f.input('x', 'f32', [2, 4]);
    const loop = (build: (body: BlockBuilder, x: Value) => readonly Value[]): Flux2cError =>
      errorOf(() => f.emitLoop(2, 'i', [x], (body, [carried]) => build(body, carried as Value)));
    expect(loop((body, carried) => [body.emitOne('cast', [carried], { dtype: 'bf16' })]).code).toBe('F2C122');
    expect(loop((_, carried) => [carried, carried]).detail.found).toBe('f32[2, 4], f32[2, 4]');
  });

  it('refuse a symbol that counts an enclosing loop, or is none', () => {
    const f = new ModuleBuilder().function('f');
    const x = f.input('x', 'f32', [2]);
    const nested = (body: BlockBuilder, carried: readonly Value[]): readonly Value[] =>
      body.emitLoop(2, 'i', carried, (_, inner) => inner);
    expect(errorOf(() => f.emitLoop(2, 'i', [x], nested)).code).toBe('F2C123');
    expect(errorOf(() => f.emitLoop(2, '2i', [x], (_, carried) => carried)).code).toBe('F2C101');
  });

  it('refuse values that a block cannot see', () => {
    const module = new ModuleBuilder();
    const f = module.function('f');
    const x = f.input('x', 'f32', [2]);
    let inner = x;
    f.emitLoop(2, 'i', [x], (body, [carried]) => [(inner = body.emitOne('neg', [carried as Value], {}))]);
    expect(errorOf(() => f.emit('abs', [inner], {})).code).toBe('F2C121');
    const error = errorOf(() => f.emitFused('map', [x], (body) => [body.emitOne('abs', [x], {})]));
    expect([error.code, error.detail.where]).toEqual(['F2C121', ["function 'f'", 'fused map', 'abs(%x: f32[2])']]);
    expect(errorOf(() => module.function('g').emit('abs', [x], {})).code).toBe('F2C121');
  });

  it('refuse weights with symbolic dimensions and functions without an end', () => {
    const module = new ModuleBuilder();
    expect(errorOf(() => module.declareWeight('w', 'f32', ['n'])).code).toBe('F2C125');
    expect(module.declareWeight('v', 'f32', [2])).toBe(module.declareWeight('v', 'f32', [2]));
    module.function('f');
    expect(errorOf(() => module.build()).code).toBe('F2C127');
  });
});

describe('NameScope', () => {
  it('counts on from a name with a number, and keeps away from names to come', () => {
    const scope = new NameScope(['a'], (name) => name === 'a.2' || name === 'b');
    expect(['a', 'a.1', 'a', 'b'].map((hint) => scope.fresh(hint))).toEqual(['a.1', 'a.3', 'a.4', 'b.1']);
    expect([scope.reserve('b'), scope.reserve('b'), scope.has('b')]).toEqual([true, false, true]);
  });
});
