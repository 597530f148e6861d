import { Flux2cError } from '../ir/diagnostics.js';
import type { ThreadKernel } from '../ir/kernel/thread.js';
import type { Target } from '../backends/target.js';
import type { BoundLaunch, DeviceBuffer, DeviceUsage } from './device.js';

/**
 * Checks what a device would otherwise report late or not at all: counts, alignment and ranges of a launch against the
 * kernel and the target. A failure is a bug of whoever planned the launch, so messages name launch, kernel and buffer.
 * Throws F2C514.
 */
export function checkLaunch(target: Target, kernel: ThreadKernel, launch: BoundLaunch): void {
  const fail = (what: string, expected: string, found: string, buffer?: string): never => {
    const where = [`launch ${launch.label}`, `kernel ${kernel.name}`];
    if (buffer !== undefined) where.push(`buffer ${buffer}`);
    throw new Flux2cError('F2C514', `internal: ${what}`, { where, expected, found });
  };
  if (launch.bindings.length !== kernel.buffers.length)
    fail('wrong number of bindings', `${kernel.buffers.length}`, `${launch.bindings.length}`);
  if (launch.parameters.length !== kernel.parameters.length)
    fail('wrong number of parameters', `${kernel.parameters.length}`, `${launch.parameters.length}`);
  for (const count of launch.workgroups)
    if (!Number.isInteger(count) || count < 1 || count > target.maxWorkgroupsPerDimension)
      fail(
        'workgroup count out of range',
        `1..${target.maxWorkgroupsPerDimension} in each dimension`,
        launch.workgroups.join(' x '),
      );
  launch.bindings.forEach((binding, index) => {
    const name = kernel.buffers[index]?.name ?? `${index}`;
    const { buffer, byteOffset, byteLength } = binding;
    if (byteOffset % target.bindingAlignment !== 0)
      fail('misaligned binding', `an offset that is a multiple of ${target.bindingAlignment}`, `${byteOffset}`, name);
    if (byteLength < 1 || byteLength > target.maxBindingBytes)
      fail('binding size out of range', `1..${target.maxBindingBytes} bytes`, `${byteLength}`, name);
    if (byteOffset < 0 || byteOffset + byteLength > buffer.byteLength)
      fail(
        'binding outside its buffer',
        `a range within the ${buffer.byteLength} bytes of "${buffer.label}"`,
        `${byteOffset}..${byteOffset + byteLength}`,
        name,
      );
  });
  checkTiles(kernel, launch, fail);
}

/** Kernels that walk over tiles count them by their parameters, whatever the grid is that starts them. */
function checkTiles(
  kernel: ThreadKernel,
  { parameters, workgroups }: BoundLaunch,
  fail: (what: string, expected: string, found: string) => never,
): void {
  const tiles = (['x', 'y', 'z'] as const).map((axis) => parameters[kernel.parameters.indexOf(`tiles_${axis}`)]);
  const isWalking = kernel.walksTiles === true;
  if (tiles.some((count, axis) => (count === undefined ? isWalking : count !== workgroups[axis])))
    fail('the tiles are not the workgroups', workgroups.join(' x '), tiles.map((count) => count ?? 'none').join(' x '));
  const all = workgroups[0] * workgroups[1] * workgroups[2];
  if (isWalking && all > 2 ** 31 - 1) fail('too many tiles', `at most ${2 ** 31 - 1} in all`, `${all}`);
}

/**
 * What one launch must not bind: two ranges with bytes in common of which one is written, and, for targets without
 * `mixedAccess`, a buffer both read-only and writable, whatever the ranges. Throws F2C514.
 */
export function checkBufferAccess(target: Target, kernel: ThreadKernel, launch: BoundLaunch): void {
  launch.bindings.forEach((first, firstIndex) => {
    launch.bindings.slice(firstIndex + 1).forEach((second, distance) => {
      const one = kernel.buffers[firstIndex];
      const other = kernel.buffers[firstIndex + 1 + distance];
      if (one === undefined || other === undefined || first.buffer !== second.buffer) return;
      if (one.access === 'read' && other.access === 'read') return;
      const isMixed = one.access === 'read' || other.access === 'read';
      const isForbidden = isMixed && target.mixedAccess !== true;
      const overlap =
        first.byteOffset < second.byteOffset + second.byteLength &&
        second.byteOffset < first.byteOffset + first.byteLength;
      if (!isForbidden && !overlap) return;
      throw new Flux2cError('F2C514', 'internal: these bindings of one buffer do not go together in a launch', {
        where: [`launch ${launch.label}`, `kernel ${kernel.name}`, `buffer ${first.buffer.label}`],
        expected: isForbidden ? 'read-only and writable bindings in different buffers' : 'disjoint ranges',
        found: `${one.name} (${one.access}) and ${other.name} (${other.access})`,
      });
    });
  });
}

/** Checks of a kernel that do not depend on a launch. Throws F2C514. */
export function checkKernel(target: Target, kernel: ThreadKernel): void {
  const fail = (what: string, expected: string, found: number): never => {
    throw new Flux2cError('F2C514', `internal: ${what}`, {
      where: [`kernel ${kernel.name}`],
      expected,
      found: `${found}`,
    });
  };
  if (kernel.buffers.length > target.maxStorageBuffers)
    fail('too many buffers', `at most ${target.maxStorageBuffers}`, kernel.buffers.length);
  if (kernel.workgroupSize > target.maxWorkgroupInvocations)
    fail('workgroup too large', `at most ${target.maxWorkgroupInvocations} invocations`, kernel.workgroupSize);
  const memory = target.loops?.memoryBytes ?? target.workgroupMemory;
  const bytes = kernel.shared.reduce((sum, { type, length }) => sum + 4 * type.lanes * length, 0);
  if (bytes > memory) fail('too much workgroup memory', `at most ${memory} bytes`, bytes);
}

/** Offsets and lengths of `write`, `copy` and `read`. Throws F2C514. */
export function checkRange(operation: string, buffer: DeviceBuffer, byteOffset: number, byteLength: number): void {
  const bad = byteOffset < 0 || byteLength < 0 || byteOffset + byteLength > buffer.byteLength;
  if (!bad && byteOffset % 4 === 0 && byteLength % 4 === 0) return;
  throw new Flux2cError('F2C514', `internal: bad range of ${operation}`, {
    where: [`buffer ${buffer.label}`],
    expected: `multiples of 4 within ${buffer.byteLength} bytes`,
    found: `offset ${byteOffset}, length ${byteLength}`,
  });
}

/** Bytes of the live buffers of a device, with their peak and the largest amount allowed. */
export class UsageMeter implements DeviceUsage {
  bytes = 0;
  peakBytes = 0;

  constructor(
    private readonly maxBufferBytes: number,
    private readonly budgetBytes: number,
  ) {}

  /** Throws F2C501 for a buffer larger than the device allows, F2C502 when the budget does not hold it. */
  admit(byteLength: number, label: string): void {
    if (!Number.isInteger(byteLength) || byteLength < 0 || byteLength > this.maxBufferBytes)
      throw new Flux2cError('F2C501', 'the device has no buffers of this size', {
        where: [`buffer ${label}`],
        expected: `at most ${this.maxBufferBytes} bytes`,
        found: `${byteLength} bytes`,
        hint: 'Plan for this device, so that large tensors are split.',
      });
    if (this.bytes + byteLength > this.budgetBytes) throw outOfMemory(byteLength, label, this.bytes, this.budgetBytes);
  }

  add(byteLength: number): void {
    this.bytes += byteLength;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
  }

  remove(byteLength: number): void {
    this.bytes -= byteLength;
  }
}

/** F2C502 with the bytes asked for and in use, and those that are free where the device tells (others use it, too). */
export function outOfMemory(
  byteLength: number,
  label: string,
  bytesInUse: number,
  budgetBytes: number,
  freeBytes?: number,
): Flux2cError {
  const limit = Number.isFinite(budgetBytes) ? ` of ${budgetBytes} allowed` : '';
  const free = freeBytes === undefined ? '' : `, ${freeBytes} free on the device`;
  return new Flux2cError('F2C502', 'the device is out of memory', {
    where: [`buffer ${label}`],
    expected: `room for ${byteLength} bytes`,
    found: `${bytesInUse} bytes in use${limit}${free}`,
    hint: 'Free memory on the device, or use a smaller image, smaller weights (fewer bits) or a plan that streams weights.',
  });
}
