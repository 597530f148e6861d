import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../../test/read-safetensors.js';
import { hostTensor, inferError, inferTypes, patternTensor, runOperation } from '../../../test/run-operation.js';
import { compareTensors } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';

const golden = (path: string) => readSafetensors(new URL(`../../../test/golden/${path}.safetensors`, import.meta.url));

function goldenTensor(path: string, name: string): HostTensor {
  const { shape, values } = golden(path).tensor(name);
  return hostTensor('f32', shape, values);
}

/** The golden tables repeat each frequency for both numbers of a pair. */
function everySecondColumn(table: HostTensor): HostTensor {
  const [rows, columns] = table.shape as [number, number];
  const kept = table.data.filter((_, index) => index % 2 === 0);
  return hostTensor(table.dtype, [rows, columns / 2], kept);
}

describe('timestep_embedding', () => {
  const attributes = { size: 256, maxPeriod: 10000, scale: 1000 };

  // What is left (2e-5 at t = 742, 1.2e-4 at guidance 4000) is the reference's exp, off by one f32 ulp in about one of
  // ten frequencies; every other step is the same.
  it.each([
    ['transformer-tiny/cases/b1_8x6_t16', 'in.timestep', 'mid.time_proj'],
    ['transformer-tiny/cases/b1_8x6_t16', 'in.guidance', 'mid.guidance_proj'],
    ['transformer-klein-tiny/cases/b1_5x6_t13', 'in.timestep', 'mid.time_proj'],
  ])('%s: %s makes %s in both precisions', (path, from, to) => {
    for (const precision of ['f32', 'f64'] as const) {
      const [got] = runOperation('timestep_embedding', [goldenTensor(path, from)], attributes, { precision });
      const { maxAbs, relativeL2 } = compareTensors(got as HostTensor, goldenTensor(path, to));
      expect(maxAbs).toBeLessThan(5e-4);
      expect(relativeL2).toBeLessThan(1e-4);
    }
  });

  it('puts cosines first and starts with frequency 1', () => {
    const [got] = runOperation('timestep_embedding', [hostTensor('f32', [2], [0, 0.5])], { ...attributes, size: 4 });
    const first = [Math.cos(500), Math.cos(5), Math.sin(500), Math.sin(5)].map(Math.fround);
    expect([...(got as HostTensor).data]).toEqual([1, 1, 0, 0, ...first]);
  });

  it('refuses an odd size and other element types', () => {
    expect(inferError('timestep_embedding', [['f32', [1]]], { ...attributes, size: 3 }).code).toBe('F2C114');
    expect(inferError('timestep_embedding', [['bf16', [1]]], attributes).code).toBe('F2C112');
    expect(inferError('timestep_embedding', [['f32', [1, 1]]], attributes).code).toBe('F2C111');
    expect(inferTypes('timestep_embedding', [['f32', ['batch']]], attributes)).toEqual(['f32[batch, 256]']);
  });
});

describe('rope_table', () => {
  it.each([
    'transformer-tiny/cases/b1_8x6_t16',
    'transformer-tiny/cases/b1_6x4_2refs_t10',
    'transformer-klein-tiny/cases/b1_5x6_t13',
  ])('equals the tables of %s to the last bit', (path) => {
    const file = golden(path);
    const [text, image] = [file.tensor('in.txt_ids'), file.tensor('in.img_ids')];
    const rows = (text.shape[1] as number) + (image.shape[1] as number);
    const ids = hostTensor('i32', [rows, 4], [...text.values, ...image.values]);
    const [cos, sin] = runOperation('rope_table', [ids], { theta: 2000, axisSizes: [8, 8, 8, 8] });
    expect(cos).toEqual(everySecondColumn(goldenTensor(path, 'mid.rope.cos')));
    expect(sin).toEqual(everySecondColumn(goldenTensor(path, 'mid.rope.sin')));
  });

  it('equals the tables at large positions with the axes of the released models', () => {
    const ids = golden('rope-real').tensor('in.ids');
    const [cos, sin] = runOperation('rope_table', [hostTensor('i32', ids.shape, ids.values)], {
      theta: 2000,
      axisSizes: [32, 32, 32, 32],
    });
    for (const [got, name] of [[cos, 'out.cos'] as const, [sin, 'out.sin'] as const]) {
      const { maxAbs, relativeL2 } = compareTensors(
        got as HostTensor,
        everySecondColumn(goldenTensor('rope-real', name)),
      );
      expect(maxAbs).toBeLessThan(5e-5);
      expect(relativeL2).toBeLessThan(1e-5);
    }
  });

  it('checks the ids against the axes', () => {
    const attributes = { theta: 2000, axisSizes: [4, 8] };
    expect(inferTypes('rope_table', [['i32', ['img+txt', 2]]], attributes)).toEqual([
      'f32[img+txt, 6]',
      'f32[img+txt, 6]',
    ]);
    expect(inferError('rope_table', [['i32', ['img', 3]]], attributes)).toMatchObject({
      code: 'F2C113',
      detail: { expected: '2', found: '3' },
    });
    expect(inferError('rope_table', [['i64', ['img', 2]]], attributes).code).toBe('F2C112');
    expect(inferError('rope_table', [['i32', ['img', 2]]], { theta: 2000, axisSizes: [4, 3] }).code).toBe('F2C114');
  });
});

describe('rope', () => {
  // A quarter turn takes (a, b) to (-b, a).
  const quarter = [hostTensor('f32', [1, 2], 0), hostTensor('f32', [1, 2], 1)];

  it('turns neighbouring pairs or halves', () => {
    const x = hostTensor('f32', [1, 1, 1, 4], [1, 2, 3, 4]);
    expect([...(runOperation('rope', [x, ...quarter], { style: 'interleaved' })[0] as HostTensor).data]).toEqual([
      -2, 1, -4, 3,
    ]);
    expect([...(runOperation('rope', [x, ...quarter], { style: 'half' })[0] as HostTensor).data]).toEqual([
      -3, -4, 1, 2,
    ]);
  });

  it('takes the angle of the position for every batch element and head', () => {
    const x = patternTensor('f32', [2, 3, 2, 4]);
    const angles = patternTensor('f32', [3, 2], 5).data;
    const cos = hostTensor('f32', [3, 2], angles.map(Math.cos));
    const sin = hostTensor('f32', [3, 2], angles.map(Math.sin));
    const { data } = runOperation('rope', [x, cos, sin], { style: 'interleaved' })[0] as HostTensor;
    for (let pair = 0; pair < data.length / 2; pair++) {
      const position = Math.floor(pair / 4) % 3;
      const angle = angles[position * 2 + (pair % 2)] as number;
      const [a, b] = [x.data[2 * pair] as number, x.data[2 * pair + 1] as number];
      const turned = Math.atan2(b, a) + angle;
      expect(data[2 * pair]).toBeCloseTo(Math.hypot(a, b) * Math.cos(turned), 12);
      expect(data[2 * pair + 1]).toBeCloseTo(Math.hypot(a, b) * Math.sin(turned), 12);
    }
  });

  it('keeps the type of x and checks the tables', () => {
    const style = { style: 'half' } as const;
    const table = ['f32', ['img', 16]] as const;
    expect(inferTypes('rope', [['bf16', [1, 'img', 4, 32]], table, table], style)).toEqual(['bf16[1, img, 4, 32]']);
    expect(inferError('rope', [['bf16', [1, 'txt', 4, 32]], table, table], style)).toMatchObject({
      code: 'F2C113',
      detail: { where: ['rope', 'cos'], expected: '[txt, 16]', found: '[img, 16]' },
    });
    expect(inferError('rope', [['bf16', [1, 'img', 4, 31]], table, table], style).code).toBe('F2C116');
    expect(inferError('rope', [['i32', [1, 'img', 4, 32]], table, table], style).code).toBe('F2C112');
    expect(inferError('rope', [['bf16', [1, 'img', 4, 32]], table], style).code).toBe('F2C110');
  });
});
