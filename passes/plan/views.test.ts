import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Dim } from '../../ir/dim.js';
import type { DimBinding } from '../../ir/dim.js';
import type { Operation, Value } from '../../ir/graph/graph.js';
import { countElements, type HostTensor } from '../../ir/host-tensor.js';
import { Random } from '../../test/random.js';
import { runOperation } from '../../test/run-operation.js';
import { denseView, isDense, part, spanOf, viewBefore, viewThrough, type View } from './views.js';

const sizes: DimBinding = { n: 3, k: 2 };

function evaluateAll(dims: readonly Dim[]): number[] {
  return dims.map((dim) => dim.evaluate(sizes));
}

/** Where each element of a value lies, in row-major order: a view's shape may be a reshape of the value's. */
function addressesOf(view: View): number[] {
  const shape = evaluateAll(view.shape);
  const strides = evaluateAll(view.strides);
  return Array.from({ length: countElements(shape) }, (_, flat) => {
    let rest = flat;
    let address = view.offset.evaluate(sizes);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      address += (rest % (shape[axis] as number)) * (strides[axis] as number);
      rest = Math.floor(rest / (shape[axis] as number));
    }
    return address;
  });
}

const size = (random: Random): Dim => Dim.of(random.pick([1, 2, 3, 4, 6, 'n', '2*n', 'k']));

/** A value of rank 1 to 4 that lies dense, permuted, in a piece of a larger one, or as a reshape of such. */
function randomView(random: Random): { readonly view: View; readonly shape: readonly Dim[] } {
  const shape = Array.from({ length: random.integer(1, 4) }, () => size(random));
  const order = random.chance(0.5) ? random.shuffle([...shape.keys()]) : [...shape.keys()];
  const grown = shape.map((dim) => (random.chance(0.3) ? dim.add(random.integer(1, 3)) : dim));
  const strides = new Array<Dim>(shape.length).fill(Dim.of(1));
  let stride = Dim.of(1);
  for (const axis of [...order].reverse()) {
    strides[axis] = stride;
    stride = stride.mul(grown[axis] as Dim);
  }
  return { view: { storage: 0, offset: Dim.of(random.integer(0, 5)), shape, strides }, shape };
}

function value(name: string, shape: readonly Dim[]): Value {
  return { name, type: { dtype: 'f32', shape } };
}

type ViewKind = 'reshape' | 'transpose' | 'broadcast' | 'slice' | 'split';
type ViewOperation = Extract<Operation, { kind: ViewKind }>;

/** Shapes with as many elements. */
function reshaped(random: Random, shape: readonly Dim[]): readonly Dim[] {
  let made = [...shape];
  for (let step = random.integer(1, 3); step > 0; step--) {
    const axis = random.integer(0, Math.max(0, made.length - 1));
    const [a, b] = [made[axis], made[axis + 1]];
    const factor = [2, 3, 'n'].find((by) => a?.divideExactly(by) !== undefined && !a.equals(by));
    const choice = random.integer(0, 2);
    if (choice === 0 && a !== undefined && b !== undefined) made = made.toSpliced(axis, 2, a.mul(b));
    else if (choice === 1 && a !== undefined && factor !== undefined) {
      made = made.toSpliced(axis, 1, a.divideExactly(factor) as Dim, Dim.of(factor));
    } else made = made.toSpliced(axis, 0, Dim.of(1));
  }
  return made;
}

function randomOperation(random: Random, shape: readonly Dim[]): ViewOperation {
  const operands = [value('x', shape)];
  const axis = random.integer(0, shape.length - 1);
  const whole = shape[axis] as Dim;
  switch (random.integer(0, 4)) {
    case 0: {
      const permutation = random.shuffle([...shape.keys()]);
      const results = [value('y', permutation.map((from) => shape[from] as Dim))]; // prettier-ignore
      return { kind: 'transpose', operands, attributes: { permutation }, results };
    }
    case 1: {
      const grown = shape.map((dim) => (dim.constant === 1 && random.chance(0.7) ? size(random) : dim));
      const to = random.chance(0.5) ? [size(random), ...grown] : grown;
      return { kind: 'broadcast', operands, attributes: { shape: to }, results: [value('y', to)] };
    }
    case 2: {
      const start = random.integer(0, whole.evaluate(sizes) - 1);
      const rest = whole.sub(start);
      const results = [value('y', shape.with(axis, rest))];
      return { kind: 'slice', operands, attributes: { axis, start: Dim.of(start), size: rest }, results };
    }
    case 3: {
      const first = Dim.of(random.integer(0, whole.evaluate(sizes)));
      const pieces = [first, whole.sub(first)];
      const results = pieces.map((piece, at) => value(`y${at}`, shape.with(axis, piece)));
      return { kind: 'split', operands, attributes: { axis, sizes: pieces }, results };
    }
    default: {
      const to = reshaped(random, shape);
      return { kind: 'reshape', operands, attributes: { shape: to }, results: [value('y', to)] };
    }
  }
}

/** What the operation does to a tensor of addresses. */
function moveAddresses(operation: ViewOperation, addresses: readonly number[]): readonly HostTensor[] {
  const shape = evaluateAll(operation.operands[0]?.type.shape ?? []);
  const operand: HostTensor = { dtype: 'f64', shape, data: Float64Array.from(addresses) };
  switch (operation.kind) {
    case 'reshape':
      return runOperation('reshape', [operand], { shape: operation.attributes.shape.map(concrete) });
    case 'transpose':
      return runOperation('transpose', [operand], operation.attributes);
    case 'broadcast':
      return runOperation('broadcast', [operand], { shape: operation.attributes.shape.map(concrete) });
    case 'slice': {
      const { axis, start, size: count } = operation.attributes;
      return runOperation('slice', [operand], { axis, start: concrete(start), size: concrete(count) });
    }
    case 'split': {
      const { axis, sizes: pieces } = operation.attributes;
      return runOperation('split', [operand], { axis, sizes: pieces.map(concrete) });
    }
  }
}

function concrete(dim: Dim): Dim {
  return Dim.of(dim.evaluate(sizes));
}

describe('views', () => {
  it('go through operations as tensors of addresses do', () => {
    const seen = new Map<string, number>();
    const count = (outcome: string): void => void seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = new Random(seed);
        const { view, shape } = randomView(random);
        const operation = randomOperation(random, shape);
        const expected = moveAddresses(operation, addressesOf(view));
        operation.results.forEach((_, place) => {
          const through = viewThrough(operation, place, view, shape);
          count(`${operation.kind} ${through === undefined ? 'refused' : through === view ? 'kept' : 'moved'}`);
          if (through !== undefined) expect(addressesOf(through)).toEqual([...(expected[place]?.data ?? [])]);
        });
      }),
      { numRuns: 3000 },
    );
    // A view with strides over its own shape always goes through; a reshape may keep the operand's.
    expect([...seen.keys()].filter((outcome) => outcome.endsWith('refused'))).toEqual([]);
    expect(seen.get('reshape kept')).toBeGreaterThan(15);
    expect(seen.get('reshape moved')).toBeGreaterThan(60);
  });

  it('go back through reshapes and transposes to where the operand must be written', () => {
    let checked = 0;
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = new Random(seed);
        const { view, shape } = randomView(random);
        const isReshape = random.chance(0.5);
        const permutation = random.shuffle([...shape.keys()]);
        const from = isReshape
          ? reshaped(random, shape)
          : [...shape.keys()].map((axis) => shape[permutation.indexOf(axis)] as Dim);
        const operands = [value('x', from)];
        const results = [value('y', shape)];
        const operation: ViewOperation = isReshape
          ? { kind: 'reshape', operands, attributes: { shape }, results }
          : { kind: 'transpose', operands, attributes: { permutation }, results };
        const before = viewBefore(operation, view, from);
        if (before === undefined) return;
        checked++;
        const [moved] = moveAddresses(operation, addressesOf(before));
        expect([...(moved?.data ?? [])]).toEqual(addressesOf(view));
      }),
      { numRuns: 500 },
    );
    expect(checked).toBeGreaterThan(400);
  });

  it('that cannot be said with strides are refused where they would need them', () => {
    const shape = [Dim.of('n'), Dim.of(4)];
    const flat: View = { ...denseView(0, [Dim.of('4*n')]), offset: Dim.of(0) };
    const transpose: Operation = { kind: 'transpose', operands: [value('x', shape)], attributes: { permutation: [1, 0] }, results: [value('y', [Dim.of(4), Dim.of('n')])] }; // prettier-ignore
    expect(viewThrough(transpose, 0, flat, shape)).toBeUndefined();
  });

  it('are dense when they leave no gaps, and span from the first element to the last', () => {
    const whole = denseView(0, [Dim.of('n'), Dim.of(6)]);
    expect(isDense(whole)).toBe(true);
    expect(spanOf(whole).text).toBe('6*n');
    const columns = part(whole, 1, Dim.of(2), [Dim.of('n'), Dim.of(3)]);
    expect(isDense(columns)).toBe(false);
    expect(spanOf(columns).text).toBe('6*n-3');
    expect(columns.offset.text).toBe('2');
    expect(isDense(part(whole, 0, Dim.of(1), [Dim.of('n-1'), Dim.of(6)]))).toBe(true);
  });
});
