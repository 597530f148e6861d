import { describe, expect, it } from 'vitest';
import { graph, interpretFunction, ropeTable, timestepEmbedding } from '../../frontend/index.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import { toHostTensor } from '../../runtime/host-array.js';
import { permute } from './permute.js';
import { decodeHalves } from './half-floats.js';
import { makeTransformerTables, makeWorkData, period } from './work-data.js';
import { buildWorkGraph, configOf } from './work-graph.js';
import { parseWork, type TransformerWork } from './works.js';

describe('permute', () => {
  it('moves axes', () => {
    const values = Float32Array.from({ length: 24 }, (_, at) => at);
    const moved = permute(values, [2, 3, 4], [2, 0, 1]);
    for (let i = 0; i < 2; i++)
      for (let j = 0; j < 3; j++)
        for (let k = 0; k < 4; k++) expect(moved[(k * 2 + i) * 3 + j]).toBe(values[(i * 3 + j) * 4 + k]);
  });

  it('turns matrices, those of bits too', () => {
    const values = Uint16Array.from({ length: 130 * 70 }, (_, at) => at);
    const turned = permute(values, [130, 70], [1, 0]);
    expect(turned).toBeInstanceOf(Uint16Array);
    for (let row = 0; row < 130; row++)
      for (let column = 0; column < 70; column++) expect(turned[column * 130 + row]).toBe(values[row * 70 + column]);
  });
});

describe('makeWorkData', () => {
  it('gives the same numbers every time, different ones for different tensors', () => {
    const work = parseWork('product', '6x10x4');
    const [one, other] = [makeWorkData(work, buildWorkGraph(work)), makeWorkData(work, buildWorkGraph(work))];
    expect(one).toEqual(other);
    const { x } = one.inputs;
    expect(x?.shape).toEqual([6, 10]);
    expect(one.weights.get('weight')?.shape).toEqual([4, 10]);
    expect(x?.data[0]).not.toBe(one.weights.get('weight')?.data[0]);
    expect([...(x?.data as Float32Array)].every((value) => Math.abs(value) <= Math.sqrt(3))).toBe(true);
  });

  it('rounds to f16, as numbers or as bits, and leaves f32 as it was', () => {
    const work = parseWork('product', '6x10x4');
    const graph = buildWorkGraph(work);
    const exact = makeWorkData(work, graph).weights.get('weight')!.data;
    const numbers = makeWorkData(work, graph, { numbers: 'f16' });
    const bits = makeWorkData(work, graph, { numbers: 'f16', storage: 'f16' });
    const rounded = numbers.weights.get('weight')!.data as Float32Array;
    expect(decodeHalves(bits.weights.get('weight')!.data as Uint16Array)).toEqual(rounded);
    expect(bits.inputs).toEqual(numbers.inputs);
    rounded.forEach((value, at) => {
      expect(Math.abs(value - Number(exact[at]))).toBeLessThanOrEqual(2 ** -11 * Math.abs(value));
    });
    expect(rounded).not.toEqual(exact);
  });

  it('repeats the numbers of large tensors', () => {
    const work = parseWork('product', '1x2048x2100');
    const { data } = makeWorkData(work, buildWorkGraph(work)).weights.get('weight')!;
    expect(data.length).toBeGreaterThan(period);
    expect(data.slice(period)).toEqual(data.slice(0, data.length - period));
    expect(data[0]).not.toBe(data[1]);
  });
});

describe('makeTransformerTables', () => {
  const work = parseWork('transformer', '2x32,1+1,6+5') as TransformerWork;
  const config = configOf(work);
  const { inputs } = makeWorkData(work, buildWorkGraph(work));
  const interpret = (build: (g: ReturnType<typeof graph>) => void, given: Record<string, HostTensor>) => {
    const g = graph('tables');
    build(g);
    const noWeights = (): HostTensor => expect.fail('there are no weights');
    return interpretFunction(g.build(), 'tables', new Map(Object.entries(given)), noWeights, { precision: 'f64' });
  };
  const host = (name: string): HostTensor => toHostTensor(inputs[name]!);

  it('turns by the angles of the graph, text first', () => {
    const ids = [...host('txt_ids').data, ...host('img_ids').data];
    const results = interpret(
      (g) => {
        const axes = { theta: config.ropeTheta, axisSizes: config.ropeAxes };
        const [cos, sin] = ropeTable(g.input('ids', 'i32', [11, 4]), axes);
        g.output({ cos, sin });
      },
      { ids: { dtype: 'i32', shape: [11, 4], data: Float64Array.from(ids) } },
    );
    const { cos, sin } = makeTransformerTables(work);
    for (const [name, table] of Object.entries({ cos, sin })) {
      const expected = results.get(name)!.data;
      expect(table.length).toBe(expected.length);
      table.forEach((value, at) => expect(value).toBeCloseTo(expected[at]!, 6));
    }
  });

  it('embeds the time of the input', () => {
    const results = interpret(
      (g) => {
        const options = { size: config.timestepChannels, maxPeriod: 10_000, scale: 1000 };
        g.output({ wave: timestepEmbedding(g.input('t', 'f32', [1]), options) });
      },
      { t: host('timestep') },
    );
    const { wave } = makeTransformerTables(work);
    wave.forEach((value, at) => expect(value).toBe(results.get('wave')!.data[at]));
  });
});
