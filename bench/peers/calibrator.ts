/** How much of the processor is there for the asking: a burst of multiply-adds on all cores, before and after a round. */
import { availableParallelism } from 'node:os';
import { createCpuDevice } from '../../runtime/cpu/node/cpu-device.js';
import { multiplyAddKernel, multiplyAddFlop } from '../calibrate.js';
import type { Stack } from './stack.js';

const workgroups = 512;
const iterations = 256;

/** Operations of one run of the calibrator: some 10 ms. */
export const burstFlop = multiplyAddFlop(workgroups, iterations);

/** Its only task, whatever is asked for, is the burst. */
export function openCalibrator(): Stack {
  const device = createCpuDevice({ threads: availableParallelism() });
  return {
    prepare: async () => {
      const kernel = multiplyAddKernel();
      await device.loadKernels([{ name: kernel.name, kernel, source: '' }]);
      const input = device.createBuffer(64, 'calibration input');
      const output = device.createBuffer(workgroups * kernel.workgroupSize * 16, 'calibration output');
      device.write(input, 0, new Uint8Array(Float32Array.from([0.5, 0.25, 0.75, 0.5, 1, 1, 1, 1]).buffer));
      const bindings = [input, output].map((buffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength }));
      const launch = { kernel: kernel.name, label: kernel.name, bindings, parameters: Int32Array.of(iterations) };
      const sequence = device.record([{ ...launch, workgroups: [workgroups, 1, 1] }], kernel.name);
      return {
        run: async (count) => {
          for (let at = 0; at < count; at++) device.run(sequence);
          await device.finish();
        },
        read: async () => new Float32Array(0),
        release: async () => undefined,
      };
    },
    close: () => device.destroy(),
  };
}
