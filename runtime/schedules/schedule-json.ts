/** Schedules as JSON, as `ir/kernel/tile.ts` has them. Whether one fits a kernel is seen when the kernel is compiled. */
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import { boolean, count, type Decoder, dictionary, list, malformed, objectWith, oneOf, string } from '../artifact/decode.js'; // prettier-ignore

const lanes: Decoder<1 | 2 | 4> = (value, at) => {
  if (value === 1 || value === 2 || value === 4) return value;
  throw malformed(at, '1, 2 or 4', value);
};

const few: Decoder<1 | 2> = (value, at) => {
  if (value === 1 || value === 2) return value;
  throw malformed(at, '1 or 2', value);
};

const yes: Decoder<true> = (value, at) => {
  if (value === true) return value;
  throw malformed(at, 'true', value);
};

const spread: Decoder<AxisSpread> = objectWith(
  { threads: count, registers: count, vector: lanes },
  { groups: count, threadsOf: string, dealtTo: string, rolled: boolean, walked: yes, section: count },
);

/** An axis has a name of its own: `__proto__` is none. */
const spreads: Decoder<Schedule['spread']> = (value, at) => {
  const axes = dictionary(spread)(value, at);
  const odd = [...axes.keys()].find((name) => !/^[a-z]\w*$/.test(name));
  if (odd !== undefined) throw malformed(at, 'names of axes', odd);
  return Object.fromEntries(axes);
};

const matrix = objectWith(
  { unit: oneOf('mma', 'wgmma', 'subgroup'), stages: count },
  {
    walk: objectWith({}, { block: count }),
    product: objectWith({ rows: count, columns: count, depth: count }, {}),
    slab: count,
  },
);

export const decodeSchedule: Decoder<Schedule> = objectWith(
  { spread: spreads, threadOrder: list(string), unroll: count },
  {
    dots: boolean,
    widensBytes: yes,
    columnsApart: yes,
    lanesTogether: few,
    subgroupSize: count,
    bySubgroups: yes,
    staged: yes,
    matrix,
  },
);
