/** What kernels that walk over tiles need beside their operands, left out or changed in the text: the emulator must say so. */
import { afterAll, describe, expect, it } from 'vitest';
import { printCuda } from '../backends/cuda/cuda.js';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { hasProgram } from './cuda-tools.js';
import { expectSameNumbers, matrixCases, prepareMatrixCase } from './matrix-cases.js';

const target = cudaTarget(['sm_90a']);
const product = matrixCases[1]!;
const attention = matrixCases.find(({ what }) => what === 'attention with heads of 128')!;

if (await hasProgram('g++', 'bugs planted in kernels that walk over tiles')) {
  describe('kernels that walk over tiles, on the CUDA emulator', () => {
    const device = new CudaEmulatorDevice({ target });
    afterAll(() => device.destroy());

    it.each([
      ['a product whose multiplying role waits for the phase before', product, /wait_barrier\(filled, (\w+), (\w+)\)/, 'wait_barrier(filled, $1, 1 - $2)', 'F2C248'],
      ['a product whose copying role does not wait for empty stages', product, /^ *f2c::wait_barrier\(emptied, .*\n/m, '', 'F2C235'],
      ['a product that never says that a stage is read', product, /f2c::arrive\(emptied, (\w+)\);\n( *)\}\n( *)\}/, '}\n}', 'F2C236'],
      ['a product that expects fewer bytes than are copied', product, /expect_copies\(filled, (\w+), \d+\)/, 'expect_copies(filled, $1, 1024)', 'F2C249'],
      ['a product that expects bytes of no copy', product, /(expect_copies\(filled, \w+, )(\d+)\)/, '$1$2 + 16)', 'F2C236'],
      ['a product that copies into the next stage', product, /copy_tensor\(stage_0, (\w+),/, 'copy_tensor(stage_0, ($1 + 1024) % 4096,', 'F2C249'],
      ['a product that does not wait for what it multiplies', product, /^ *f2c::wait_barrier\(filled, .*\n/m, '', 'F2C248'],
      ['an attention that lets go of keys that it still reads', attention, /( *f2c::wait_barrier\(filled, (\w+), \w+\);\n)/, '$1 if (subgroup_lane == 0) f2c::arrive(emptied, $2);\n', 'F2C244'],
    ] as const)('report %s', async (_, test, from, to, code) => {
      let changed = 0;
      const print = (kernel: Parameters<typeof printCuda>[0]): string => {
        const text = printCuda(kernel);
        const planted = text.replace(from, to);
        if (planted !== text) changed++;
        return planted;
      };
      const run = prepareMatrixCase(test, target, print);
      expect(changed).toBeGreaterThan(0);
      await expect(expectSameNumbers(run, device)).rejects.toMatchObject({
        code,
        detail: { found: expect.stringMatching(/./) as unknown },
      });
    }); // prettier-ignore
  });
}
