/** Products of factors whose layout only the target knows: text, verification and interpretation. */
import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { printCuda } from '../../backends/cuda/cuda.js';
import { compileWasm } from '../../backends/cpu/wasm.js';
import { fragmentKernel, sharedKernel } from '../../test/f8e4m3-products.js';
import { codeOf } from '../../test/code-of.js';
import {
  largeCase,
  smallCase,
  subgroupProductKernel,
  subgroupProductOperands,
  type SubgroupProductCase,
} from '../../test/subgroup-products.js';
import { integer } from './expressions.js';
import { namesOf } from './statements.js';
import type { Statement, ThreadKernel } from './thread.js';
import { runThreadKernel } from './thread-interpret.js';
import { parseThreadKernel } from './thread-parse.js';
import { printThreadKernel } from './thread-print.js';
import { verifyThreadKernel, type ThreadLimits } from './thread-verify.js';

const limits: ThreadLimits = {
  workgroupMemory: 16384,
  maxWorkgroupInvocations: 256,
  matrix: 'subgroup',
  subgroupProduct: smallCase.product,
};
const cases: readonly SubgroupProductCase[] = [smallCase, largeCase].flatMap((one) => [
  one,
  { ...one, byDepth: !one.byDepth },
  { ...one, product: { rows: 8, columns: 4, depth: 16 }, subgroups: 1 },
]);
const smallText = subgroupProductKernel(smallCase);

function verified(kernel: ThreadKernel, own: ThreadLimits = limits): string {
  return codeOf(() => verifyThreadKernel(kernel, own), 'accepted');
}

/** A kernel whose body is these statements, on two subgroups of 8. */
function kernelOf(body: string, head = 'subgroup(8) product(8, 8, 8)'): ThreadKernel {
  return parseThreadKernel(`kernel @tested workgroup(16) ${head} params(count)
    buffer x: read i32 x1
    buffer y: read_write i32 x1
    shared stage: u32[64]
    shared wide: u32x4[64]
    shared slab: f32x4[64]
  { ${body} }`);
}

const factors = 'declare_sums c load_factor left a = stage[0] pitch 4 load_factor right b = stage[0] pitch 4';

describe('products of subgroups', () => {
  it.each(cases)('print what was parsed: $product, by depth $byDepth', (one) => {
    const text = subgroupProductKernel(one);
    expect(printThreadKernel(parseThreadKernel(text))).toBe(text);
    expect(namesOf(parseThreadKernel(text))).toEqual(expect.arrayContaining(['a_0', 'b_0', 'c_0', 'k']));
  });

  it.each(cases)('are accepted for a target that has them: $product, by depth $byDepth', (one) => {
    const kernel = parseThreadKernel(subgroupProductKernel(one));
    expect(verified(kernel, { ...limits, subgroupProduct: one.product })).toBe('accepted');
    expect(verified(kernel, { ...limits, subgroupProduct: { rows: 8, columns: 16, depth: 16 } })).toBe('F2C231');
  });

  it('are refused where the target has none, as are other products where it has them', () => {
    const { matrix, subgroupProduct, ...without } = limits;
    expect([matrix, subgroupProduct]).toEqual(['subgroup', smallCase.product]);
    for (const kernel of [parseThreadKernel(smallText), kernelOf('declare_sums c')]) {
      const { subgroupProduct: own, ...headless } = kernel;
      expect(own).toEqual(smallCase.product);
      for (const other of [without, { ...limits, matrix: 'mma' as const }, cudaTarget(['sm_90a'])]) {
        expect(verified(kernel, other)).toBe('F2C231');
        expect(verified(headless, other)).toBe('F2C231');
      }
      expect(verified(headless)).toBe('F2C230');
    }
    expect(verified(fragmentKernel, { ...cudaTarget(['sm_89']), matrix: 'subgroup' })).toBe('F2C231');
    expect(verified(sharedKernel, { ...cudaTarget(['sm_90a']), matrix: 'subgroup' })).toBe('F2C231');
  });

  it('are refused by backends that have none', () => {
    const wholeWarps = { ...parseThreadKernel(smallText), subgroupSize: 32, workgroupSize: 64 };
    expect(codeOf(() => printCuda(wholeWarps))).toBe('F2C231');
    expect(codeOf(() => compileWasm({ ...kernelOf('declare_sums c'), shared: [] }))).toBe('F2C215');
    const counting = { ...kernelOf('let i: i32 = subgroup_index'), shared: [] };
    expect(codeOf(() => compileWasm(counting))).toBe('F2C215');
    expect(printCuda({ ...counting, subgroupSize: 32, workgroupSize: 64 })).toContain(
      '  const int subgroup_index = int(threadIdx.x) / 32;\n  const int i = subgroup_index;',
    );
  });

  it.each([
    ['accepted', `${factors} multiply_factors c += a by b store_sums slab[0] pitch 2 = c`],
    ['accepted', 'load_factor right b = stage[0] pitch 4 by_depth'],
    ['F2C220', `${factors} multiply_factors d += a by b`],
    ['F2C220', `${factors} multiply_factors c += d by b`],
    ['F2C220', `${factors} multiply_factors c += a by d`],
    ['F2C220', 'store_sums slab[0] pitch 2 = c'],
    ['F2C220', 'if count < 1 { declare_sums c } store_sums slab[0] pitch 2 = c'],
    ['F2C222', `${factors} multiply_factors c += b by b`],
    ['F2C222', `${factors} multiply_factors c += a by a`],
    ['F2C222', `${factors} multiply_factors a += a by b`],
    ['F2C222', `${factors} store_sums slab[0] pitch 2 = b`],
    ['F2C222', 'var c: f32 = 0.0 store_sums slab[0] pitch 2 = c'],
    ['F2C222', `${factors} let d: f32 = 0.0 multiply_factors c += d by b`],
    ['F2C222', 'declare_sums c c = 1.0'],
    ['F2C222', 'load_factor left a = slab[0] pitch 4'],
    ['F2C223', 'load_factor left a = wide[0] pitch 4'],
    ['F2C222', 'declare_sums c store_sums stage[0] pitch 2 = c'],
    ['F2C222', 'load_factor left a = stage[0.0] pitch 4'],
    ['F2C222', 'declare_sums c store_sums slab[0.0] pitch 2 = c'],
    ['F2C226', 'load_factor left a = other[0] pitch 4'],
    ['F2C226', 'load_factor left a = x[0] pitch 4'],
    ['F2C226', 'declare_sums c store_sums other[0] pitch 2 = c'],
    ['F2C228', 'declare_sums c declare_sums c'],
    ['F2C228', 'let c: i32 = 1 declare_sums c'],
    ['F2C228', 'load_factor left a = stage[0] pitch 4 let a: i32 = 1'],
    ['F2C228', 'declare_sums stage'],
    ['F2C228', 'declare_sums subgroup_index'],
    ['F2C228', 'declare_sums by_depth'],
    ['F2C230', 'load_factor left a = stage[0] pitch 3'],
    ['F2C230', 'load_factor right b = stage[0] pitch 3 by_depth'],
    ['F2C230', 'load_factor right b = stage[0] pitch 3'],
    ['F2C230', 'declare_sums c store_sums slab[0] pitch 1 = c'],
  ])('%s: %s', (code, body) => {
    expect(verified(kernelOf(body))).toBe(code);
  });

  it('are refused where the text has no words for them', () => {
    const load: Statement = {
      kind: 'load_factor',
      name: 'a',
      side: 'left',
      array: 'stage',
      index: integer(0),
      pitch: 4.5,
      byDepth: true,
    };
    const withBody = (...body: readonly Statement[]): ThreadKernel => ({ ...kernelOf(''), body });
    expect(verified(withBody({ ...load, pitch: 4 }))).toBe('accepted');
    expect(verified(withBody(load))).toBe('F2C230');
    expect(verified(withBody({ ...load, pitch: 4, byDepth: false }))).toBe('F2C230');
    const value = { kind: 'register', name: 'a', type: { scalar: 'f32', lanes: 1 } } as const;
    const use: Statement = { kind: 'let', name: 'b', type: value.type, value };
    expect(verified(withBody({ ...load, pitch: 4 }, use))).toBe('F2C222');
  });

  it.each([
    ['F2C230', 'product(8, 8, 8)'],
    ['F2C230', 'subgroup(12) product(8, 8, 8)'],
    ['F2C230', 'subgroup(8) product(0, 8, 8)'],
    ['F2C230', 'subgroup(8) product(8, 6, 8)'],
    ['F2C230', 'subgroup(8) product(8, 8, 7)'],
    ['F2C231', 'subgroup(8) product(8, 8, 16)'],
  ])('need a head that fits, %s with %s', (code, head) => {
    expect(verified(kernelOf('declare_sums c', head))).toBe(code);
  });

  it('count subgroups only where their size is known', () => {
    expect(verified(kernelOf('let i: i32 = subgroup_index', ''))).toBe('F2C230');
    expect(verified(kernelOf('let i: i32 = subgroup_index', 'subgroup(8)'))).toBe('accepted');
  });

  it.each([
    ['accepted', 'if count < 1 {'],
    ['accepted', 'for i = 0 to count step 1 {'],
    ['F2C225', 'if local_index < 8 {'],
    ['F2C225', 'if subgroup_index < 1 {'],
    ['F2C225', 'for i = subgroup_index to 4 step 1 {'],
    ['F2C225', 'for i = 0 to y[0] step 1 {'],
  ])('come where all invocations come together, %s in %s', (code, head) => {
    for (const statement of [
      'declare_sums d',
      'load_factor left d = stage[0] pitch 4',
      'multiply_factors c += a by b',
      'store_sums slab[0] pitch 2 = c',
    ]) {
      expect(verified(kernelOf(`${factors} ${head} ${statement} }`)), statement).toBe(code);
    }
  });

  it.each([
    ['accepted', 'subgroup_index * 2'],
    ['accepted', 'workgroup_x + count'],
    ['accepted', 'x[subgroup_index]'],
    ['accepted', 'i * 4 + subgroup_index', 'for i = 0 to count step 1 { BODY }'],
    ['accepted', 'i', 'var i: i32 = 0 if subgroup_index < 1 { i = 1 } BODY'],
    ['accepted', 'i', 'var i: i32 = 0 for k = 0 to 4 step 1 { BODY i = i + subgroup_index }'],
    ['F2C225', 'local_index / 8'],
    ['F2C225', 'subgroup_lane'],
    ['F2C225', 'x[local_index]'],
    ['F2C225', 'y[0]'],
    ['F2C225', 'to_i32(stage[0])'],
    ['F2C225', 'i', 'var i: i32 = 0 if local_index < 1 { i = 1 } BODY'],
    ['F2C225', 'i', 'var i: i32 = 0 for k = 0 to 4 step 1 { BODY i = i + subgroup_index i = i + local_index }'],
  ])('lie where all of a subgroup say, %s at %s', (code, index, around = 'BODY') => {
    for (const body of [
      `load_factor left a = stage[${index}] pitch 4`,
      `declare_sums c store_sums slab[${index}] pitch 2 = c`,
    ]) {
      expect(verified(kernelOf(around.replace('BODY', body))), body).toBe(code);
    }
  });

  it('let subgroups part at no barrier', () => {
    expect(verified(kernelOf('if subgroup_index < 1 { barrier }'))).toBe('F2C225');
    const assigned = 'var i: i32 = 0 if subgroup_index < 1 { i = 1 } if i < 1 { barrier }';
    expect(verified(kernelOf(assigned))).toBe('F2C225');
  });
});

describe('interpreted products of subgroups', () => {
  function run(text: string, one: SubgroupProductCase): Float32Array {
    const { x, w, y } = subgroupProductOperands(one);
    const found = new Float32Array(y.length);
    runThreadKernel(parseThreadKernel(text), { x, w, y: found }, {}, [1, 1, 1]);
    return found;
  }

  function code(from: string, to: string): string {
    expect(smallText).toContain(from);
    return codeOf(() => run(smallText.replace(from, to), smallCase), 'ran');
  }

  it.each(cases)('come to a plain sum: $product, by depth $byDepth', (one) => {
    expect(run(subgroupProductKernel(one), one)).toEqual(subgroupProductOperands(one).y);
  });

  it('begin at 0 each time that the sums are declared', () => {
    const twice = smallText
      .replace('  declare_sums c_0\n', '')
      .replace('    barrier\n    load', '    barrier\n    declare_sums c_0\n    load')
      .replace('  store_sums', '    store_sums')
      .replace('c_0 += a_0 by b_0\n    barrier\n  }\n', 'c_0 += a_0 by b_0\n')
      .replace('= c_0\n  barrier\n', '= c_0\n    barrier\n  }\n');
    const { product, steps } = smallCase;
    const { x, w } = subgroupProductOperands(smallCase);
    // Only the last step's numbers are left.
    const clear = (numbers: Uint16Array): Uint16Array =>
      numbers.map((number, at) => (at % (product.depth * steps) < product.depth * (steps - 1) ? 0 : number));
    const found = [new Float32Array(128), new Float32Array(128)] as const;
    runThreadKernel(parseThreadKernel(twice), { x, w, y: found[0] }, {}, [1, 1, 1]);
    runThreadKernel(parseThreadKernel(smallText), { x: clear(x), w, y: found[1] }, {}, [1, 1, 1]);
    expect(found[0]).toEqual(found[1]);
  });

  it('find missing barriers, within a subgroup, too', () => {
    expect(code('    barrier\n    load_factor', '    load_factor')).toBe('F2C244');
    expect(code('a_0 by b_0\n    barrier\n', 'a_0 by b_0\n')).toBe('F2C244');
    expect(code('= c_0\n  barrier\n', '= c_0\n')).toBe('F2C244');
    expect(code('= c_0\n', '= c_0\n  store_sums slab[subgroup_index * 24] pitch 3 = c_0\n')).toBe('F2C244');
    // Its own invocation reads or writes the element just before or after.
    const own = 'local_index % 8 * 3 + subgroup_index * 24';
    expect(code('= c_0\n', `= c_0\n  let own: f32x4 = slab[${own}]\n`)).toBe('F2C244');
    expect(code('= c_0\n', `= c_0\n  slab[${own}] = 0.0:f32x4\n`)).toBe('F2C244');
    expect(code('  store_sums', `  slab[${own}] = 0.0:f32x4\n  store_sums`)).toBe('F2C244');
    expect(code('  store_sums', `  let own: f32x4 = slab[${own}]\n  store_sums`)).toBe('F2C244');
    expect(code('  store_sums', `  slab[${own}] = 0.0:f32x4\n  barrier\n  store_sums`)).toBe('ran');
    expect(code('  store_sums', `  let own: f32x4 = slab[${own}]\n  barrier\n  store_sums`)).toBe('ran');
  });

  it('read what was written, within the arrays', () => {
    expect(code('= stage_w[0] pitch 8', '= stage_w[0] pitch 9')).toBe('F2C248');
    expect(code('= stage_x[subgroup_index * 64]', '= stage_x[subgroup_index * 64 + 8]')).toBe('F2C242');
    expect(code('slab[subgroup_index * 24]', 'slab[subgroup_index * 24 + 24]')).toBe('F2C242');
    expect(code('slab[subgroup_index * 24]', 'slab[subgroup_index * 24 - 1]')).toBe('F2C242');
  });

  it('need whole subgroups', () => {
    const multiply = 'multiply_factors c_0 += a_0 by b_0';
    expect(code(multiply, `if local_index < 4 { ${multiply} }`)).toBe('F2C247');
    expect(code(multiply, `if local_index < 8 { ${multiply} }`)).toBe('ran');
  });
});
