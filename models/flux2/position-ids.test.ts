import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../test/read-safetensors.js';
import { concatPositionIds, imagePositionIds, referencePositionIds, textPositionIds } from './position-ids.js';

describe('position ids', () => {
  it('number text and image tokens as the reference does', () => {
    const golden = readSafetensors('test/golden/transformer-tiny/cases/b1_8x6_t16.safetensors');
    expect([...textPositionIds(16)]).toEqual([...golden.tensor('in.txt_ids').values]);
    expect([...imagePositionIds(8, 6)]).toEqual([...golden.tensor('in.img_ids').values]);
  });

  it('put reference pictures at t = 10, 20 after the image', () => {
    const golden = readSafetensors('test/golden/transformer-tiny/cases/b1_6x4_2refs_t10.safetensors');
    const want = [...golden.tensor('in.img_ids').values];
    const references = want.slice(6 * 4 * 4);
    const lastRow = (t: number): number[] => {
      const rows = references.flatMap((_, i) =>
        i % 4 === 0 && references[i] === t ? [references.slice(i, i + 4)] : [],
      );
      return rows.at(-1)!;
    };
    const grids = [10, 20].map((t) => ({ height: lastRow(t)[1]! + 1, width: lastRow(t)[2]! + 1 }));
    expect(grids.reduce((tokens, { height, width }) => tokens + height * width, 0)).toBe(references.length / 4);
    const got = concatPositionIds([imagePositionIds(6, 4), referencePositionIds(grids)]);
    expect([...got]).toEqual(want);
  });

  it('give no rows without references', () => {
    expect(referencePositionIds([]).length).toBe(0);
  });
});
