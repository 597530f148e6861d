import type { AxisSpread, MatrixSchedule, Schedule } from '../ir/kernel/tile.js';

/**
 * A schedule for people: `m 16 registers dealt to n, n 8 lanes × 4 registers, k vectors of 4; m in a loop`. An axis of which a workgroup has
 * one place is left out.
 */
export function describeSchedule(schedule: Schedule): string {
  const { spread, threadOrder, unroll, dots, widensBytes, columnsApart, lanesTogether, staged, subgroupSize, matrix } =
    schedule;
  const axes = Object.entries(spread).map(([axis, own]) => ({
    axis,
    text: describeAxis(own, subgroupSize, matrix !== undefined),
  }));
  const spreads = axes.filter(({ text }) => text !== '').map(({ axis, text }) => `${axis} ${text}`);
  const invocations = threadOrder.filter((part) => (spread[part]?.threads ?? 1) > 1);
  const forms = [
    ...(invocations.length > 1 ? [`${invocations.join(' before ')}`] : []),
    ...Object.entries(spread).flatMap(([axis, { rolled }]) => (rolled === true ? [`${axis} in a loop`] : [])),
    ...(unroll > 1 ? [`unrolled ${unroll} times`] : []),
    ...(dots === true ? ['sums of dot products'] : []),
    ...(widensBytes === true ? ['bytes widened'] : []),
    ...(columnsApart === true ? ['columns one after the other'] : []),
    ...(lanesTogether === undefined ? [] : [`sums of ${lanesTogether === 1 ? 'one lane' : 'two lanes'} at a time`]),
    ...(staged === true ? ['factors through workgroup memory'] : []),
    ...(matrix === undefined ? [] : [describeMatrix(matrix)]),
  ];
  return [spreads.length === 0 ? 'one place a workgroup' : spreads.join(', '), ...forms].join('; ');
}

function describeMatrix({ unit, stages, walk, product }: MatrixSchedule): string {
  if (product !== undefined) return `matrices of subgroups, ${product.rows} × ${product.columns} × ${product.depth}`;
  return `${unit}, ${stages} stages${walk === undefined ? '' : ', walking'}`;
}

function describeAxis(own: AxisSpread, subgroupSize: number | undefined, isMatrix: boolean): string {
  const { threads, registers, vector, groups = 1, dealtTo, walked, section } = own;
  const who = subgroupSize === threads && !isMatrix ? 'lanes' : 'threads';
  const parts = [
    ...(groups > 1 ? [`${groups} groups`] : []),
    ...(threads > 1 ? [`${threads} ${who}`] : []),
    ...(registers > 1 ? [`${registers} ${walked === true ? 'steps' : 'registers'}`] : []),
    ...(vector > 1 ? [`vectors of ${vector}`] : []),
  ].join(' × ');
  const dealt = dealtTo === undefined ? '' : `${parts === '' ? '' : ' '}dealt to ${dealtTo}`;
  const walks = walked === true ? ', in memory' : '';
  const sections = section === undefined ? '' : ` in sections of ${section}`;
  return `${parts}${dealt}${walks}${sections}`;
}
