import type { EncodedRows } from '../../ir/encoded-rows.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { GgufFile } from './gguf-types.js';
import type { PackedTensor } from './packed-tensor.js';
import { quoteName } from './quote.js';
import { widenToF32 } from './widen.js';

const PROJECTION = /^blk\.\d+\.attn_([qk])\.weight$/;
/** Language models whose rotary embedding turns neighbours in ggml and halves of heads in transformers, and those where both turn halves. */
const turningNeighbours: ReadonlySet<unknown> = new Set(['llama', 'mistral', 'mistral3']);
const turningHalves: ReadonlySet<unknown> = new Set(['qwen3']);

/**
 * The tensors with the rows of queries and keys as transformers has them. For Llama and Mistral files of ggml have row h·D + 2i + s of a
 * head of D rows where transformers has h·D + s·D/2 + i (`LlamaModel.permute` of llama.cpp's converter).
 * @throws Flux2cError F2C418 for a language model that is neither Mistral nor Qwen3, or without its number of heads
 */
export function restoreHeadRows({ source, properties, tensors }: GgufFile): GgufFile['tensors'] {
  if (![...tensors.keys()].some((name) => PROJECTION.test(name))) return tensors;
  const architecture = properties.get('general.architecture');
  if (turningHalves.has(architecture)) return tensors;
  if (!turningNeighbours.has(architecture)) {
    throw new Flux2cError('F2C418', 'the file is of a language model that no FLUX.2 has', {
      where: [source.name, 'general.architecture'],
      expected: [...turningNeighbours, ...turningHalves].join(', '),
      found: String(architecture),
    });
  }
  const restored = new Map(tensors);
  for (const [name, tensor] of tensors) {
    const [, kind] = PROJECTION.exec(name) ?? [];
    if (kind === undefined) continue;
    const key = `${String(architecture)}.attention.head_count${kind === 'k' ? '_kv' : ''}`;
    const heads = properties.get(key) ?? properties.get(`${String(architecture)}.attention.head_count`);
    const [rows = 0, columns = 0] = tensor.shape;
    const head = typeof heads === 'number' && heads > 0 ? rows / heads : NaN;
    if (tensor.shape.length !== 2 || rows === 0 || !Number.isInteger(head / 2)) {
      throw new Flux2cError('F2C418', 'the heads of a language model do not fit its projections', {
        where: [source.name, key],
        expected: `a number of heads, by which the ${rows} rows of ${quoteName(name)} divide into even parts`,
        found: String(heads),
      });
    }
    const stored = tensor.packed ?? {
      encoding: undefined,
      readEncodedRows: (): Promise<EncodedRows> => Promise.reject(new Error(`internal: ${name} is not encoded`)),
      readRows: async (first: number, count: number): Promise<Float32Array> => {
        const rowBytes = tensor.byteLength / rows;
        const bytes = await source.read(tensor.offset + first * rowBytes, count * rowBytes);
        return widenToF32(bytes, tensor.fileDType, [source.name, quoteName(name)]);
      },
    };
    restored.set(name, { ...tensor, packed: turnRows(stored, head, columns) });
  }
  return restored;
}

/** Rows of a head, its halves one after the other instead of in turn. Whole heads are read. */
function turnRows(stored: PackedTensor, head: number, columns: number): PackedTensor {
  const turn = <A extends Uint8Array | Float32Array>(whole: A, rows: number, first: number, into: A): A => {
    const width = whole.length / rows;
    const base = first - (first % head);
    for (let place = 0; place * width < into.length; place++) {
      const row = first + place - base;
      const inner = row % head;
      const from = row - inner + 2 * (inner % (head / 2)) + Math.floor(inner / (head / 2));
      into.set(whole.subarray(from * width, (from + 1) * width), place * width);
    }
    return into;
  };
  const wholeHeads = (first: number, count: number): readonly [number, number] => {
    const start = first - (first % head);
    return [start, Math.ceil((first + count) / head) * head - start];
  };
  return {
    encoding: stored.encoding,
    readEncodedRows: async (first, count) => {
      const [start, rows] = wholeHeads(first, count);
      const fields = await stored.readEncodedRows(start, rows);
      return new Map([...fields].map(([name, whole]) => [name, turn(whole, rows, first, new Uint8Array((whole.length / rows) * count))] as const)); // prettier-ignore
    },
    readRows: async (first, count) => {
      const [start, rows] = wholeHeads(first, count);
      return turn(await stored.readRows(start, rows), rows, first, new Float32Array(count * columns));
    },
  };
}
