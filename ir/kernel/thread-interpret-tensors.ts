import { Flux2cError } from '../diagnostics.js';
import type { BoundTensorMap } from './launch.js';
import type { Statement } from './thread.js';
import { activeOf, CompiledPlace } from './thread-interpret-barriers.js';
import type { InterpretScope } from './thread-interpret-expressions.js';
import { compileExpression, known } from './thread-interpret-expressions.js';
import { place } from './thread-interpret-memory.js';
import type { BoundBuffer } from './thread-interpret-memory.js';
import type { SharedMemory } from './thread-interpret-shared.js';

/** Words of a row of 128 bytes, and of the pieces that are exchanged in it. */
const rowWords = 32;
const pieceWords = 4;
/** Elements of workgroup memory (16 bytes) in a row, and rows after which the exchange of pieces repeats. */
const rowElements = 8;
const rowsOfExchange = 8;

/** A box that has been read and is on its way into workgroup memory. */
export class TensorCopy {
  constructor(
    private readonly array: SharedMemory,
    private readonly index: number,
    /** Row by row. */
    readonly words: Uint32Array,
  ) {}

  poison(invocation: number, party: number): void {
    for (let at = 0; at < this.words.length / pieceWords; at++) this.array.poison(this.index + at, invocation, party);
  }

  deliver(): void {
    for (let at = 0; at < this.words.length / pieceWords; at++) {
      const row = Math.floor(at / rowElements);
      const target = this.index + row * rowElements + ((at % rowElements) ^ (row % rowsOfExchange));
      this.array.deliver(target, this.words.subarray(at * pieceWords, (at + 1) * pieceWords));
    }
  }
}

export function compileTensorCopy(
  statement: Extract<Statement, { kind: 'copy_tensor' }>,
  scope: InterpretScope,
): () => void {
  const { invocations, tensorMaps } = scope;
  const index = compileExpression(statement.index, scope);
  const coordinates = statement.at.map((coordinate) => compileExpression(coordinate, scope));
  const barrier = new CompiledPlace(statement.barrier, scope);
  const array = known(scope.shared.get(statement.array), statement.array);
  return () => {
    index.run();
    barrier.run();
    for (const coordinate of coordinates) coordinate.run();
    const bound = known(tensorMaps.get(statement.map), statement.map);
    const buffer = known(scope.buffers.get(bound.map.buffer), bound.map.buffer);
    for (const invocation of activeOf(invocations)) {
      const first = index.values[invocation] as number;
      if (first % (rowElements * rowsOfExchange) !== 0) {
        throw new Flux2cError('F2C239', 'a copy of a tensor begins within rows of workgroup memory', {
          where: [`kernel @${invocations.kernelName}`, `shared ${statement.array}`],
          expected: `a multiple of ${rowElements * rowsOfExchange}`,
          found: `${first}, ${place(invocations, invocation)}`,
        });
      }
      const at = coordinates.map(({ values }) => values[invocation] as number);
      const copy = new TensorCopy(array, first, readBox(bound, at, buffer, invocation));
      const target = barrier.of(invocation);
      copy.poison(invocation, target.copyParty);
      target.copy(copy);
    }
  };
}

/** Rows of the box at these coordinates; zeros where they are outside of the extents. */
function readBox(
  { extents, strides, boxes, offset }: BoundTensorMap,
  at: readonly number[],
  buffer: BoundBuffer,
  invocation: number,
): Uint32Array {
  const [column = 0, ...outer] = at;
  const [width = 0, ...counts] = boxes;
  const words = new Uint32Array(counts.reduce((product, count) => product * count, rowWords));
  const bytes = new Uint8Array(words.buffer);
  const rowBytes = rowWords * words.BYTES_PER_ELEMENT;
  const from = Math.max(0, column);
  const to = Math.min(extents[0] as number, column + width);
  if (from >= to) return words;
  for (let row = 0; row * rowWords < words.length; row++) {
    let [first, rest, isInside] = [offset + from, row, true];
    for (const [dimension, count] of counts.entries()) {
      const coordinate = (outer[dimension] as number) + (rest % count);
      rest = Math.floor(rest / count);
      isInside &&= coordinate >= 0 && coordinate < (extents[dimension + 1] as number);
      first += coordinate * (strides[dimension + 1] as number);
    }
    if (!isInside) continue;
    bytes.set(buffer.bytes(first, to - from, invocation), row * rowBytes + ((from - column) * rowBytes) / width);
  }
  return words;
}
