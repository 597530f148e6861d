import { describe, expect, it } from 'vitest';
import { Random } from '../../test/random.js';
import { walkingProduct, walkingProductOf, walkingTile } from '../../test/walking-product.js';
import { codeOf } from '../../test/code-of.js';
import { bf16ToF32, f32ToBf16 } from '../dtype.js';
import { runThreadKernel } from './thread-interpret.js';
import { parseThreadKernel } from './thread-parse.js';

interface Sizes {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly groups: number;
  /** Elements before x and y in their buffers. */
  readonly base?: number;
  /** Rows of a tile. */
  readonly tile?: number;
}

const usual: Sizes = { rows: 70, columns: 66, depth: 200, groups: 1 };

/** y of the kernel, and what a plain product gives. */
function run(
  text: string,
  { rows, columns, depth, groups, base = 0, tile = walkingTile }: Sizes,
): readonly [Float32Array, Float32Array] {
  const random = new Random(rows + columns + depth);
  const numbers = (length: number): Uint16Array =>
    Uint16Array.from({ length }, () => f32ToBf16(random.integer(-4, 4) / 4));
  const [x, w] = [numbers(base + rows * depth), numbers(columns * depth)];
  const y = new Float32Array(base + rows * columns);
  const parameters = {
    tiles_x: Math.ceil(rows / tile),
    tiles_y: Math.ceil(columns / walkingTile),
    tiles_z: 1,
    x_base: base,
    y_base: base,
    p0: depth,
    p1: rows,
    p2: columns,
  };
  const expected = new Float32Array(base + rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let k = 0; k < depth; k++) {
        expected[base + row * columns + column]! +=
          bf16ToF32(x[base + row * depth + k] as number) * bf16ToF32(w[column * depth + k] as number);
      }
    }
  }
  runThreadKernel(parseThreadKernel(text), { x, w, y }, parameters, [groups, 1, 1]);
  return [y, expected];
}

describe('interpretation of a product whose groups walk over tiles', () => {
  it.each<Sizes>([
    { rows: 64, columns: 64, depth: 64, groups: 1 },
    { rows: 64, columns: 64, depth: 8, groups: 1 },
    { rows: 1, columns: 2, depth: 72, groups: 1, base: 8 },
    { rows: 130, columns: 70, depth: 136, groups: 2 },
    { rows: 150, columns: 130, depth: 264, groups: 4, base: 16 },
    { rows: 70, columns: 66, depth: 200, groups: 7 },
  ])('is what a plain product gives: %o', (sizes) => {
    const [found, expected] = run(walkingProduct, sizes);
    expect(found).toEqual(expected);
  });

  it.each<Sizes>([
    { rows: 128, columns: 64, depth: 256, groups: 1 },
    { rows: 300, columns: 70, depth: 72, groups: 2 },
    { rows: 70, columns: 200, depth: 328, groups: 3, base: 24 },
  ])('is so with two groups of four subgroups that multiply: %o', (sizes) => {
    const [found, expected] = run(walkingProductOf(2), { ...sizes, tile: 2 * walkingTile });
    expect(found).toEqual(expected);
  });

  it('notices that one of the two groups does not arrive', () => {
    const text = walkingProductOf(2)
      .replace('arrivals(8)', 'arrivals(4)')
      .replaceAll('if subgroup_lane == 0', 'if local_index < 128 & subgroup_lane == 0');
    expect(codeOf(() => run(text, { ...usual, tile: 2 * walkingTile }))).toBe('F2C244');
  });
});

describe('faults of copies and barriers', () => {
  const wait = 'wait_barrier filled[stage] parity filling / 2 % 2';
  const emptied = 'wait_barrier emptied[stage] parity (filling / 2 + 1) % 2';
  const arrival = 'arrive emptied[(filling - 1) % 2]';
  const last = 'arrive emptied[(round * chunks + chunks - 1) % 2]';
  const copied = 'w_map[chunk * 64, tile / tiles_x * 64] to filled[stage]';
  const expectation = 'expect_copies filled[stage] bytes 16384';

  const faults: readonly (readonly [code: string, fault: string, ...changes: (readonly [string, string])[]])[] = [
    ['F2C248', 'products begin in the phase before', [wait, 'wait_barrier filled[stage] parity (filling / 2 + 1) % 2']],
    ['F2C236', 'copies wait for the phase after', [emptied, 'wait_barrier emptied[stage] parity filling / 2 % 2']],
    ['F2C235', 'a parity that is none', [wait, 'wait_barrier filled[stage] parity filling / 2']],
    ['F2C248', 'products do not wait', [wait, '']],
    ['F2C244', 'copies do not wait', [emptied, '']],
    ['F2C236', 'products do not arrive', [arrival, '']],
    ['F2C236', 'the last products of a tile do not arrive', [last, '']],
    ['F2C236', 'more arrivals are wanted than come', ['arrivals(4)', 'arrivals(5)']],
    [
      'F2C244',
      'two subgroups arrive for all four',
      ['arrivals(4)', 'arrivals(2)'],
      ['subgroup_lane == 0 & 0 < chunk', 'subgroup_lane == 0 & local_index < 64 & 0 < chunk'],
      [`if subgroup_lane == 0 {\n          ${last}`, `if subgroup_lane == 0 & local_index < 64 {\n          ${last}`],
    ],
    [
      'F2C244',
      'one subgroup arrives for all four',
      ['arrivals(4)', 'arrivals(1)'],
      ['subgroup_lane == 0 & 0 < chunk', 'local_index == 0 & 0 < chunk'],
      [`if subgroup_lane == 0 {\n          ${last}`, `if local_index == 0 {\n          ${last}`],
    ],
    [
      'F2C244',
      'products arrive before they read',
      [arrival, ''],
      [last, ''],
      ['begin_products', 'begin_products if subgroup_lane == 0 { arrive emptied[stage] }'],
    ],
    ['F2C235', 'two invocations expect copies', [expectation, `${expectation} ${expectation}`]],
    ['F2C244', 'too few bytes are expected', [expectation, 'expect_copies filled[stage] bytes 8192']],
    ['F2C236', 'too many bytes are expected', [expectation, 'expect_copies filled[stage] bytes 16512']],
    ['F2C244', 'no bytes are expected', [expectation, 'arrive filled[stage]']],
    ['F2C236', 'a copy arrives at another barrier', [copied, copied.replace('filled[stage]', 'filled[0]')]],
    [
      'F2C235',
      'fewer bytes are expected than have been copied',
      [expectation, ''],
      [copied, `${copied} expect_copies filled[stage] bytes 8192`],
    ],
    ['F2C244', 'two copies write one place', ['copy_tensor stage_w[stage * 512]', 'copy_tensor stage_x[stage * 512]']],
    ['F2C235', 'every invocation copies', ['if local_index == 128', 'if 128 <= local_index']],
    [
      'F2C239',
      'a copy begins within rows',
      ['copy_tensor stage_w[stage * 512]', 'copy_tensor stage_w[stage * 512 + 8]'],
    ],
    ['F2C242', 'a copy has no room', ['copy_tensor stage_w[stage * 512]', 'copy_tensor stage_w[stage * 1024]']],
    ['F2C242', 'there is no such barrier', [arrival, 'arrive emptied[2]']],
    ['F2C240', 'the tensor is larger than its buffer', ['extent p1 stride', 'extent p1 + 1 stride']],
    ['F2C537', 'rows are not aligned', ['extent p1 stride p0', 'extent p1 stride p0 + 4']],
    ['F2C243', 'a part of the role closes a group', ['commit_products', 'if subgroup_lane == 0 { commit_products }']],
    [
      'F2C247',
      'a part of the role multiplies',
      ['begin_products', 'if local_index < 64 { let a: i32 = group_index }'],
      ['          multiply_shared', '          if local_index < 64 {\n multiply_shared'],
      ['512)\n', '512) }\n'],
    ],
  ];

  for (const [code, fault, ...changes] of faults) {
    it(`${code}: ${fault}`, () => {
      let text = walkingProduct;
      for (const [right, planted] of changes) {
        expect(text).toContain(right);
        text = text.replace(right, planted);
      }
      expect(codeOf(() => run(text, usual))).toBe(code);
    });
  }

  it('does not mind bytes that are expected after they were copied', () => {
    const text = walkingProduct.replace(expectation, '').replace(copied, `${copied} ${expectation}`);
    const [found, expected] = run(text, usual);
    expect(found).toEqual(expected);
  });

  it('says what each role waits for', () => {
    const text = walkingProduct.replace(expectation, 'expect_copies filled[stage] bytes 16512');
    expect(() => run(text, usual)).toThrow(
      expect.objectContaining({
        detail: expect.objectContaining({
          where: ['kernel @walk', 'workgroup (0, 0, 0)'],
          found:
            'multiply: invocation 0 waits for parity 0: filled[0] is in phase 0 with 1 of 1 arrivals, 128 bytes outstanding; ' +
            'copy: invocation 128 waits for parity 0: emptied[0] is in phase 0 with 0 of 4 arrivals, 0 bytes outstanding',
        }) as unknown,
      }) as Error,
    );
  });
});

describe('memory that roles share', () => {
  /** The second role reads what the first wrote. */
  const exchange = (write: string, read: string, after = '', arrivals = 128): (() => number[]) => {
    const kernel = parseThreadKernel(`kernel @exchange workgroup(256) subgroup(32)
      buffer y: write f32 x1
      shared tile: f32[128]
      barriers written[1] arrivals(${arrivals})
      barriers passed[1] arrivals(1)
    {
      roles {
        first invocations(128) registers(24) { ${write} }
        second invocations(128) registers(24) { ${read} }
      }
      ${after}
    }`);
    return () => {
      const y = new Float32Array(128);
      runThreadKernel(kernel, { y }, {}, [1, 1, 1]);
      return [...y];
    };
  };
  const write = 'tile[local_index] = to_f32(local_index)';
  const read = 'y[local_index & 127] = tile[(local_index + 1) & 127]';
  const wait = 'wait_barrier written[0] parity 0';
  const ringed = Array.from({ length: 128 }, (_, at) => (at + 1) % 128);

  it('is seen by those that waited for the arrival of who wrote it', () => {
    expect(exchange(`${write} arrive written[0]`, `${wait} ${read}`)()).toEqual(ringed);
    expect(
      exchange(`${write} arrive written[0]`, `if local_index < 200 { ${wait} } else { ${wait} } ${read}`)(),
    ).toEqual(ringed);
    expect(codeOf(exchange(`${write} arrive written[0]`, read))).toBe('F2C244');
    expect(codeOf(exchange(`arrive written[0] ${write}`, `${wait} ${read}`))).toBe('F2C244');
    expect(codeOf(exchange(`${write} arrive written[0]`, `if local_index < 200 { ${wait} } ${read}`))).toBe('F2C244');
    // One invocation's arrival says nothing about the others.
    expect(codeOf(exchange(`${write} if local_index == 0 { arrive written[0] }`, `${wait} ${read}`, '', 1))).toBe(
      'F2C244',
    );
  });

  it('is seen by those that waited for who had waited', () => {
    const pass = (wait: string): string =>
      `if local_index == 128 { ${wait} arrive passed[0] } wait_barrier passed[0] parity 0 ${read}`;
    expect(exchange(`${write} arrive written[0]`, pass(wait))()).toEqual(ringed);
    expect(codeOf(exchange(`${write} arrive written[0]`, pass('')))).toBe('F2C244');
  });

  it('is seen by all after a barrier of the workgroup', () => {
    expect(exchange(write, '', `barrier if local_index < 128 { ${read} }`)()).toEqual(ringed);
    expect(codeOf(exchange(write, '', `if local_index < 128 { ${read} }`))).toBe('F2C244');
  });

  it('is not left with copies on their way', () => {
    const kernel = (end: string): string => `kernel @copy workgroup(128) subgroup(32)
      buffer x: read bf16 x4
      shared tile: u32x4[64]
      tensor x_map of x from 0 (extent 64 stride 1 box 64, extent 8 stride 64 box 8)
      barriers filled[1] arrivals(1)
    {
      if local_index == 0 {
        ${end}
      }
    }`;
    const copy = 'expect_copies filled[0] bytes 1024 copy_tensor tile[0] = x_map[0, 0] to filled[0]';
    const launch = (end: string): string =>
      codeOf(() => runThreadKernel(parseThreadKernel(kernel(end)), { x: new Uint16Array(512) }, {}, [1, 1, 1]));
    expect(launch(`${copy} wait_barrier filled[0] parity 0`)).toBe('no error');
    expect(launch(copy)).toBe('F2C249');
    expect(launch('copy_tensor tile[0] = x_map[0, 0] to filled[0]')).toBe('F2C235');
    expect(launch('expect_copies filled[0] bytes 1024')).toBe('F2C235');
    expect(launch('wait_barrier filled[0] parity 0')).toBe('F2C236');
  });
});
