/**
 * Matrices in 4 bits as bitsandbytes stores them in safetensors files: beside `W`, the codes, stand `W.absmax`, a scale of each block
 * (in 8 bits, too: "double quantisation"), `W.quant_map`, the 16 numbers, and `W.quant_state.bitsandbytes__nf4` or `__fp4`, JSON in
 * bytes. Blocks go on over the ends of rows; of two neighbours the first is the upper half of a byte.
 */
import { Flux2cError } from '../../ir/diagnostics.js';
import type { DType } from '../../ir/dtype.js';
import { decodeRows, type EncodedRows } from '../../ir/encoded-rows.js';
import { findEncoding, type Encoding } from '../../ir/encoding.js';
import type { Checkpoint, CheckpointTensor } from './checkpoint.js';
import { encodedTensor, type PackedTensor } from './packed-tensor.js';
import { quoteName, quoteShape } from './quote.js';
import { parseStrictJson, type JsonObject, type JsonValue } from './strict-json.js';

const STATE = /^(.*)\.quant_state\.bitsandbytes__(nf4|fp4)$/;
// Released ones have under 200 bytes.
const MOST_STATE_BYTES = 65536;
const STATE_LIMITS = { depth: 3, values: 1000 };

const dtypeOfState: ReadonlyMap<JsonValue | undefined, DType> = new Map<JsonValue | undefined, DType>([
  ['float32', 'f32'],
  ['float16', 'f16'],
  ['bfloat16', 'bf16'],
]);

/**
 * Puts one packed tensor in the place of each such group of tensors.
 * @param tensors of the checkpoint, changed
 * @throws Flux2cError F2C415 for groups that contradict themselves or are not what bitsandbytes makes
 */
export async function recognizeBitsandbytes(
  checkpoint: Checkpoint,
  tensors: Map<string, CheckpointTensor>,
): Promise<void> {
  for (const state of checkpoint.tensors.keys()) {
    const [, name, kind] = STATE.exec(state) ?? [];
    if (name === undefined || kind === undefined) continue;
    const matrix = new PackedMatrix(checkpoint, name);
    tensors.set(name, await matrix.open(state, kind));
    for (const used of matrix.used) tensors.delete(used);
  }
}

class PackedMatrix {
  /** Tensors beside the codes. */
  readonly used = new Set<string>();

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly name: string,
  ) {}

  async open(stateName: string, kind: string): Promise<CheckpointTensor> {
    const state = await this.readState(stateName);
    const shape = this.readShape(state);
    const encoding = this.readEncoding(state, kind);
    const dtype = dtypeOfState.get(state.get('dtype'));
    if (dtype === undefined) throw this.problem('dtype float32, float16 or bfloat16', show(state.get('dtype')));
    const count = shape.reduce((product, size) => product * size, 1);
    const block = encoding.group!;
    if (!Number.isSafeInteger(count) || count === 0 || count % block !== 0) {
      throw this.problem(`whole blocks of ${block} numbers`, quoteShape(shape));
    }
    const codes = this.find(this.name);
    if (codes.byteLength !== count / 2) {
      throw this.problem(`${count / 2} bytes of codes for ${quoteShape(shape)}`, `${codes.byteLength} bytes`);
    }
    await this.checkNumbers(encoding);
    const readScales = await this.openScales(state, count / block);
    const packed = this.pack(encoding, shape, readScales);
    return { ...codes, name: this.name, shape, dtype, fileDType: kind.toUpperCase(), packed };
  }

  private pack(encoding: Encoding, shape: readonly number[], readScales: ReadScales): PackedTensor {
    const block = encoding.group!;
    const readBlocks = async (first: number, count: number): Promise<EncodedRows> => {
      const codes = await this.checkpoint.readRange(this.name, (first * block) / 2, (count * block) / 2);
      swapHalves(codes);
      const { buffer } = await readScales(first, count);
      return new Map([['codes', codes] as const, ['scales', new Uint8Array(buffer)] as const]); // prettier-ignore
    };
    const columns = shape.slice(1).reduce((product, size) => product * size, 1);
    const blocksOfRow = columns / block;
    if (Number.isInteger(blocksOfRow)) {
      return encodedTensor(encoding, shape, (first, count) => readBlocks(first * blocksOfRow, count * blocksOfRow));
    }
    // Blocks are rows of a matrix of their own, and numbers are cut out of it.
    const readRows = async (first: number, count: number): Promise<Float32Array> => {
      const [begin, end] = [first * columns, (first + count) * columns];
      const firstBlock = Math.floor(begin / block);
      const blocks = Math.ceil(end / block) - firstBlock;
      const values = decodeRows(encoding, blocks, block, await readBlocks(firstBlock, blocks));
      return values.slice(begin - firstBlock * block, end - firstBlock * block);
    };
    return {
      encoding: undefined,
      readEncodedRows: () => Promise.reject(new Error(`internal: rows of ${this.name} are no whole blocks`)),
      readRows,
    };
  }

  private async readState(name: string): Promise<JsonObject> {
    const { byteLength } = this.use(name);
    if (byteLength > MOST_STATE_BYTES) throw this.problem(`a state of at most ${MOST_STATE_BYTES} bytes`, `${byteLength}`); // prettier-ignore
    const bytes = await this.checkpoint.read(name);
    const state = parseStrictJson(bytes, `${this.checkpoint.name} › ${quoteName(name)}`, 'F2C415', STATE_LIMITS);
    if (!(state instanceof Map)) throw this.problem('a state that is a JSON object', show(state));
    return state as JsonObject;
  }

  private readShape(state: JsonObject): readonly number[] {
    const shape = state.get('shape');
    const sizes = Array.isArray(shape) ? (shape as readonly JsonValue[]) : [];
    const isShape = sizes.length > 0 && sizes.every((size) => Number.isSafeInteger(size) && (size as number) > 0);
    if (!isShape) throw this.problem('a shape of positive integers in the state', show(shape));
    return sizes as readonly number[];
  }

  private readEncoding(state: JsonObject, kind: string): Encoding {
    const encoding = findEncoding(`${kind}:${show(state.get('blocksize'))}`);
    if (encoding !== undefined && state.get('quant_type') === kind) return encoding;
    const found = `${show(state.get('quant_type'))} in blocks of ${show(state.get('blocksize'))}`;
    throw this.problem(`${kind} in blocks of 16 to 4096`, found);
  }

  /** The numbers that codes stand for are compiled into kernels. */
  private async checkNumbers({ code, text }: Encoding): Promise<void> {
    const name = `${this.name}.quant_map`;
    const found = await this.readNumbers(name, 16);
    const wanted = code.kind === 'table' ? code.values : [];
    const place = wanted.findIndex((value, index) => Math.fround(value) !== found[index]);
    if (place < 0) return;
    throw new Flux2cError('F2C415', 'a weight in 4 bits has codes of its own', {
      where: [this.checkpoint.name, quoteName(name)],
      expected: `the 16 numbers of ${text.replace(/:.*/, '')}, of which number ${place} is ${wanted[place]}`,
      found: `${found[place]}`,
      hint: 'Only the tables of bitsandbytes itself run: quantise the original again, with --quantize.',
    });
  }

  private async openScales(state: JsonObject, blocks: number): Promise<ReadScales> {
    const name = `${this.name}.absmax`;
    const { fileDType } = this.use(name, blocks);
    if (fileDType === 'F32') {
      return async (first, count) => new Float32Array((await this.checkpoint.readRange(name, first * 4, count * 4)).buffer); // prettier-ignore
    }
    const [size, offset] = [state.get('nested_blocksize'), state.get('nested_offset')];
    if (fileDType !== 'U8' || !isPositive(size) || typeof offset !== 'number') {
      throw this.problem('absmax in F32, or in U8 with nested_blocksize and nested_offset in the state', fileDType);
    }
    const map = await this.readNumbers(`${this.name}.nested_quant_map`, 256);
    const outer = await this.readNumbers(`${this.name}.nested_absmax`, Math.ceil(blocks / size));
    return async (first, count) => {
      const codes = await this.checkpoint.readRange(name, first, count);
      return Float32Array.from(codes, (code, at) => Math.fround(map[code]! * outer[Math.floor((first + at) / size)]!) + offset); // prettier-ignore
    };
  }

  private async readNumbers(name: string, count: number): Promise<Float32Array> {
    const { fileDType } = this.use(name, count);
    if (fileDType !== 'F32') throw this.problem(`${quoteName(name)} in F32`, fileDType);
    return this.checkpoint.readF32(name);
  }

  private use(name: string, count?: number): CheckpointTensor {
    const tensor = this.find(name);
    this.used.add(name);
    const found = tensor.shape.reduce((product, size) => product * size, 1);
    if (count !== undefined && found !== count)
      throw this.problem(`${count} numbers in ${quoteName(name)}`, `${found}`);
    return tensor;
  }

  private find(name: string): CheckpointTensor {
    const tensor = this.checkpoint.tensors.get(name);
    if (tensor === undefined) throw this.problem(`a tensor ${quoteName(name)}`, 'none');
    return tensor;
  }

  private problem(expected: string, found: string): Flux2cError {
    return new Flux2cError('F2C415', 'a weight in 4 bits is not as bitsandbytes stores it', {
      where: [this.checkpoint.name, quoteName(this.name)],
      expected,
      found,
    });
  }
}

/** The scales of some blocks, in f32. */
type ReadScales = (first: number, count: number) => Promise<Float32Array<ArrayBuffer>>;

/** Both halves of every byte change places. The array has a buffer of its own. */
function swapHalves(bytes: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    bytes[at] = (byte << 4) | (byte >>> 4);
  }
}

function isPositive(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function show(value: JsonValue | undefined): string {
  if (typeof value === 'string') return quoteName(value);
  if (value === undefined) return 'nothing';
  return value instanceof Map ? 'an object' : Array.isArray(value) ? `an array of ${value.length}` : String(value as number); // prettier-ignore
}
