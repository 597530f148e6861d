/** A product whose stages one warp fills with tensor copies: right on the emulator, and every bug planted in its text is reported. */
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { Flux2cError } from '../ir/diagnostics.js';
import { bf16ToF32, f32ToBf16 } from '../ir/dtype.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { emulate, hasProgram } from './cuda-tools.js';
import { asF32, bytesOf, pseudoRandom } from './device-cases.js';
import { consumerWait, pipelinePlants } from './pipeline-plants.js';
import { pipelinedProduct, tileRows } from './pipelined-product.js';

const tileColumns = 64;
const kernel = pipelinedProduct({ name: 'pipelined', tileColumns, stages: 3 });
const text = printCuda(kernel);

interface Sizes {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}
/** Nothing divides by a tile; more tiles than workgroups, more chunks than stages. */
const ragged: Sizes = { rows: 200, columns: 150, depth: 328 };

if (await hasProgram('g++', 'pipelined products on the CUDA emulator')) {
  const device = new CudaEmulatorDevice({ target: cudaTarget(['sm_90a']) });

  const operand = (count: number, seed: number): Uint16Array => Uint16Array.from(pseudoRandom(count, seed), f32ToBf16);
  const run = async (
    source: string,
    { rows, columns, depth }: Sizes,
    { x, w } = { x: operand(rows * depth, 1), w: operand(columns * depth, 2) },
    on = kernel,
  ): Promise<Float32Array> => {
    const tiles = [Math.ceil(rows / tileRows), Math.ceil(columns / tileColumns), 1] as const;
    const [, , y] = await emulate(device, {
      kernel: on,
      source,
      buffers: [bytesOf(x), bytesOf(w), new Uint8Array(rows * columns * 4)],
      parameters: { rows, columns, depth, tiles_x: tiles[0], tiles_y: tiles[1], tiles_z: tiles[2] },
      workgroups: tiles,
    });
    return asF32(y as Uint8Array);
  };
  const failure = async (...given: Parameters<typeof run>): Promise<Flux2cError> => {
    const error = await run(...given).catch((thrown: unknown) => thrown);
    if (error instanceof Flux2cError) return error;
    throw new Error(`no error: ${String(error)}`);
  };

  describe('pipelined products on the CUDA emulator', () => {
    afterAll(() => device.destroy());

    it.each([
      ['ragged sizes', ragged],
      ['one chunk', { rows: 64, columns: 8, depth: 8 }],
      ['fewer chunks than stages', { rows: 129, columns: 66, depth: 128 }],
    ])('are right for %s', async (_, { rows, columns, depth }) => {
      const [x, w] = [operand(rows * depth, 1), operand(columns * depth, 2)];
      const y = await run(text, { rows, columns, depth }, { x, w });
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let want = 0;
          for (let k = 0; k < depth; k++) {
            want += bf16ToF32(x[row * depth + k] as number) * bf16ToF32(w[column * depth + k] as number);
          }
          expect(Math.abs((y[row * columns + column] as number) - want), `${row}, ${column}`).toBeLessThan(1e-4);
        }
      }
    });

    it('take zeros from coordinates that leave nothing inside', async () => {
      for (const base of ['column_base + 100000', 'column_base - 100000']) {
        const source = text.replace('f2c::coordinates(k, column_base)', `f2c::coordinates(k, ${base})`);
        expect(source).not.toBe(text);
        expect((await run(source, ragged)).every((value) => value === 0)).toBe(true);
      }
    });

    const spare = {
      ...kernel,
      shared: [...kernel.shared, { name: 'spare', type: kernel.shared[0]!.type, length: 512 }],
      barriers: [...kernel.barriers!, { name: 'spared', length: 1, arrivals: 1 }],
    };
    it.each(pipelinePlants)('report $what', async ({ from, to, code, object, line, found }) => {
      const on = to.includes('spare') ? spare : kernel;
      const plain = printCuda(on);
      expect(plain).toContain(from);
      const error = await failure(plain.replace(from, to), ragged, undefined, on);
      expect(error.code, error.format()).toBe(code);
      expect(error.detail.found, error.format()).toMatch(found);
      const [launch, name, ...places] = error.detail.where ?? [];
      expect([launch, name]).toEqual(['launch test of pipelined', 'kernel pipelined']);
      expect(places.at(-1)).toContain(line);
      expect(places.slice(0, -1)).toEqual(object === '' ? [] : [object]);
    });

    it('report rows of a tensor map that the binding does not have', async () => {
      const { rows, columns, depth } = ragged;
      const operands = { x: operand(rows * depth - 8, 1), w: operand(columns * depth, 2) };
      const error = await failure(text, ragged, operands);
      expect(error.code, error.format()).toBe('F2C240');
      const bytes = 2 * (rows * depth - 8);
      expect(error.detail).toMatchObject({ expected: `an index below ${bytes} (bytes)` });
      expect(error.detail.found).toMatch(new RegExp(`^${bytes}, invocation 256`));
      expect(error.detail.where?.slice(2, 3)).toEqual(['buffer x']);
    });

    it('report tensor maps that the driver would refuse', async () => {
      const error = await failure(text, { rows: 64, columns: 8, depth: 12 });
      expect(error.code).toBe('F2C537');
      expect(error.detail).toMatchObject({ expected: 'strides that 16 bytes divide', found: '24' });
      expect(error.detail.where).toEqual(['launch test of pipelined', 'kernel pipelined', 'tensor map x_map']);
    });

    it('go on after a failure', async () => {
      await failure(text.replace(consumerWait, ''), ragged);
      expect(await run(text, ragged)).toEqual(await run(text, ragged));
    });
  });
}
