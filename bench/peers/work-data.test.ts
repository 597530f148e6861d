import { describe, expect, it } from 'vitest';
import { graph, interpretFunction, ropeTable, timestepEmbedding } from '../../frontend/index.js';
import type { HostTensor } from '../../ir/host-tensor.js';
import { toHostTensor } from '../../runtime/host-array.js';
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
