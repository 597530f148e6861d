import { describe, expect, it } from 'vitest';
import { cpuTarget } from '../backends/target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import type { Module } from '../ir/graph/graph.js';
import { parseModule } from '../ir/graph/parse.js';
import { printModule } from '../ir/graph/print.js';
import { patternCases, patternWeights } from '../test/run-pass.js';
import { canonicalize } from './graph/canonicalize.js';
import { eliminateDeadCode } from './graph/eliminate-dead-code.js';
import {
  countOperations,
  dumpEach,
  expectPassName,
  printAfter,
  stopAfter,
  timePasses,
  validateEach,
  verifyEach,
} from './instrument.js';
import { type GraphPass, type Instrument, runGraphPasses } from './pass.js';
import { validateTranslation } from './validate.js';

const text = `func @f(%x: f32[img]) -> (y: %b) {
  %a = neg(%x)
  %c = add(%x, 0)
  %b = exp(%c)
}`;
const passes = [canonicalize, eliminateDeadCode];

function run(instruments: readonly Instrument[], list: readonly GraphPass[] = passes): Module {
  return runGraphPasses(parseModule(text), list, cpuTarget, instruments);
}

function errorOf(action: () => unknown): Flux2cError {
  try {
    action();
  } catch (error) {
    if (error instanceof Flux2cError) return error;
    throw error;
  }
  throw new Error('no error');
}

/** A pass that is wrong: it negates the first result's operand. */
const wrong: GraphPass = {
  name: 'wrong',
  description: 'replaces exp by sin',
  run: (module) => parseModule(printModule(module).replace('exp', 'sin')),
};

describe('instruments', () => {
  it('print after one pass or all of them', () => {
    const one: string[] = [];
    const all: string[] = [];
    const result = run([printAfter('eliminate-dead-code', (piece) => one.push(piece)), printAfter('all', (piece) => all.push(piece))]); // prettier-ignore
    expect(one).toEqual([`// after 1 eliminate-dead-code\n${printModule(result)}`]);
    expect(all.map((piece) => piece.split('\n')[0])).toEqual(['// after 0 canonicalize', '// after 1 eliminate-dead-code']); // prettier-ignore
  });

  it('dump what changed something', () => {
    const files = new Map<string, string>();
    const result = run([dumpEach((name, content) => files.set(name, content))], [canonicalize, canonicalize, eliminateDeadCode]); // prettier-ignore
    expect([...files.keys()]).toEqual(['00-canonicalize.graph', '02-eliminate-dead-code.graph']);
    expect(parseModule(files.get('02-eliminate-dead-code.graph') as string)).toEqual(result);
  });

  it('stop after a pass', () => {
    const result = run([stopAfter('canonicalize')]);
    expect(countOperations(result)).toBe(3);
    expect(countOperations(run([]))).toBe(1);
  });

  it('time passes with the clock they bring', () => {
    let time = 0;
    const written: string[] = [];
    run([timePasses(() => (time += 1.5), (piece) => written.push(piece))]); // prettier-ignore
    expect(written.join('')).toBe(
      [
        'canonicalize             1.5 ms       4 -> 3 operations',
        'eliminate-dead-code      1.5 ms       3 -> 1 operations',
        'total                    3.0 ms',
        '',
      ].join('\n'),
    );
  });

  it('name the pass that made an ill-formed module', () => {
    const broken: GraphPass = {
      name: 'broken',
      description: 'drops the first operation of every function',
      run: (module) => ({
        ...module,
        functions: new Map(
          [...module.functions].map(([name, graphFunction]) => {
            const { body } = graphFunction;
            return [name, { ...graphFunction, body: { ...body, operations: body.operations.slice(0, 1) } }];
          }),
        ),
      }),
    };
    const error = errorOf(() => run([verifyEach()], [canonicalize, broken]));
    expect(error.detail.where?.[0]).toBe("after pass 1 'broken'");
  });

  it('validate every pass that changed something', () => {
    const validated: Instrument = validateEach((before, after) =>
      validateTranslation(before, after, patternCases(before), patternWeights(before), {
        precision: 'f64',
        tolerance: 1e-12,
      }),
    );
    run([validated]);
    const error = errorOf(() => run([validated], [canonicalize, wrong]));
    expect(error.code).toBe('F2C302');
    expect(error.detail.where).toEqual(["after pass 1 'wrong'", "function 'f'", "result 'y'"]);
  });

  it('refuse names of no pass', () => {
    expectPassName('canonicalize', passes);
    expect(errorOf(() => expectPassName('cannonicalize', passes)).code).toBe('F2C301');
  });
});

describe('validateTranslation', () => {
  const check = (before: string, after: string): void => {
    const module = parseModule(before);
    const options = { precision: 'f64', tolerance: 1e-12 } as const;
    validateTranslation(module, parseModule(after), patternCases(module), patternWeights(module), options);
  };

  it('packs weights from the tensors they name', () => {
    check(
      `weight @w : f32[4, 3] = tensor "w"
      func @f(%x: f32[img, 3]) -> (y: %y) { %y = matmul(%x, @w) {transposeB = true} }`,
      `weight @v : f32[3, 4] = permute(tensor "w" : [4, 3], [1, 0])
      func @f(%x: f32[img, 3]) -> (y: %y) { %y = matmul(%x, @v) {transposeB = false} }`,
    );
  });

  it('refuses another interface and missing functions', () => {
    const other = `func @f(%x: f32[img]) -> (z: %a) { %a = exp(%x) }`;
    expect(errorOf(() => check(text, other)).code).toBe('F2C303');
    expect(errorOf(() => check(text, '')).code).toBe('F2C303');
  });
});
