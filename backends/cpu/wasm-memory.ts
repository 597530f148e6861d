import { byteSize } from '../../ir/dtype.js';
import { binary, integer, register, i32 } from '../../ir/kernel/expressions.js';
import type { BufferParameter, Expression, SharedArray, ThreadKernel } from '../../ir/kernel/thread.js';
import { atomForm, linearForm } from './wasm-linear.js';
import { malformed, pointerRegister, type WasmScope } from './wasm-scope.js';

type WriteExpression = (expression: Expression) => void;

/**
 * Memory below this address holds no buffer. An address may pass below its buffer before the constant part of the index,
 * which is added without wrapping, brings it back; it must not pass below zero on the way.
 */
export const guardBytes = 64 * 2 ** 20;

/**
 * Writes the address of element `index` (in units of the buffer's lanes) but for its constant part, which is returned.
 * Terms are summed from the outermost loop inwards, so that each loop adds only what it changes.
 */
function writeAddress(scope: WasmScope, buffer: BufferParameter, index: Expression, write: WriteExpression): number {
  const unit = byteSize(buffer.storage) * buffer.lanes;
  const found = linearForm(scope, index);
  const { divisor, constant, terms } = unit % found.divisor === 0 ? found : atomForm(index);
  const step = unit / divisor;
  const ordered = terms
    .map((term) => ({ ...term, depth: scope.depthOf(term.atom) }))
    .sort((first, second) => first.depth - second.depth);
  let address: Expression = register(pointerRegister(buffer.name), i32);
  for (const { coefficient, atom } of ordered)
    address = binary('add', address, binary('mul', atom, integer(Math.imul(coefficient, step))));
  const offset = Math.imul(constant, step);
  const foldable = offset >= 0 && offset < guardBytes;
  write(foldable ? address : binary('add', address, integer(offset)));
  return foldable ? offset : 0;
}

/** Leaves the loaded value on the stack, narrow floats widened. */
export function writeLoad(scope: WasmScope, name: string, index: Expression, write: WriteExpression): void {
  writeLoadOf(scope, scope.buffer(name), index, write);
}

function writeLoadOf(scope: WasmScope, buffer: BufferParameter, index: Expression, write: WriteExpression): void {
  const { writer } = scope;
  const offset = writeAddress(scope, buffer, index, write);
  const { storage, lanes } = buffer;
  switch (storage) {
    case 'f32':
    case 'i32':
    case 'u32':
      if (lanes === 1) writer.memory(storage === 'f32' ? 'f32.load' : 'i32.load', offset);
      else writer.memory(lanes === 4 ? 'v128.load' : 'v128.load64_zero', offset);
      return;
    case 'bf16':
      if (lanes === 1) writer.memory('i32.load16_u', offset).i32(16).ops('i32.shl', 'f32.reinterpret_i32');
      else {
        writeLoad16(scope, lanes, offset);
        writer.i32(16).op('i32x4.shl');
      }
      return;
    case 'f16':
      if (lanes === 1) writer.memory('i32.load16_u', offset).op('i32x4.splat');
      else writeLoad16(scope, lanes, offset);
      scope.callHelper('widen_f16');
      if (lanes === 1) writer.op('f32x4.extract_lane', 0);
      return;
    case 'f8e4m3':
      if (lanes === 1) writer.memory('i32.load8_u', offset).op('i32x4.splat');
      else writeLoad8(scope, lanes, offset);
      scope.callHelper('widen_f8e4m3');
      if (lanes === 1) writer.op('f32x4.extract_lane', 0);
      return;
    case 'i8':
      if (lanes === 1) writer.memory('i32.load8_s', offset);
      else writeLoad8(scope, lanes, offset, 's');
      return;
    case 'u8':
    case 'bool':
      if (lanes === 1) {
        writer.memory('i32.load8_u', offset);
        if (storage === 'bool') writer.i32(0).op('i32.ne');
        return;
      }
      writeLoad8(scope, lanes, offset);
      if (storage === 'bool') writer.i32x4(0).op('i32x4.ne');
      return;
  }
}

/** Loads 16 bytes as halves of eight that are widened on the way, into two locals. */
export function writeLoadHalves(
  scope: WasmScope,
  { buffer, index }: Extract<Expression, { kind: 'load' }>,
  write: WriteExpression,
): readonly [number, number] {
  const { writer } = scope;
  const [address, low, high] = [writer.local('i32'), writer.local('v128'), writer.local('v128')];
  const offset = writeAddress(scope, scope.buffer(buffer), index, write);
  writer.tee(address).memory('v128.load8x8_s', offset).set(low);
  writer
    .get(address)
    .memory('v128.load8x8_s', offset + 8)
    .set(high);
  return [low, high];
}

function writeLoad16(scope: WasmScope, lanes: 2 | 4, offset: number): void {
  if (lanes === 4) scope.writer.memory('v128.load16x4_u', offset);
  else scope.writer.memory('v128.load32_zero', offset).op('i32x4.extend_low_i16x8_u');
}

function writeLoad8({ writer }: WasmScope, lanes: 2 | 4, offset: number, sign: 's' | 'u' = 'u'): void {
  if (lanes === 2) writer.memory('i32.load16_u', offset).op('i32x4.splat');
  else writer.memory('v128.load32_zero', offset);
  writer.ops(`i16x8.extend_low_i8x16_${sign}`, `i32x4.extend_low_i16x8_${sign}`);
}

/** Workgroup memory of one invocation is memory at an address that only this call has: an array is a buffer of as many lanes. */
function sharedBuffer(scope: WasmScope, name: string): BufferParameter {
  const array = scope.kernel.shared.find((candidate) => candidate.name === name);
  if (array === undefined) throw malformed(scope.kernel.name, `unknown array ${name}`);
  const { scalar, lanes } = array.type;
  if (scalar === 'f16') throw malformed(scope.kernel.name, `array ${name} of f16`);
  return { name, storage: scalar, lanes, access: 'read_write' };
}

/** A multiple of 16, so that arrays one behind the other are aligned. */
export function bytesOfArray({ type, length }: SharedArray): number {
  return Math.ceil((4 * type.lanes * length) / 16) * 16;
}

/** Bytes of workgroup memory that a call of the kernel needs. */
export function bytesOfShared(kernel: ThreadKernel): number {
  return kernel.shared.reduce((bytes, array) => bytes + bytesOfArray(array), 0);
}

export function writeLoadShared(scope: WasmScope, name: string, index: Expression, write: WriteExpression): void {
  writeLoadOf(scope, sharedBuffer(scope, name), index, write);
}

export function writeStoreShared(
  scope: WasmScope,
  name: string,
  index: Expression,
  value: Expression,
  write: WriteExpression,
): void {
  writeStoreTo(scope, sharedBuffer(scope, name), index, value, write);
}

/** Bytes of each lane that are stored, from its lowest: lane bytes packed to the front by a shuffle. */
const packedBytes: Readonly<
  Record<'f16' | 'bf16' | 'f8e4m3' | 'i8' | 'u8', { readonly first: number; readonly count: 1 | 2 }>
> = {
  f16: { first: 0, count: 2 },
  bf16: { first: 2, count: 2 },
  f8e4m3: { first: 0, count: 1 },
  i8: { first: 0, count: 1 },
  u8: { first: 0, count: 1 },
};

/** Stores the value of an expression, floats rounded to the buffer's type. */
export function writeStore(
  scope: WasmScope,
  name: string,
  index: Expression,
  value: Expression,
  write: WriteExpression,
): void {
  const buffer = scope.buffer(name);
  if (buffer.access === 'read') throw malformed(scope.kernel.name, `store to the read-only buffer ${name}`);
  writeStoreTo(scope, buffer, index, value, write);
}

function writeStoreTo(
  scope: WasmScope,
  buffer: BufferParameter,
  index: Expression,
  value: Expression,
  write: WriteExpression,
): void {
  const { writer } = scope;
  const { storage, lanes } = buffer;
  const offset = writeAddress(scope, buffer, index, write);
  write(value);
  const bytes = lanes * byteSize(storage);
  switch (storage) {
    case 'f32':
    case 'i32':
    case 'u32':
      if (lanes === 1) writer.memory(storage === 'f32' ? 'f32.store' : 'i32.store', offset);
      else if (lanes === 4) writer.memory('v128.store', offset);
      else writer.memory('v128.store64_lane', offset, 0);
      return;
    case 'f16':
    case 'bf16':
      if (lanes === 1) writer.op('f32x4.splat');
      scope.callHelper(storage === 'f16' ? 'round_f16' : 'round_bf16');
      if (lanes !== 1) break;
      writer.op('i32x4.extract_lane', 0);
      if (storage === 'bf16') writer.i32(16).op('i32.shr_u');
      writer.memory('i32.store16', offset);
      return;
    case 'f8e4m3':
      if (lanes === 1) writer.op('f32x4.splat');
      scope.callHelper('round_f8e4m3');
      if (lanes !== 1) break;
      writer.op('i32x4.extract_lane', 0).memory('i32.store8', offset);
      return;
    case 'i8':
    case 'u8':
    case 'bool':
      if (lanes === 1) {
        writer.memory('i32.store8', offset);
        return;
      }
      if (storage === 'bool') writer.i32x4(1).op('v128.and');
      break;
  }
  const { first, count } = packedBytes[storage === 'bool' ? 'u8' : storage];
  const packed = Array.from({ length: 16 }, (_, at) => 4 * (Math.floor(at / count) % 4) + first + (at % count));
  // The shuffle takes two vectors; indices below 16 pick from the first.
  const vector = writer.local('v128');
  writer
    .tee(vector)
    .get(vector)
    .op('i8x16.shuffle', ...packed);
  if (bytes === 8) writer.memory('v128.store64_lane', offset, 0);
  else if (bytes === 4) writer.memory('v128.store32_lane', offset, 0);
  else writer.op('i32x4.extract_lane', 0).memory('i32.store16', offset);
}
