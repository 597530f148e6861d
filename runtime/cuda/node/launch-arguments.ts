import { type CudaLaunch, tensorMapAlignment, tensorMapBytes } from '../driver.js';
import type { Koffi } from './libcuda-calls.js';

export interface AlignedBlock {
  readonly bytes: Uint8Array;
  readonly address: bigint;
}

/** Memory of its own, zeros, whose address is a multiple of `alignment`, a power of two. */
export function alignedBlock(koffi: Koffi, byteLength: number, alignment: number): AlignedBlock {
  // The memory of small typed arrays moves unless an ArrayBuffer of their own holds it.
  const buffer = new ArrayBuffer(byteLength + alignment);
  const start = koffi.address(buffer);
  const skipped = Number(-start & BigInt(alignment - 1));
  return { bytes: new Uint8Array(buffer, skipped, byteLength), address: start + BigInt(skipped) };
}

/**
 * The table of addresses that cuLaunchKernel takes, one of each argument. It points into the block of memory that it begins:
 * behind it stand the tensor maps, the pointers and the structure of integers.
 */
export function packArguments(koffi: Koffi, { pointers, tensorMaps, parameters }: CudaLaunch): BigUint64Array {
  const entries = pointers.length + tensorMaps.length + 1;
  const mapsAt = roundUp(8 * entries, tensorMapAlignment);
  const pointersAt = mapsAt + tensorMapBytes * tensorMaps.length;
  const integersAt = pointersAt + 8 * pointers.length;
  const { bytes, address } = alignedBlock(koffi, integersAt + Math.max(8, parameters.byteLength), tensorMapAlignment);
  const table = new BigUint64Array(bytes.buffer, bytes.byteOffset, entries);
  const places = [
    ...pointers.map((_, index) => pointersAt + 8 * index),
    ...tensorMaps.map((_, index) => mapsAt + tensorMapBytes * index),
    integersAt,
  ];
  places.forEach((place, index) => (table[index] = address + BigInt(place)));
  tensorMaps.forEach((map, index) => bytes.set(map, mapsAt + tensorMapBytes * index));
  new BigUint64Array(bytes.buffer, bytes.byteOffset + pointersAt, pointers.length).set(pointers);
  new Int32Array(bytes.buffer, bytes.byteOffset + integersAt, parameters.length).set(parameters);
  return table;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
