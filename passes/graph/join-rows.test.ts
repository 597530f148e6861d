import { describe, expect, it } from 'vitest';
import { cudaTarget } from '../../backends/cuda/cuda-target.js';
import { portableWebgpu } from '../../backends/target.js';
import { interpretFunction } from '../../ir/graph/interpret.js';
import { parseModule } from '../../ir/graph/parse.js';
import { materializeWeight } from '../../ir/graph/weights.js';
import { compareTensors } from '../../ir/host-tensor.js';
import { compileModule } from '../compile.js';
import { createWeightReader } from '../validate.js';
import { expectPass, patternCases, patternWeights } from '../../test/run-pass.js';
import { runPlan } from '../../test/run-plan.js';
import { joinRows } from './join-rows.js';

const declarations = `weight @a : f32[8, 4] = tensor "a"
  weight @c : f32[8, 8] = tensor "c"`;
const signature =
  '%x: f32[batch, txt, 4], %y: f32[batch, img, 4], %s: f32[1, 1, 8], %t: f32[1, 1, 8], %u: f32[1, 1, 8], %v: f32[1, 1, 8]';
const functionOf = (results: string, ...lines: readonly string[]): string =>
  `${declarations}\n  func @f(${signature}) -> (${results}) {\n  ${lines.join('\n  ')}\n  }`;

const textProduct = '%p = matmul(%x, @a) {transposeB = true}';
const imageProduct = '%q = matmul(%y, @a) {transposeB = true}';
const textNorm = `%pn = layer_norm(%p) {eps = 0.001}
  %pm = mul(%pn, %s)
  %ps = add(%pm, %t)`;
const imageNorm = `%qn = layer_norm(%q) {eps = 0.001}
  %qm = mul(%qn, %u)
  %qs = add(%qm, %v)`;
const textOut = '%pr = matmul(%ps, @c) {transposeB = true}';
const imageOut = `%qo = matmul(%qs, @c) {transposeB = true}
  %qr = add(%qo, %q)`;
const results = 'a: %pr, b: %qr';

/** Both chains are left without a reader, the rest reads pieces of the joined rows; what the second one needs comes before. */
const joined = functionOf(
  results,
  textProduct,
  '%pn = layer_norm(%p) {eps = 0.001}',
  '%pm = mul(%pn, %s)',
  imageProduct,
  '%qn = layer_norm(%q) {eps = 0.001}',
  '%qm = mul(%qn, %u)',
  `%p.joined = concat(%p, %q) {axis = 1}
  %pn.joined = layer_norm(%p.joined) {eps = 0.001}
  %s.rows = broadcast(%s) {shape = [1, txt, 8]}
  %u.rows = broadcast(%u) {shape = [1, img, 8]}
  %s.rows.joined = concat(%s.rows, %u.rows) {axis = 1}
  %pm.joined = mul(%pn.joined, %s.rows.joined)
  %t.rows = broadcast(%t) {shape = [1, txt, 8]}
  %v.rows = broadcast(%v) {shape = [1, img, 8]}
  %t.rows.joined = concat(%t.rows, %v.rows) {axis = 1}
  %ps.joined = add(%pm.joined, %t.rows.joined)
  %split, %split.1 = split(%ps.joined) {axis = 1, sizes = [txt, img]}`,
  textOut.replace('%ps', '%split'),
  imageOut.replace('%qs', '%split.1'),
);

describe('join-rows', () => {
  it('makes one norm of two, where the second one comes later', () => {
    expectPass(
      joinRows,
      functionOf(results, textProduct, textNorm, textOut, imageProduct, imageNorm, imageOut),
      joined,
      portableWebgpu,
    );
  });

  const apart = (name: string, text: string, target = portableWebgpu): void => {
    it(name, () => void expectPass(joinRows, text, text, target));
  };
  const blocks = [textProduct, textNorm, textOut, imageProduct, imageNorm, imageOut];
  apart(
    'leaves norms alone where matrix fragments are multiplied',
    functionOf(results, ...blocks),
    cudaTarget(['sm_80']),
  );
  apart(
    'leaves a norm of what depends on the other one',
    functionOf(
      results,
      textProduct,
      textNorm,
      textOut,
      '%q = mul(%pr, %u)',
      imageNorm.replaceAll('%q', '%q'),
      imageOut,
    ),
  );
  apart(
    'leaves norms that differ',
    functionOf(
      results,
      ...blocks.map((line) => line.replace('layer_norm(%q) {eps = 0.001}', 'layer_norm(%q) {eps = 0.01}')),
    ),
  );
  apart('leaves what the function returns where it is', functionOf(`${results}, q: %q`, ...blocks));
  apart(
    'leaves parts of a concatenation that is there',
    functionOf(`${results}, j: %j`, ...blocks, '%j = concat(%p, %q) {axis = 1}'),
  );
});

describe('a norm of two values', () => {
  const text = functionOf(results, textProduct, textNorm, textOut, imageProduct, imageNorm, imageOut);

  it.each([
    { batch: 1, txt: 5, img: 9 },
    { batch: 3, txt: 1, img: 2 },
    { batch: 2, txt: 33, img: 70 },
  ])('is one kernel that gives what both gave: $batch × ($txt + $img) rows', (sizes) => {
    const module = parseModule(text);
    const readTensor = patternWeights(module);
    const compiled = compileModule(module, portableWebgpu, { print: () => '' });
    const launches = compiled.plans.get('f')?.steps.map((step) => (step.kind === 'launch' ? step.kernel : step.kind));
    expect(launches).toHaveLength(5);
    expect(launches?.filter((name) => name.startsWith('layer_norm_mul_add'))).toHaveLength(1);
    const [sample] = patternCases(module, sizes);
    const inputs = sample?.inputs ?? new Map<string, never>();
    const got = runPlan(compiled, 'f', inputs, (weight) => materializeWeight(weight, readTensor)).results;
    const want = interpretFunction(module, 'f', inputs, createWeightReader(module, readTensor), { precision: 'f32' });
    for (const [name, tensor] of want)
      expect(compareTensors(got.get(name)!, tensor).relativeL2, name).toBeLessThan(1e-5);
  });
});
