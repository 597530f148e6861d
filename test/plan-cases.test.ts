import { describe, expect, it } from 'vitest';
import { cpuTarget, portableWebgpu, type Target } from '../backends/target.js';
import type { DimBinding } from '../ir/dim.js';
import { parseModule } from '../ir/graph/parse.js';
import type { HostTensor } from '../ir/host-tensor.js';
import { roundToDType } from '../ir/graph/ops/rounding.js';
import { patternCases, patternWeights } from './run-pass.js';
import { hostTensor, patternTensor } from './run-operation.js';
import { validatePlan } from './validate-plan.js';

const targets: readonly (readonly [string, Target])[] = [
  ['portable WebGPU', portableWebgpu],
  ['the processor', cpuTarget],
];

/** Compiles and runs a function given as text on pattern inputs, on both targets, against the interpreter. */
function checkText(text: string, sizes: DimBinding = {}, given: Readonly<Record<string, HostTensor>> = {}): void {
  const module = parseModule(text);
  const [sample] = patternCases(module, sizes);
  if (sample === undefined) throw new Error('no function');
  const inputs = new Map([...sample.inputs, ...Object.entries(given)]);
  for (const [name, target] of targets) {
    const readTensor = patternWeights(module);
    try {
      validatePlan({ module, functionName: sample.functionName, inputs, readTensor }, target);
    } catch (error) {
      throw new Error(`on ${name}: ${String(error)}`, { cause: error });
    }
  }
}

interface Case {
  readonly name: string;
  readonly text: string;
  readonly sizes?: DimBinding;
}

const results: readonly Case[] = [
  { name: 'an input', text: 'func @f(%x: f32[n, 3]) -> (y: %x) {\n}', sizes: { n: 5 } },
  { name: 'an input twice', text: 'func @f(%x: f32[n, 3]) -> (y: %x, z: %x) {\n}', sizes: { n: 5 } },
  { name: 'a value twice', text: 'func @f(%x: f32[n]) -> (y: %s, z: %s) {\n %s = silu(%x)\n}', sizes: { n: 5 } },
  {
    name: 'a value and views of it',
    text: `func @f(%x: f32[n, 6]) -> (y: %s, z: %r, t: %t, u: %u) {
      %s = silu(%x)
      %r = reshape(%s) {shape = [n, 2, 3]}
      %t = transpose(%s) {permutation = [1, 0]}
      %u = slice(%s) {axis = 1, start = 1, size = 4}
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'views of an input',
    text: `func @f(%x: f32[n, 6]) -> (z: %r, t: %t, u: %u, b: %b) {
      %r = reshape(%x) {shape = [6*n]}
      %t = transpose(%x) {permutation = [1, 0]}
      %u, %v = split(%x) {axis = 1, sizes = [1, 5]}
      %b = broadcast(%u) {shape = [2, n, 3]}
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'weights, narrow and as views',
    text: `weight @a : bf16[3, 5] = tensor "a"
    weight @b : f32[4] = tensor "b"
    func @f(%x: f32[n]) -> (a: @a, b: @b, t: %t, c: %c) {
      %t = transpose(@a) {permutation = [1, 0]}
      %c = concat(@a, @a) {axis = 0}
    }`,
    sizes: { n: 1 },
  },
  {
    name: 'constants, dense and not, and iota',
    text: `func @f(%x: f32[n]) -> (a: %a, b: %b, c: %c, d: %d) {
      %a = constant() {dtype = f32, shape = [2, 2], values = [1, 2, 3, 4]}
      %b = constant() {dtype = f32, shape = [n], values = [0.5]}
      %c = iota() {size = 2*n}
      %d = add(%c, 3)
    }`,
    sizes: { n: 3 },
  },
  {
    name: 'scalars',
    text: `func @f(%x: f32[], %y: f32[n]) -> (a: %a, b: %b, c: %c) {
      %a = exp(%x)
      %b = reduce_sum(%y) {axes = [0], keepDims = false}
      %c = add(%a, %b)
    }`,
    sizes: { n: 7 },
  },
];

const concatenations: readonly Case[] = [
  {
    name: 'one value twice',
    text: 'func @f(%x: f32[n, 3]) -> (y: %c) {\n %s = silu(%x)\n %c = concat(%s, %s) {axis = 1}\n}',
    sizes: { n: 3 },
  },
  {
    name: 'a value beside a view of it',
    text: `func @f(%x: f32[n, 4]) -> (y: %c) {
      %s = silu(%x)
      %h = slice(%s) {axis = 1, start = 1, size = 2}
      %c = concat(%s, %h) {axis = 1}
    }`,
    sizes: { n: 3 },
  },
  {
    name: 'of concatenations, with several readers',
    text: `func @f(%x: f32[n, 4], %y: f32[n, 3]) -> (a: %a, b: %b, c: %c2) {
      %s = silu(%x)
      %t = tanh(%y)
      %c = concat(%s, %t) {axis = 1}
      %c2 = concat(%c, %x) {axis = 1}
      %a = exp(%c)
      %b = neg(%s)
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'pieces of a product in another order',
    text: `weight @w : f32[10, 4] = tensor "w"
    func @f(%x: f32[n, 4]) -> (y: %r) {
      %p = matmul(%x, @w) {transposeB = true}
      %a, %b, %c = split(%p) {axis = 1, sizes = [3, 2, 5]}
      %j = concat(%c, %a, %b) {axis = 1}
      %r = silu(%j)
    }`,
    sizes: { n: 9 },
  },
  {
    name: 'rows from before a loop, and of each step, inside of it',
    text: `func @f(%x: f32[n, 4], %h: f32[3, 4]) -> (y: %y) {
      %s = silu(%h)
      %y = loop(%x) {count = 3, symbol = i} do (%c: f32[n, 4]) -> (%next) {
        %t = tanh(%c)
        %all = concat(%t, %s) {axis = 0}
        %row = slice(%s) {axis = 0, start = i, size = 1}
        %sum = reduce_mean(%all) {axes = [0], keepDims = true}
        %a = add(%c, %sum)
        %next = mul(%a, %row)
      }
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'in an order that only its pieces have',
    text: `func @f(%x: f32[n, 4]) -> (y: %t) {
      %s = silu(%x)
      %c = concat(%x, %s) {axis = 0}
      %r = reshape(%c) {shape = [n, 2, 4]}
      %t = transpose(%r) {permutation = [2, 1, 0]}
    }`,
    sizes: { n: 3 },
  },
  {
    name: 'a part that has no rows',
    text: `func @f(%x: f32[n, 4], %y: f32[m, 4]) -> (y: %s) {
      %a = silu(%x)
      %b = exp(%y)
      %c = concat(%a, %b) {axis = 0}
      %s = neg(%c)
    }`,
    sizes: { n: 3, m: 0 },
  },
];

const loops: readonly Case[] = [
  {
    name: 'swap what they carry',
    text: `func @f(%x: f32[n], %y: f32[n]) -> (a: %a, b: %b) {
      %a, %b = loop(%x, %y) {count = 3, symbol = i} do (%p: f32[n], %q: f32[n]) -> (%q, %p) {
      }
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'turn three values and change one',
    text: `func @f(%x: f32[n], %y: f32[n], %z: f32[n]) -> (a: %a, b: %b, c: %c) {
      %a, %b, %c = loop(%x, %y, %z) {count = 4, symbol = i} do (%p: f32[n], %q: f32[n], %r: f32[n]) -> (%q, %s, %p) {
        %s = add(%r, %p)
      }
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'hand one value on twice, and what was there before',
    text: `func @f(%x: f32[n], %y: f32[n]) -> (a: %a, b: %b, c: %c) {
      %a, %b, %c = loop(%x, %y, %x) {count = 2, symbol = i} do (%p: f32[n], %q: f32[n], %r: f32[n]) -> (%s, %s, %y) {
        %s = add(%p, %q)
      }
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'run no times',
    text: `func @f(%x: f32[n], %k: f32[k]) -> (a: %b) {
      %a = loop(%x) {count = k, symbol = i} do (%p: f32[n]) -> (%s) {
        %s = silu(%p)
      }
      %b = neg(%a)
    }`,
    sizes: { n: 5, k: 0 },
  },
  {
    name: 'read transposed and in pieces what they carry, and stand in each other',
    text: `func @f(%x: f32[4, 4]) -> (a: %c) {
      %a = loop(%x) {count = 2, symbol = i} do (%p: f32[4, 4]) -> (%b) {
        %t = transpose(%p) {permutation = [1, 0]}
        %u, %v = split(%p) {axis = 1, sizes = [1, 3]}
        %w = concat(%v, %u) {axis = 1}
        %b = loop(%t) {count = 3, symbol = j} do (%q: f32[4, 4]) -> (%s) {
          %r = slice(%w) {axis = 0, start = i+j, size = 1}
          %m = mul(%q, %r)
          %s = tanh(%m)
        }
      }
      %l, %o = split(%x) {axis = 1, sizes = [2, 2]}
      %j = concat(%a, %l) {axis = 1}
      %c = neg(%j)
    }`,
  },
  {
    name: 'hold constants and numbers in order',
    text: `func @f(%x: f32[4], %n: f32[n]) -> (a: %a) {
      %a = loop(%x) {count = 2, symbol = i} do (%p: f32[4]) -> (%t) {
        %c = constant() {dtype = f32, shape = [4], values = [1, -2, 3, 0.5]}
        %o = iota() {size = 4}
        %f = cast(%o) {dtype = f32}
        %s = add(%p, %c)
        %t = mul(%s, %f)
      }
    }`,
    sizes: { n: 1 },
  },
];

const numbers: readonly Case[] = [
  {
    name: 'integers beyond the floats',
    text: `func @f(%x: i32[n]) -> (a: %c, b: %e, d: %q, g: %g) {
      %big = constant() {dtype = i32, shape = [], values = [1073741827]}
      %c = add(%x, %big)
      %c1 = add(%c, 1)
      %e = less(%c, %c1)
      %m = mul(%c, %c)
      %q = div(%m, %x)
      %u = cast(%m) {dtype = u32}
      %g = cast(%u) {dtype = f32}
    }`,
    sizes: { n: 9 },
  },
  {
    name: 'booleans',
    text: `func @f(%x: f32[n, 4], %b: bool[n, 1], %c: bool[4]) -> (a: %s, d: %t, e: %j, g: %i) {
      %l = less(%x, 0.25)
      %q = equal(%l, %b)
      %s = select(%q, %x, 3)
      %t = transpose(%q) {permutation = [1, 0]}
      %w = broadcast(%c) {shape = [n, 4]}
      %j = concat(%q, %w) {axis = 0}
      %v = cast(%j) {dtype = f32}
      %i = cast(%v) {dtype = bool}
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'padded integers and floats, with values',
    text: `func @f(%x: i32[n, 3], %y: f32[n, 4]) -> (a: %p, b: %t) {
      %p = pad(%x) {low = [1, 0], high = [0, 2], value = -7}
      %s = silu(%y)
      %q = pad(%s) {low = [0, 1], high = [1, 3], value = 0}
      %r = reshape(%q) {shape = [4*n+4, 2]}
      %t = exp(%r)
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'rows looked up on the device, of rank 0, 1 and 2, from views',
    text: `func @f(%x: f32[6, n], %ids: i32[3, 2], %one: i32[]) -> (a: %g, b: %h, c: %i) {
      %t = transpose(%x) {permutation = [1, 0]}
      %s = silu(%t)
      %g = gather(%s, %ids)
      %h = gather(%s, %one)
      %idsT = transpose(%ids) {permutation = [1, 0]}
      %k = gather(%s, %idsT)
      %i = neg(%k)
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'rows whose numbers are known',
    text: `func @f(%x: f32[6, n]) -> (a: %g) {
      %s = silu(%x)
      %c = constant() {dtype = i32, shape = [1], values = [4]}
      %g = gather(%s, %c)
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'dense constants as operands',
    text: `func @f(%x: f32[n, 4]) -> (a: %m, b: %s) {
      %c = constant() {dtype = f32, shape = [4], values = [1, -2, 3, 0.5]}
      %w = constant() {dtype = f32, shape = [2, 4], values = [1, 2, 3, 4, 5, 6, 7, 8]}
      %a = add(%x, %c)
      %m = matmul(%a, %w) {transposeB = true}
      %s = mul(%c, %a)
    }`,
    sizes: { n: 3 },
  },
  {
    name: 'a size symbol for every name that kernels use themselves',
    text: `func @f(%a: f32[m, n], %b: f32[k, n], %c: f32[z, c, d, 4], %e: f32[z, c, j, 4], %r: f32[r, t0], %s: f32[p0, s0], %o: f32[origin_x, a0_base]) -> (a: %p, b: %q, c: %u, d: %v, e: %w, g: %x) {
      %p = matmul(%a, %b) {transposeB = true}
      %q = attention(%c, %e, %e) {scale = 0.5, causal = true}
      %u = layer_norm(%r) {eps = 0.01}
      %t = transpose(%s) {permutation = [1, 0]}
      %v = reshape(%t) {shape = [p0*s0]}
      %w = reduce_sum(%r) {axes = [0], keepDims = false}
      %x = pad(%o) {low = [1, 0], high = [0, 1], value = 2}
    }`,
    sizes: { m: 5, n: 6, k: 3, z: 2, c: 2, d: 5, j: 3, r: 3, t0: 7, p0: 3, s0: 5, origin_x: 2, a0_base: 3 },
  },
];

const empty: readonly Case[] = [
  {
    name: 'no rows',
    text: `weight @w : f32[8, 4] = tensor "w"
    func @f(%x: f32[n, 4]) -> (y: %y, z: %z, s: %s) {
      %p = matmul(%x, @w) {transposeB = true}
      %y = silu(%p)
      %z = layer_norm(%y) {eps = 0.01}
      %s = reduce_sum(%y) {axes = [0], keepDims = false}
    }`,
    sizes: { n: 0 },
  },
  {
    name: 'nothing to sum, known and not known beforehand',
    text: `func @f(%x: f32[3, n], %y: f32[5, n], %a: f32[3, 0], %b: f32[5, 0]) -> (y: %p, z: %q, s: %s, t: %t) {
      %p = matmul(%x, %y) {transposeB = true}
      %q = matmul(%a, %b) {transposeB = true}
      %s = reduce_sum(%x) {axes = [1], keepDims = true}
      %t = reduce_max(%a) {axes = [1], keepDims = false}
    }`,
    sizes: { n: 0 },
  },
  {
    name: 'pictures without rows, columns and number, and their moments',
    text: `weight @w : f32[4] = tensor "w"
    func @f(%x: f32[2, n, 3, 4], %y: f32[2, 3, n, 4], %z: f32[n, 3, 3, 4]) -> (x: %a, y: %b, z: %c, m: %p, n: %q) {
      %a = group_norm(%x, @w, @w) {groups = 2, eps = 0.01}
      %b = group_norm(%y, @w, @w) {groups = 2, eps = 0.01}
      %c = group_norm(%z, @w, @w) {groups = 2, eps = 0.01}
      %p = group_moments(%y) {groups = 4}
      %m = group_moments(%x) {groups = 1}
      %q = combine_moments(%m) {eps = 0.01}
    }`,
    sizes: { n: 0 },
  },
  {
    name: 'no keys',
    text: `func @f(%q: f32[2, 3, 5, 4], %k: f32[2, 3, n, 4], %m: bool[2, n]) -> (y: %y) {
      %y = attention(%q, %k, %k, %m) {scale = 1, causal = false}
    }`,
    sizes: { n: 0 },
  },
  {
    name: 'slices of nothing',
    text: `func @f(%x: f32[n, 4]) -> (y: %y, z: %s) {
      %y = slice(%x) {axis = 1, start = 2, size = 0}
      %e = exp(%y)
      %c = concat(%e, %x) {axis = 1}
      %s = silu(%c)
    }`,
    sizes: { n: 3 },
  },
];

const movement: readonly Case[] = [
  {
    name: 'chains of reshapes and transposes that strides cannot say',
    text: `func @f(%x: f32[n, 4, 6]) -> (y: %y, z: %z) {
      %s = silu(%x)
      %a = transpose(%s) {permutation = [1, 0, 2]}
      %b = reshape(%a) {shape = [2, 2*n, 6]}
      %c = transpose(%b) {permutation = [0, 2, 1]}
      %d = reshape(%c) {shape = [12, 2*n]}
      %y = neg(%d)
      %e = reshape(%x) {shape = [2*n, 12]}
      %g = transpose(%e) {permutation = [1, 0]}
      %h = reshape(%g) {shape = [3, 8*n]}
      %z = transpose(%h) {permutation = [1, 0]}
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'patches taken apart and put together',
    text: `func @f(%x: f32[b, 2*h, 2*w, 3]) -> (y: %y, z: %z) {
      %r = reshape(%x) {shape = [b, h, 2, w, 2, 3]}
      %t = transpose(%r) {permutation = [0, 1, 3, 5, 2, 4]}
      %p = reshape(%t) {shape = [b, h*w, 12]}
      %y = layer_norm(%p) {eps = 0.01}
      %q = reshape(%y) {shape = [b, h, w, 3, 2, 2]}
      %u = transpose(%q) {permutation = [0, 1, 4, 2, 5, 3]}
      %v = reshape(%u) {shape = [b, 2*h, 2*w, 3]}
      %z = add(%v, %x)
    }`,
    sizes: { b: 2, h: 3, w: 5 },
  },
  {
    name: 'broadcasting in odd places',
    text: `func @f(%x: f32[n, 1, 4], %y: f32[3, 1], %z: f32[1, 1, 1], %s: f32[]) -> (a: %a, b: %b, c: %c) {
      %p = add(%x, %y)
      %q = mul(%p, %z)
      %a = sub(%q, %s)
      %e = exp(%y)
      %w = broadcast(%e) {shape = [2, 3, 5]}
      %b = silu(%w)
      %i = broadcast(%x) {shape = [n, 3, 4]}
      %t = transpose(%i) {permutation = [2, 0, 1]}
      %c = softmax(%t)
    }`,
    sizes: { n: 5 },
  },
  {
    name: 'sums of symbols split and joined',
    text: `weight @w : bf16[8, 4] = tensor "w"
    func @f(%x: f32[img, 4], %y: f32[txt, 4]) -> (a: %a, b: %b, c: %m) {
      %j = concat(%y, %x) {axis = 0}
      %p = matmul(%j, @w) {transposeB = true}
      %h = reshape(%p) {shape = [img+txt, 2, 4]}
      %t = transpose(%h) {permutation = [1, 0, 2]}
      %a, %b = split(%t) {axis = 1, sizes = [txt, img]}
      %m = reduce_mean(%b) {axes = [1], keepDims = false}
    }`,
    sizes: { img: 7, txt: 5 },
  },
  {
    name: 'pieces at places that are no multiples, of padded and upsampled values',
    text: `func @f(%x: f32[2, n, 3, 4]) -> (a: %a, b: %b, c: %c) {
      %u = upsample_nearest(%x) {factor = 3}
      %p = pad(%u) {low = [0, 1, 2, 0], high = [0, 0, 1, 1], value = 0.5}
      %q = reshape(%p) {shape = [2, 3*n+1, 60]}
      %a0, %b0, %c0 = split(%q) {axis = 2, sizes = [7, 13, 40]}
      %a = neg(%a0)
      %b = exp(%b0)
      %c = silu(%c0)
    }`,
    sizes: { n: 2 },
  },
];

describe.each([
  ['results of functions', results],
  ['concatenations', concatenations],
  ['loops', loops],
  ['numbers', numbers],
  ['empty tensors', empty],
  ['movement', movement],
])('%s', (_, cases) => {
  it.each(cases)('$name', ({ text, sizes }) => checkText(text, sizes));
});

describe('products', () => {
  const extents = [1, 3, 4, 8, 17, 36];
  it.each(extents)('of %i columns, with and without a transposed operand', (columns) => {
    for (const depth of [1, 4, 6, 20]) {
      for (const rows of [1, 5, 33]) {
        checkText(`weight @w : bf16[${columns}, ${depth}] = tensor "w"
        func @f(%x: f32[n, ${depth}], %b: f32[${depth}, ${columns}], %s: f32[${rows}, ${depth}]) -> (y: %y, z: %z, g: %g) {
          %p = matmul(%x, @w) {transposeB = true}
          %y = silu(%p)
          %z = matmul(%x, %b) {transposeB = false}
          %q = matmul(%s, %b) {transposeB = false}
          %g = add(%q, %q)
        }`, { n: rows }); // prettier-ignore
      }
    }
  });

  it.each([
    ['[3, n, 4]', '[3, 5, 4]', true],
    ['[n, 4]', '[2, 5, 4]', true],
    ['[2, 1, n, 4]', '[3, 4, 6]', false],
    ['[2, 3, n, 6]', '[2, 1, 8, 6]', true],
    ['[2, 3, n, 6]', '[8, 6]', true],
    ['[1, 6]', '[2, 6, n]', false],
  ])('of %s with %s (transposed: %s)', (a, b, transposed) => {
    checkText(
      `func @f(%n: f32[n], %a: f32${a}, %b: f32${b}) -> (y: %y) {
        %p = matmul(%a, %b) {transposeB = ${transposed}}
        %y = tanh(%p)
      }`,
      { n: 7 },
    );
  });

  it('take an epilogue of their shape from either side, and are split', () => {
    checkText(
      `weight @w : f32[12, 8] = tensor "w"
      func @f(%x: f32[n, 8], %r: f32[n, 12], %g: f32[12]) -> (a: %a, b: %b, c: %c) {
        %p = matmul(%x, @w) {transposeB = true}
        %e = exp(%g)
        %m = mul(%e, %p)
        %s = silu(%r)
        %y = add(%s, %m)
        %a, %b, %c = split(%y) {axis = 1, sizes = [4, 3, 5]}
      }`,
      { n: 9 },
    );
  });
});

describe('convolutions', () => {
  it.each([
    [1, '[0, 0, 0, 0]', 1],
    [1, '[1, 1, 1, 1]', 3],
    [2, '[0, 0, 1, 1]', 3],
    [2, '[1, 0, 0, 1]', 2],
    [3, '[2, 2, 0, 0]', 3],
  ])('with stride %i, padding %s and filters of %i', (stride, padding, filter) => {
    // With a stride, the height must be known or a multiple of it.
    const height = stride === 1 ? 'h' : '6';
    for (const [channels, filters] of [
      [3, 5],
      [4, 8],
      [8, 3],
    ] as const) {
      checkText(
        `weight @w : bf16[${filters}, ${filter}, ${filter}, ${channels}] = tensor "w"
        func @f(%x: f32[2, ${height}, 7, ${channels}], %n: f32[h], %b: f32[${filters}]) -> (y: %y, z: %z) {
          %c = conv2d(%x, @w) {stride = ${stride}, padding = ${padding}}
          %y = add(%c, %b)
          %s = silu(%x)
          %u = upsample_nearest(%s) {factor = 2}
          %z = conv2d(%u, @w) {stride = ${stride}, padding = ${padding}}
        }`,
        { h: 6 },
      ); // prettier-ignore
    }
  });
});

describe('attention', () => {
  it.each([
    [4, 2, 2, false, false],
    [8, 4, 1, true, false],
    [6, 2, 1, false, true],
    [16, 1, 1, true, true],
    [1, 3, 3, false, false],
  ])('with heads of %i, %i over %i, causal %s, masked %s', (size, heads, keyHeads, causal, masked) => {
    const text = `func @f(%q: f32[b, s, ${heads}, ${size}], %k: f32[b, ${keyHeads}, t, ${size}], %v: f32[b, t, ${keyHeads}, ${size}], %m: bool[b, t]) -> (y: %y) {
      %h = transpose(%q) {permutation = [0, 2, 1, 3]}
      %w = transpose(%v) {permutation = [0, 2, 1, 3]}
      %a = attention(%h, %k, %w${masked ? ', %m' : ''}) {scale = 0.5, causal = ${causal}}
      %o = transpose(%a) {permutation = [0, 2, 1, 3]}
      %y = reshape(%o) {shape = [b, s, ${heads * size}]}
    }`;
    for (const [s, t] of [[1, 1], [35, 9], [5, 16]] as const) checkText(text, { b: 2, s, t }); // prettier-ignore
  });

  it('gives 0 to a query whose keys are all masked', () => {
    const text = `func @f(%q: f32[2, 1, 3, 4], %k: f32[2, 1, 5, 4], %m: bool[2, 5]) -> (y: %y) {
      %y = attention(%q, %k, %k, %m) {scale = 1, causal = false}
    }`;
    checkText(text, {}, { m: hostTensor('bool', [2, 5], [0, 0, 0, 0, 0, 1, 0, 1, 0, 0]) });
  });
});

describe('rows and statistics', () => {
  it.each([1, 5, 36, 260])('of %i numbers', (size) => {
    checkText(
      `weight @w : bf16[${size}] = tensor "w"
      func @f(%x: f32[n, ${size}], %y: f32[2, n, ${size}]) -> (a: %a, b: %b, c: %c, d: %d, e: %e, g: %g) {
        %l = layer_norm(%x) {eps = 0.01}
        %m = mul(%l, %x)
        %a = add(%m, 1)
        %b = rms_norm(%y, @w) {eps = 0.01}
        %c = softmax(%y)
        %d = reduce_max(%y) {axes = [0, 2], keepDims = true}
        %e = reduce_mean(%y) {axes = [1], keepDims = false}
        %g = reduce_sum(%y) {axes = [2, 0, 1], keepDims = false}
      }`,
      { n: 35 },
    );
  });

  it.each([
    [4, 2],
    [12, 3],
    [6, 1],
  ])('of groups: %i channels in %i', (channels, groups) => {
    checkText(
      `weight @w : bf16[${channels}] = tensor "w"
      weight @b : f32[${channels}] = tensor "b"
      func @f(%x: f32[2, h, 5, ${channels}]) -> (y: %y) {
        %g = group_norm(%x, @w, @b) {groups = ${groups}, eps = 0.01}
        %y = silu(%g)
      }`,
      { h: 7 },
    );
  });

  it('of groups: moments of what was moved and computed, in one picture, of several ranks', () => {
    checkText(
      `func @f(%x: f32[b, h, 4, 12], %y: f32[b, 8], %z: f32[b, h, 6], %u: f32[1, h, 2, w, 8]) -> (x: %x2, y: %y2, z: %z2, u: %u2) {
        %t = transpose(%x) {permutation = [0, 2, 1, 3]}
        %s = silu(%t)
        %x1 = group_moments(%s) {groups = 3}
        %x2 = combine_moments(%x1) {eps = 0.01}
        %y2 = group_moments(%y) {groups = 2}
        %z2 = group_moments(%z) {groups = 6}
        %u1 = group_moments(%u) {groups = 1}
        %v = slice(%u1) {axis = 1, start = 1, size = 4}
        %u2 = combine_moments(%v) {eps = 0.01}
      }`,
      { b: 3, h: 10, w: 5 },
    );
  });

  it('of groups: a large mean with a small variance', () => {
    // Exact sums of whole numbers, but no exact sum of their squares.
    const { shape, data } = patternTensor('i32', [2, 16, 8, 8], 3);
    checkText(
      `func @f(%x: f32[2, h, 8, 8]) -> (v: %v, d: %d) {
        %m = group_moments(%x) {groups = 2}
        %v = slice(%m) {axis = 3, start = 1, size = 1}
        %s = combine_moments(%m) {eps = 0.001}
        %d = slice(%s) {axis = 2, start = 1, size = 1}
      }`,
      { h: 16 },
      {
        x: hostTensor(
          'f32',
          shape,
          data.map((value) => 1e4 + value),
        ),
      },
    );
  });

  it.each(['interleaved', 'half'])('turned by %s rotary tables', (style) => {
    for (const size of [2, 6, 8, 12]) {
      checkText(
        `weight @w : f32[${size}] = tensor "w"
        func @f(%x: f32[b, s, 3, ${size}], %c: f32[s, ${size / 2}], %d: f32[s, ${size / 2}]) -> (y: %y, z: %z) {
          %n = rms_norm(%x, @w) {eps = 0.01}
          %y = rope(%n, %c, %d) {style = ${style}}
          %s = silu(%x)
          %r = rope(%s, %c, %d) {style = ${style}}
          %z = transpose(%r) {permutation = [0, 2, 1, 3]}
        }`,
        { b: 2, s: 5 },
      );
    }
  });
});

describe('quantised rows', () => {
  const product = `weight @w : f32[12, 8] = tensor "w"
    func @f(%x: f32[b, n, 8], %g: f32[b, 1, 8]) -> (y: %y) {
      %l = layer_norm(%x) {eps = 1e-6}
      %m = mul(%l, %g)
      %q, %s = quantize_rows(%m) {dtype = f8e4m3}
      %u, %t = quantize_rows(@w) {dtype = f8e4m3}
      %r = reshape(%t) {shape = [12]}
      %p = matmul(%q, %u) {transposeB = true}
      %a = mul(%p, %s)
      %y = mul(%a, %r)
    }`;

  it('are multiplied and scaled by rows and columns', () => {
    checkText(product, { b: 2, n: 5 });
    checkText(product, { b: 1, n: 33 });
  });

  it('lie apart, in any order', () => {
    checkText(
      `func @f(%x: f32[n, 3, 8]) -> (y: %y, z: %s) {
        %t = transpose(%x) {permutation = [1, 0, 2]}
        %q, %s = quantize_rows(%t) {dtype = f8e4m3}
        %c = cast(%q) {dtype = f32}
        %y = mul(%c, %s)
      }`,
      { n: 6 },
    );
  });
});

describe('narrow types', () => {
  it.each(['f16', 'bf16', 'f8e4m3'] as const)('round to %s exactly', (dtype) => {
    const special = [0, -0, 1, 65504, 65519.99, 65520, -1e6, 2 ** -24, 2 ** -25, 3 * 2 ** -25, 2 ** -14, 1 + 2 ** -11];
    const small = [17, 19, 449, 464, 2 ** -9, 2 ** -10, 3 * 2 ** -10, 2 ** -6, 0.0146];
    const ties = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -9, 6.1e-5, 5.96e-8, 1e-30, 3e38, Infinity, -Infinity, NaN];
    const values = [...special, ...small, ...ties, ...ties.map((value) => -value)].map(Math.fround);
    const module = parseModule(
      `func @f(%x: f32[n], %y: f32[4*m]) -> (a: %b, c: %d) {
        %a = cast(%x) {dtype = ${dtype}}
        %b = cast(%a) {dtype = f32}
        %c = cast(%y) {dtype = ${dtype}}
        %d = cast(%c) {dtype = f32}
      }`,
    );
    const inputs = new Map([
      ['x', hostTensor('f32', [values.length], values)],
      ['y', hostTensor('f32', [32], values.slice(0, 32))],
    ]);
    const readTensor = patternWeights(module);
    const expected = values.map((value) => roundToDType(dtype, value));
    for (const [, target] of targets) {
      const { results: got } = validatePlan({ module, functionName: 'f', inputs, readTensor }, target);
      expect([...(got.get('a')?.data ?? [])]).toEqual(expected);
      expect([...(got.get('c')?.data ?? [])]).toEqual(expected.slice(0, 32));
    }
  });
});

describe('what no kernel can do', () => {
  it.each([
    ['F2C303', 'func @f(%q: f32[1, 1, 3, n]) -> (y: %y) {\n %y = attention(%q, %q, %q) {scale = 1, causal = false}\n}'],
    ['F2C301', 'func @f(%x: i64[n]) -> (y: %y) {\n %y = add(%x, %x)\n}'],
    ['F2C305', 'func @f(%x: f32[n]) -> (y: %y) {\n %y = loop(%x) {count = 2, symbol = i} do (%p: f32[n]) -> (%r) {\n %t = timestep_embedding(%p) {size = 2, maxPeriod = 100, scale = 1}\n %r = reduce_sum(%t) {axes = [1], keepDims = false}\n }\n}'],
  ])('is error %s', (code, text) => {
    expect(() => checkText(text, { n: 3 })).toThrow(expect.objectContaining({ cause: expect.objectContaining({ code }) }));
  }); // prettier-ignore

  it('names what a target with few storage buffers cannot bind', () => {
    const text = `func @f(%q: f32[1, 1, 3, 4], %m: bool[1, 3]) -> (y: %y) {
      %k = silu(%q)
      %v = neg(%q)
      %y = attention(%q, %k, %v, %m) {scale = 1, causal = false}
    }`;
    const module = parseModule(text);
    const [sample] = patternCases(module, {});
    const inputs = sample?.inputs ?? new Map<string, HostTensor>();
    const few = { ...portableWebgpu, maxStorageBuffers: 4 };
    expect(() => validatePlan({ module, functionName: 'f', inputs, readTensor: patternWeights(module) }, few)).toThrow(
      expect.objectContaining({ code: 'F2C306' }),
    );
  });
});
