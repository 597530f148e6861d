/** Columns of a tile, rows of each group of four subgroups, and numbers of a chunk of the contracted axis. */
export const walkingTile = 64;

/**
 * y = x · wᵀ for x of p1 rows, w of p2 rows and rows of p0 numbers (bf16; y is f32 of p1 × p2), as text: workgroups walk over tiles, one
 * role copies chunks into two stages, the other multiplies them with `groups` of four subgroups, each 64 rows. p0 is a multiple of 8,
 * p2 of 2; tiles_x along the rows.
 */
export function walkingProductOf(groups: 1 | 2): string {
  const rows = walkingTile * groups;
  return `kernel @walk workgroup(${128 * groups + 128}) subgroup(32) walks_tiles params(tiles_x, tiles_y, tiles_z, x_base, y_base, p0, p1, p2)
  buffer x: read bf16 x4
  buffer w: read bf16 x4
  buffer y: write f32 x2
  shared stage_x: u32x4[${16 * rows}]
  shared stage_w: u32x4[1024]
  tensor x_map of x from 0 (extent p0 stride 1 box 64, extent p1 stride p0 box ${rows})
  tensor w_map of w from 0 (extent p0 stride 1 box 64, extent p2 stride p0 box 64)
  barriers filled[2] arrivals(1)
  barriers emptied[2] arrivals(${4 * groups})
{
  let chunks: i32 = (p0 + 63) / 64
  let tiles: i32 = tiles_x * tiles_y * tiles_z
  roles {
    multiply invocations(${128 * groups}) registers(232) {
      for round = 0 to (tiles - group_index + group_count - 1) / group_count step 1 {
        let tile: i32 = group_index + round * group_count
${sums((name) => `        var ${name}: f32x2 = 0.0:f32x2`)}
        for chunk = 0 to chunks step 1 {
          let filling: i32 = round * chunks + chunk
          let stage: i32 = filling % 2
          wait_barrier filled[stage] parity filling / 2 % 2
          begin_products
${[0, 2, 4, 6].map((piece) => `          ${product(piece, rows)}`).join('\n')}
          commit_products
          wait_products(1)
          if subgroup_lane == 0 & 0 < chunk {
            arrive emptied[(filling - 1) % 2]
          }
        }
        wait_products(0)
        if subgroup_lane == 0 {
          arrive emptied[(round * chunks + chunks - 1) % 2]
        }
        let row: i32 = tile % tiles_x * ${rows} + local_index / 32 * 16 + subgroup_lane / 4
        let column: i32 = tile / tiles_x * 64 + subgroup_lane % 4 * 2
${sums(storeOf)}
      }
    }
    copy invocations(128) registers(40) {
      if local_index == ${128 * groups} {
        for round = 0 to (tiles - group_index + group_count - 1) / group_count step 1 {
          let tile: i32 = group_index + round * group_count
          for chunk = 0 to chunks step 1 {
            let filling: i32 = round * chunks + chunk
            let stage: i32 = filling % 2
            wait_barrier emptied[stage] parity (filling / 2 + 1) % 2
            expect_copies filled[stage] bytes ${128 * (rows + walkingTile)}
            copy_tensor stage_x[stage * ${8 * rows}] = x_map[chunk * 64, tile % tiles_x * ${rows}] to filled[stage]
            copy_tensor stage_w[stage * 512] = w_map[chunk * 64, tile / tiles_x * 64] to filled[stage]
          }
        }
      }
    }
  }
}
`;
}

/** With one group. */
export const walkingProduct = walkingProductOf(1);

/** A line, or several, for each accumulator: the one of rows 8 * `half` on and columns 8 * `block` on. */
function sums(line: (name: string, block: number, half: number) => string): string {
  return Array.from({ length: walkingTile / 4 }, (_, at) => line(`sum_${at}`, at >> 1, at & 1)).join('\n');
}

function product(piece: number, rows: number): string {
  const group = rows === walkingTile ? '' : ' + local_index / 128 * 512';
  const x = `matrix(stage_x, stage * ${8 * rows}${group} + ${piece}, rows, 512)`;
  const w = `matrix(stage_w, stage * 512 + ${piece}, rows, 512)`;
  const accumulators = Array.from({ length: walkingTile / 4 }, (_, at) => `sum_${at}`).join(', ');
  return `multiply_shared_bf16 x64 ${accumulators} += ${x} by ${w}`;
}

function storeOf(name: string, block: number, half: number): string {
  const [row, column] = [`row + ${8 * half}`, `column + ${8 * block}`];
  return `        if ${row} < p1 & ${column} < p2 {
          y[(y_base + (${row}) * p2 + ${column}) / 2] = ${name}
        }`;
}
