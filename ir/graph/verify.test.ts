import { describe, expect, it } from 'vitest';
import { Flux2cError } from '../diagnostics.js';
import type { Block, GraphFunction, Module, Operation, Value } from './graph.js';
import { parseModule } from './parse.js';
import { tensorType } from './types.js';
import { findProblems, verifyModule } from './verify.js';

const good = `weight @w : f32[4, 4] = tensor "w"
weight @unused : f32[2] = tensor "unused"

func @f(%x: f32[img, 4], %t: f32[steps, 4]) -> (y: %z, l: %l) {
  %a = matmul(%x, @w) {transposeB = true} : f32[img, 4]
  %z = add(%a, 1) : f32[img, 4]
  %l = loop(%z) {count = steps, symbol = step} : f32[img, 4] do (%c: f32[img, 4]) -> (%n) {
    %s = slice(%t) {axis = 0, start = step, size = 1} : f32[1, 4]
    %n = fused(%c, %s, %a) {anchor = map} : f32[img, 4] do (%p0: f32[img, 4], %p1: f32[1, 4], %p2: f32[img, 4]) -> (%a) {
      %m = mul(%p0, %p1) : f32[img, 4]
      %a = add(%m, %p2) : f32[img, 4]
    }
  }
}
`;

/** The codes that are found, in order. */
function codes(module: Module): readonly string[] {
  return findProblems(module).map((error) => error.code);
}

/** The good module with pieces of its text replaced. */
function changed(...replacements: readonly (readonly [string, string])[]): Module {
  return parseModule(
    replacements.reduce((text, [from, to]) => {
      expect(text).toContain(from);
      return text.replace(from, to);
    }, good),
  );
}

function onlyFunction(module: Module): GraphFunction {
  return module.functions.get('f') as GraphFunction;
}

/** The good module with another body. */
function withBody(change: (body: Block) => Block, module = parseModule(good)): Module {
  const graphFunction = onlyFunction(module);
  return { ...module, functions: new Map([['f', { ...graphFunction, body: change(graphFunction.body) }]]) };
}

/** The good module with the operations named changed. */
function withOperation(result: string, change: (operation: Operation) => Operation): Module {
  const visit = (block: Block): Block => ({
    ...block,
    operations: block.operations.map((operation) => {
      const nested = operation.body === undefined ? operation : { ...operation, body: visit(operation.body) };
      return operation.results[0]?.name === result ? change(nested) : nested;
    }),
  });
  return withBody(visit);
}

function findValue(module: Module, name: string): Value {
  const visit = (block: Block): Value | undefined => {
    for (const value of block.parameters) if (value.name === name) return value;
    for (const operation of block.operations) {
      for (const value of operation.results) if (value.name === name) return value;
      const inner = operation.kind === 'loop' && operation.body !== undefined ? visit(operation.body) : undefined;
      if (inner !== undefined) return inner;
    }
    return undefined;
  };
  return visit(onlyFunction(module).body) as Value;
}

describe('verifyModule', () => {
  it('accepts a good module, an unused weight included', () => {
    expect(findProblems(parseModule(good))).toEqual([]);
  });

  it('finds a use before the definition', () => {
    const module = withBody((body) => ({ ...body, operations: [...body.operations].reverse() }));
    expect(new Set(codes(module))).toEqual(new Set(['F2C140']));
  });

  it('finds a value from inside another block', () => {
    const module = parseModule(good);
    const inner = findValue(module, 'n');
    expect(codes(withBody((body) => ({ ...body, results: [inner, body.results[1] as Value] }), module))).toEqual([
      'F2C141',
    ]);
  });

  it('finds a value of another function', () => {
    const stranger = { name: 'stranger', type: tensorType('f32', ['img', 4]) };
    const [error] = findProblems(withBody((body) => ({ ...body, results: [stranger, body.results[1] as Value] })));
    expect([error?.code, error?.detail.found]).toEqual(['F2C141', 'a value that this function does not define']);
  });

  it('finds a name that two values have', () => {
    const rename = (operation: Operation): Operation => ({
      ...operation,
      body: { ...(operation.body as Block), parameters: [{ name: 'x', type: tensorType('f32', ['img', 4]) }] },
    });
    expect(codes(withOperation('l', rename))).toContain('F2C142');
  });

  it('finds a function or weight listed under another name', () => {
    const module = parseModule(good);
    const weights = new Map([...module.weights].map(([name, weight]) => [name === 'unused' ? 'other' : name, weight]));
    const functions = new Map([['other', onlyFunction(module)]]);
    expect(codes({ weights, functions: module.functions })).toEqual(['F2C142']);
    expect(codes({ weights: module.weights, functions })).toEqual(['F2C142']);
  });

  it('finds a value that is defined twice', () => {
    const module = withBody((body) => {
      const again = body.operations.find((operation) => operation.results[0]?.name === 'a') as Operation;
      return { ...body, operations: [...body.operations, again] };
    });
    expect(codes(module)).toEqual(['F2C143']);
  });

  it('finds result types that infer does not give', () => {
    const module = changed(
      [
        '%s = slice(%t) {axis = 0, start = step, size = 1} : f32[1, 4]',
        '%s = slice(%t) {axis = 0, start = step, size = 1} : bf16[1, 4]',
      ],
      ['%p1: f32[1, 4]', '%p1: bf16[1, 4]'],
    );
    const [error, ...others] = findProblems(module);
    expect([error?.code, error?.detail.expected, error?.detail.found]).toEqual(['F2C144', 'f32[1, 4]', 'bf16[1, 4]']);
    expect(error?.detail.where).toEqual(["function 'f'", 'loop step', '%s = slice(%t)']);
    expect(others).toEqual([]);
  });

  it("reports what infer objects to, with the operation's path", () => {
    const [error] = findProblems(changed(['@w : f32[4, 4]', '@w : f32[4, 5]']));
    expect(error?.code).toBe('F2C113');
    expect(error?.detail.where?.slice(0, 2)).toEqual(["function 'f'", '%a = matmul(%x, @w)']);
  });

  it('finds an unknown weight', () => {
    const module = parseModule(good);
    expect(codes({ ...module, weights: new Map() })).toEqual(['F2C145']);
  });

  it('finds a fused body that uses what is around it', () => {
    const module = parseModule(good);
    const captured = findValue(module, 'z');
    const visit = (block: Block): Block => ({
      ...block,
      operations: block.operations.map((operation): Operation => {
        if (operation.kind === 'fused')
          return { ...operation, body: { ...(operation.body as Block), results: [captured] } };
        return operation.body === undefined ? operation : { ...operation, body: visit(operation.body) };
      }),
    });
    expect(codes(withBody(visit, module))).toEqual(['F2C146']);
  });

  it.each([
    ['a weight', '%m = add(%p0, @w) : f32[4, 4]'],
    ['a fused operation', '%m = fused(%p0) {anchor = map} : f32[4, 4] do (%q: f32[4, 4]) -> (%q) {\n}'],
    ['a loop', '%m = loop(%p0) {count = 2, symbol = i} : f32[4, 4] do (%q: f32[4, 4]) -> (%q) {\n}'],
  ])('finds %s in a fused body', (_, operation) => {
    const text = `weight @w : f32[4, 4] = tensor "w"
func @f(%x: f32[4, 4]) -> (y: %y) {
  %y = fused(%x) {anchor = map} : f32[4, 4] do (%p0: f32[4, 4]) -> (%m) {
    ${operation}
  }
}`;
    expect(codes(parseModule(text))).toEqual(['F2C146']);
  });

  it.each([
    ['parameters of another type', '(%c: f32[img, 4]) -> (%n)', '(%c: f32[img, 5]) -> (%x)'],
    ['results of another type', '(%c: f32[img, 4]) -> (%n)', '(%c: f32[img, 4]) -> (%t)'],
    ['too few results', '(%c: f32[img, 4]) -> (%n)', '(%c: f32[img, 4]) -> ()'],
  ])('finds a loop whose body has %s', (_, from, to) => {
    expect(codes(changed([from, to]))).toContain('F2C147');
  });

  it('finds a fused operation whose body has other types', () => {
    expect(codes(changed(['-> (%a) {', '-> (%p1) {']))).toEqual(['F2C147']);
    expect(codes(changed(['fused(%c, %s, %a)', 'fused(%c, %s)']))).toContain('F2C147');
  });

  it('finds a body that is missing or too much', () => {
    const withoutBody = ({ kind, operands, attributes, results }: Operation): Operation =>
      ({ kind, operands, attributes, results }) as Operation;
    expect(codes(withOperation('l', withoutBody))).toEqual(['F2C147']);
    expect(codes(withOperation('n', withoutBody))).toEqual(['F2C147']);
    const empty: Block = { parameters: [], operations: [], results: [] };
    expect(codes(withOperation('z', (operation) => ({ ...operation, body: empty })))).toEqual(['F2C147']);
  });

  it('finds symbols that nothing binds, in attributes and in types', () => {
    expect(codes(changed(['count = steps', 'count = rounds']))).toEqual(['F2C148']);
    const text = 'func @f(%x: f32[4]) -> (y: %y) {\n  %y = broadcast(%x) {shape = [n, 4]} : f32[n, 4]\n}\n';
    expect(codes(parseModule(text))).toEqual(['F2C148']);
  });

  it("finds a loop's symbol outside its loop", () => {
    const module = changed([
      '%z = add(%a, 1) : f32[img, 4]',
      '%z = add(%a, 1) : f32[img, 4]\n  %o = slice(%t) {axis = 0, start = step, size = 1} : f32[1, 4]',
    ]);
    expect(codes(module)).toEqual(['F2C148']);
  });

  it('finds a loop that counts with a symbol that has a value', () => {
    expect(codes(changed(['symbol = step', 'symbol = steps'], ['start = step,', 'start = 0,']))).toEqual(['F2C148']);
  });

  it('finds results without a name of their own', () => {
    const module = parseModule(good);
    const named = (resultNames: readonly string[]): Module => ({
      ...module,
      functions: new Map([['f', { ...onlyFunction(module), resultNames }]]),
    });
    expect(codes(named(['y']))).toEqual(['F2C149']);
    expect(codes(named(['y', 'y']))).toEqual(['F2C149']);
  });

  it.each([
    ['rows that do not add up', 'concat_rows(tensor "a" : [1, 4], tensor "b" : [2, 4])'],
    ['rows of another size', 'concat_rows(tensor "a" : [2, 4], tensor "b" : [2, 3])'],
    ['groups that do not fit', 'interleave_rows(2, tensor "a" : [1, 4], tensor "b" : [3, 4])'],
    ['filters of another size', 'upsampled_filters(tensor "a" : [1, 4])'],
    ['rows beyond the last', 'slice_rows(tensor "a" : [5, 4], 2)'],
    ['rows of another width', 'slice_rows(tensor "a" : [5, 3], 1)'],
    ['a permutation that names an axis twice', 'permute(tensor "a" : [4, 4], [0, 0])'],
    ['a permuted shape that is another', 'permute(tensor "a" : [4, 3], [1, 0])'],
    ['scales that are rows', 'row_scales(tensor "a" : [4, 4], f8e4m3)'],
    ['quantised numbers that are not of 8 bits', 'quantize_rows(tensor "a" : [4, 4], f8e4m3)'],
    ['a part that is quantised', 'permute(quantize_rows(tensor "a" : [4, 4], f8e4m3) : [4, 4], [1, 0])'],
    ['an array that the encoding does not have', 'encoded_rows(tensor "a" : [4, 32], "nf4:32", zeros)'],
    ['an array of another type', 'encoded_rows(tensor "a" : [4, 16], "int4:16", scales)'],
    ['an array of another width', 'encoded_rows(tensor "a" : [4, 64], "nf4:32", scales)'],
    ['an encoding of another name', 'encoded_rows(tensor "a" : [4, 32], "nf5:32", codes)'],
    ['a part that is encoded', 'permute(encoded_rows(tensor "a" : [4, 128], "nf4:32", scales) : [4, 4], [1, 0])'],
    ['a broken part of a part', 'permute(concat_rows(tensor "a" : [1, 4]) : [4, 4], [1, 0])'],
  ])('finds a weight of %s', (_, source) => {
    expect(codes(changed(['tensor "w"', source]))).toEqual(['F2C149']);
  });

  it('accepts sources that fit', () => {
    expect(
      codes(
        changed([
          'tensor "w"',
          'interleave_rows(1, tensor "a" : [2, 4], permute(tensor "b" : [4, 2], [1, 0]) : [2, 4])',
        ]),
      ),
    ).toEqual([]);
  });

  it('throws the first problem and says how many there are', () => {
    const module = changed(['count = steps', 'count = rounds'], ['tensor "w"', 'concat_rows()']);
    const error = ((): unknown => {
      try {
        return verifyModule(module);
      } catch (caught) {
        return caught;
      }
    })();
    expect(error).toBeInstanceOf(Flux2cError);
    expect([(error as Flux2cError).code, (error as Flux2cError).message]).toEqual([
      'F2C149',
      'the source does not make up the weight (the first of 2 problems)',
    ]);
  });
});
