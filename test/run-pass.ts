import { expect } from 'vitest';
import { cpuTarget } from '../backends/target.js';
import type { DimBinding } from '../ir/dim.js';
import type { Module } from '../ir/graph/graph.js';
import { parseModule } from '../ir/graph/parse.js';
import { printModule } from '../ir/graph/print.js';
import type { HostTensor } from '../ir/host-tensor.js';
import type { GraphPass } from '../passes/pass.js';
import { validateTranslation, type ValidationCase } from '../passes/validate.js';
import { patternTensor } from './run-operation.js';

/** Odd and all different, so that mixed-up dimensions show. */
export const oddSizes: DimBinding = { img: 5, txt: 3, ref: 7, batch: 2, steps: 4, n: 6, m: 9 };

/** A call of every function with inputs that look random. Small non-negative integers where ids are expected. */
export function patternCases(module: Module, sizes: DimBinding = oddSizes): readonly ValidationCase[] {
  return [...module.functions.values()].map(({ name, body }) => {
    const inputs = body.parameters.map((parameter, index): [string, HostTensor] => {
      const shape = parameter.type.shape.map((dim) => dim.evaluate(sizes));
      const tensor = patternTensor(parameter.type.dtype, shape, index + 1);
      if (parameter.type.dtype === 'bool') return [parameter.name, { ...tensor, data: tensor.data.map((x) => (x < 0 ? 0 : 1)) }]; // prettier-ignore
      if (parameter.type.dtype === 'i32') return [parameter.name, { ...tensor, data: tensor.data.map((x) => x & 3) }];
      return [parameter.name, tensor];
    });
    const used = new Set(body.parameters.flatMap((parameter) => parameter.type.shape.flatMap((dim) => dim.symbols)));
    const unbound = Object.entries(sizes).filter(([symbol]) => !used.has(symbol));
    return { functionName: name, inputs: new Map(inputs), sizes: Object.fromEntries(unbound) };
  });
}

/** Numbers for every tensor that the weights of a module name, in the shapes that it expects of them. */
export function patternWeights(module: Module): (name: string) => HostTensor {
  const tensors = new Map<string, HostTensor>();
  for (const { type, source, name } of module.weights.values()) {
    if (source.kind !== 'tensor') throw new Error(`@${name} is packed already`);
    const shape = type.shape.map((dim) => dim.evaluate({}));
    tensors.set(source.tensor, patternTensor('f32', shape, tensors.size + 101));
  }
  return (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return tensor;
  };
}

/** Fails unless both modules compute the same: nearly exactly in f64, within rounding in f32. */
export function expectSameResults(before: Module, after: Module, sizes?: DimBinding): void {
  const cases = patternCases(before, sizes);
  const read = patternWeights(before);
  validateTranslation(before, after, cases, read, { precision: 'f64', tolerance: 1e-12 });
  validateTranslation(before, after, cases, read, { precision: 'f32', tolerance: 2e-5 });
}

/**
 * Runs a pass on a module given as text and expects it to print as `after` does and to compute the same. Spacing and
 * types of results are free in both texts.
 */
export function expectPass(pass: GraphPass, before: string, after: string, target = cpuTarget): Module {
  const module = parseModule(before);
  const result = pass.run(module, target);
  expect(printModule(result)).toBe(printModule(parseModule(after)));
  expectSameResults(module, result);
  return result;
}

/** Expects the pass to leave the module alone: the very object. */
export function expectUnchanged(pass: GraphPass, text: string, target = cpuTarget): void {
  const module = parseModule(text);
  expect(pass.run(module, target)).toBe(module);
}
