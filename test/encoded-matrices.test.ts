import { describe } from 'vitest';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { CudaEmulatorDevice } from '../runtime/cuda/node/emulator-device.js';
import { hasProgram } from './cuda-tools.js';
import { describeEncodedMatrices, gatedProducts, otherGatedProducts } from './encoded-matrices.js';
import { matrixTargets } from './matrix-cases.js';
import { hopperWebgpu } from './webgpu-targets.js';

describe.each(matrixTargets)('encoded matrices %s', { timeout: 120_000 }, (_, target) => {
  describeEncodedMatrices(target, () => new InterpreterDevice(target));
});

if (await hasProgram('g++', 'encoded matrices on the CUDA emulator')) {
  describe.each(matrixTargets)('encoded matrices %s, on the CUDA emulator', { timeout: 300_000 }, (_, target) => {
    describeEncodedMatrices(target, () => new CudaEmulatorDevice({ target }));
  });
}

describe('encoded matrices on a GPU through WebGPU, interpreted', { timeout: 120_000 }, () => {
  const all = [...gatedProducts, ...otherGatedProducts];
  describeEncodedMatrices(hopperWebgpu, () => new InterpreterDevice(hopperWebgpu), ['f16'], all);
});
