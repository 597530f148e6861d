import { describe, expect, it } from 'vitest';
import { kernelPrinter } from '../backends/print-kernel.js';
import { cpuTarget, portableWebgpu } from '../backends/target.js';
import { verifyThreadKernel } from '../ir/kernel/thread-verify.js';
import type { Device } from '../runtime/device.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { hopperWebgpu } from '../test/webgpu-targets.js';
import { copyKernel, multiplyAddKernel } from './calibrate.js';
import { matrixFlop, matrixInputs, matrixKernel } from './calibrate-matrices.js';

async function run(inputs: readonly Float32Array[], outputBytes: number, which: 'fma' | 'copy'): Promise<Float32Array> {
  const device: Device = new InterpreterDevice(cpuTarget);
  const kernel = which === 'fma' ? multiplyAddKernel() : copyKernel();
  await device.loadKernels([{ name: kernel.name, kernel, source: '' }]);
  const [input = new Float32Array(0)] = inputs;
  const from = device.createBuffer(input.byteLength, 'from');
  const to = device.createBuffer(outputBytes, 'to');
  device.write(from, 0, new Uint8Array(input.buffer));
  const bindings = [from, to].map((buffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength }));
  const parameters = Int32Array.from(which === 'fma' ? [3] : []);
  const launch = { kernel: kernel.name, label: 'test', bindings, parameters, workgroups: [1, 1, 1] } as const;
  device.run(device.record([launch], 'test'));
  const bytes = await device.read(to, 0, outputBytes);
  return new Float32Array(bytes.slice().buffer);
}

describe('calibration kernels', () => {
  it.each([multiplyAddKernel(), copyKernel()])('$name is well formed and prints', (kernel) => {
    verifyThreadKernel(kernel, portableWebgpu);
    expect(kernelPrinter(portableWebgpu)(kernel)).toContain('@compute');
  });

  it('multiplies and adds as often as it is told', async () => {
    const sums = await run([Float32Array.from([0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1])], 64 * 16, 'fma');
    // Three times x/2 + 1, from 0, 1, ... 11: x/8 + 1.75.
    const expected = Array.from({ length: 12 }, (_, at) => at / 8 + 1.75).reduce((sum, one) => sum + one, 0);
    expect(sums).toEqual(new Float32Array(64 * 4).fill(expected));
  });

  it('copies everything', async () => {
    const input = Float32Array.from({ length: 64 * 8 * 4 }, (_, at) => at);
    expect(await run([input], input.byteLength, 'copy')).toEqual(input);
  });

  it('multiplies matrices of subgroups as often as it is told', async () => {
    const product = { rows: 16, columns: 16, depth: 16 };
    const kernel = matrixKernel(product, 32);
    verifyThreadKernel(kernel, hopperWebgpu);
    expect(kernelPrinter(hopperWebgpu)(kernel)).toContain('subgroupMatrixMultiplyAccumulate');
    const device = new InterpreterDevice(hopperWebgpu);
    await device.loadKernels([{ name: kernel.name, kernel, source: '' }]);
    const values = matrixInputs(product);
    const [from, to] = [device.createBuffer(values.byteLength, 'from'), device.createBuffer(2 * 128 * 16, 'to')];
    device.write(from, 0, values);
    const bindings = [from, to].map((buffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength }));
    const launch = { kernel: kernel.name, label: 'test', bindings, parameters: Int32Array.from([3]), workgroups: [2, 1, 1] } as const; // prettier-ignore
    device.run(device.record([launch], 'test'));
    const sums = new Float32Array((await device.read(to, 0, 2 * 128 * 16)).slice().buffer);
    // Three products of 16 numbers 2^-10 each with another, of eight sums.
    expect(sums).toEqual(new Float32Array(2 * 128 * 4).fill(8 * 3 * 16 * 2 ** -20));
    expect(matrixFlop(product, 2, 3)).toBe(2 * 16 ** 3 * 8 * 4 * 3 * 2);
  });
});
