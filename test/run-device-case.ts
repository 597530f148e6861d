import { kernelPrinter } from '../backends/print-kernel.js';
import type { BoundLaunch, Device, DeviceBuffer } from '../runtime/device.js';
import type { DeviceCase } from './device-cases.js';

/** Buffers of a case on a device, with its launch. */
export async function prepareCase(
  device: Device,
  test: DeviceCase,
): Promise<{ readonly buffers: readonly DeviceBuffer[]; readonly launch: BoundLaunch }> {
  const source = kernelPrinter(device.target)(test.kernel);
  await device.loadKernels([{ name: test.kernel.name, kernel: test.kernel, source }]);
  const buffers = test.buffers.map((bytes, index) => {
    const buffer = device.createBuffer(bytes.byteLength, `${test.kernel.name} ${test.kernel.buffers[index]?.name}`);
    device.write(buffer, 0, bytes);
    return buffer;
  });
  const launch: BoundLaunch = {
    kernel: test.kernel.name,
    label: `test of ${test.kernel.name}`,
    bindings: buffers.map((buffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength })),
    parameters: test.parameters,
    workgroups: test.workgroups,
  };
  return { buffers, launch };
}

/** The decoded output of a case after one run. */
export async function runCase(device: Device, test: DeviceCase): Promise<ArrayLike<number>> {
  const { buffers, launch } = await prepareCase(device, test);
  const sequence = device.record([launch], test.kernel.name);
  device.run(sequence);
  const output = buffers[test.output];
  if (output === undefined) throw new Error(`case ${test.kernel.name} has no buffer ${test.output}`);
  const bytes = await device.read(output, 0, output.byteLength);
  sequence.destroy();
  for (const buffer of buffers) buffer.destroy();
  return test.decode(bytes);
}
