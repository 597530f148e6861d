import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import type { StorageType } from '../../ir/kernel/thread.js';
import type { Target } from '../../backends/target.js';

/** Vectors of four f32 are the widest access, so views and ends are padded to whole ones. */
export const vectorBytes = 16;

/** What offsets of bindings, and so of storages in their buffers, are multiples of. */
export function alignmentOf(target: Target): number {
  return Math.max(target.bindingAlignment, vectorBytes);
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Bytes a storage of so many elements takes: whole vectors, and never 0, which no device can bind. */
export function paddedBytes(elements: number, storage: StorageType): number {
  return Math.max(vectorBytes, roundUp(elements * storageBytes(storage), vectorBytes));
}

export interface WeightSegment {
  /** Elements. */
  readonly start: number;
  readonly end: number;
  readonly byteLength: number;
}

// Tiles are powers of two of at most 256 rows, so launches cut at multiples of this many rows never straddle a segment.
const rowGroup = 512;

/**
 * Where a weight is divided into device buffers of at most `maxBufferBytes`: whole rows (axis 0), in multiples of 512
 * where that many fit. Depends on the weight and the target only, so that sessions can share it. Undefined when not
 * even one aligned group of rows fits.
 */
export function segmentWeight(
  shape: readonly number[],
  storage: StorageType,
  target: Target,
): readonly WeightSegment[] | undefined {
  const total = shape.reduce((product, size) => product * size, 1);
  const whole = paddedBytes(total, storage);
  if (whole <= target.maxBufferBytes) return [{ start: 0, end: total, byteLength: whole }];
  const rows = shape[0] ?? 1;
  const rowElements = total / rows;
  const rowBytes = rowElements * storageBytes(storage);
  // A segment starts at a whole vector, so that indices relative to it keep their alignment.
  let unit = 1;
  while ((unit * rowBytes) % vectorBytes !== 0) unit *= 2;
  while (unit < rowGroup && unit * 2 * rowBytes <= target.maxBufferBytes) unit *= 2;
  const rowsOfSegment = Math.floor(target.maxBufferBytes / rowBytes / unit) * unit;
  if (rowsOfSegment === 0) return undefined;
  return Array.from({ length: Math.ceil(rows / rowsOfSegment) }, (_, index) => {
    const start = index * rowsOfSegment * rowElements;
    const end = Math.min(rows, (index + 1) * rowsOfSegment) * rowElements;
    return { start, end, byteLength: paddedBytes(end - start, storage) };
  });
}
