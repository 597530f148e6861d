import type { Dim } from '../dim.js';
import type { DType } from '../dtype.js';
import { attributeForms, optionalAttributes } from './attribute-forms.js';
import { isInlineSource } from './equal.js';
import type {
  Block,
  GraphFunction,
  Module,
  Operation,
  Value,
  WeightDeclaration,
  WeightPart,
  WeightSource,
} from './graph.js';
import { printShape, printType } from './types.js';

/**
 * The text of a module: weights, then functions. `parseModule` reads it back to an equal module.
 *
 *     weight @fc.weight : bf16[1024, 256] = tensor "fc.weight"
 *
 *     func @mlp(%x: f32[tokens, 256]) -> (y: %silu) {
 *       %matmul = matmul(%x, @fc.weight) {transposeB = true} : f32[tokens, 1024]
 *       %silu = silu(%matmul) : f32[tokens, 1024]
 *     }
 *
 * Weights and scalar constants stand where they are used. A constant's element type is that of the first other operand
 * that is not bool; where it is another one it is written behind: `add(%x, 1:f64)`. Among the results of a block, which
 * need not be of one type, it is f32: `(y: %integers, one: 1, two: 2:i32)`.
 */
export function printModule(module: Module): string {
  const weights = [...module.weights.values()].map((weight) => `${printWeight(weight)}\n`).join('');
  const functions = [...module.functions.values()].map((graphFunction) => printFunction(graphFunction));
  return [...(weights === '' ? [] : [weights]), ...functions].join('\n');
}

/** `func @name(...) -> (...) { ... }` and a newline. */
export function printFunction({ name, resultNames, body }: GraphFunction): string {
  const printer = new BlockPrinter();
  printer.enter(body);
  const results = body.results.map((value, index) => `${quote(resultNames[index] ?? '')}: ${printer.operand(value)}`);
  const header = `func @${quote(name)}(${printParameters(body)}) -> (${results.join(', ')})`;
  return `${header} {\n${printer.operations(body, '  ')}}\n`;
}

/** `weight @a.b : bf16[64, 96] = tensor "file name"` */
export function printWeight({ name, type, source }: WeightDeclaration): string {
  return `weight @${quote(name)} : ${printType(type)} = ${printSource(source)}`;
}

/**
 * The constant's type that needs no words: of the first operand that is neither an inline constant nor bool (those are
 * `undefined` or 'bool' in `others`), f32 when there is none. Printer and parser must agree on it.
 */
export function naturalConstantType(others: readonly (DType | undefined)[]): DType {
  return others.find((dtype) => dtype !== undefined && dtype !== 'bool') ?? 'f32';
}

class BlockPrinter {
  /** Weights and scalar constants met so far. */
  private readonly sources = new Map<Value, Operation>();

  enter(block: Block): void {
    for (const operation of block.operations) {
      if (isInlineSource(operation)) this.sources.set(operation.results[0] as Value, operation);
    }
  }

  operations(block: Block, indent: string): string {
    return block.operations
      .filter((operation) => !isInlineSource(operation))
      .map((operation) => `${indent}${this.operation(operation, indent)}\n`)
      .join('');
  }

  operand(value: Value, natural: DType = 'f32'): string {
    const source = this.sources.get(value);
    if (source?.kind === 'weight') return `@${quote(source.attributes.name)}`;
    if (source?.kind !== 'constant') return `%${quote(value.name)}`;
    const { dtype, values } = source.attributes;
    return `${printNumber(values[0] as number)}${dtype === natural ? '' : `:${dtype}`}`;
  }

  private operation(operation: Operation, indent: string): string {
    const { kind, operands, results, body } = operation;
    const others = operands.map((value) =>
      this.sources.get(value)?.kind === 'constant' ? undefined : value.type.dtype,
    );
    const natural = naturalConstantType(others);
    const names = results.map((value) => `%${quote(value.name)}`).join(', ');
    const left = results.length === 0 ? '' : `${names} = `;
    const list = operands.map((value) => this.operand(value, natural)).join(', ');
    const types = results.length === 0 ? '' : ` : ${results.map((value) => printType(value.type)).join(', ')}`;
    const line = `${left}${kind}(${list})${printAttributes(operation)}${types}`;
    return body === undefined ? line : `${line} ${this.nested(operation, body, indent)}`;
  }

  private nested(operation: Operation, body: Block, indent: string): string {
    // A fused body sees nothing of what is around it, the constants included.
    const inner = operation.kind === 'fused' ? new BlockPrinter() : this;
    inner.enter(body);
    const results = body.results.map((value) => inner.operand(value)).join(', ');
    const operations = inner.operations(body, `${indent}  `);
    return `do (${printParameters(body)}) -> (${results}) {\n${operations}${indent}}`;
  }
}

function printParameters(block: Block): string {
  return block.parameters.map((value) => `%${quote(value.name)}: ${printType(value.type)}`).join(', ');
}

function printAttributes(operation: Operation): string {
  const attributes = operation.attributes as unknown as Readonly<Record<string, unknown>>;
  const items = attributeForms(operation.kind).flatMap(([name, form]) => {
    const value = attributes[name];
    if (value === undefined && optionalAttributes.has(name)) return [];
    return [`${name} = ${form === 'text' ? JSON.stringify(value) : printAttribute(value)}`];
  });
  return items.length === 0 ? '' : ` {${items.join(', ')}}`;
}

function printAttribute(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printAttribute).join(', ')}]`;
  return typeof value === 'number' ? printNumber(value) : String(value as Dim | string | boolean);
}

/** The shortest text that reads back as the same number: `1`, `1e-6`, `-0`, `inf`, `nan`. */
export function printNumber(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (Object.is(value, -0)) return '-0';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  const plain = String(value);
  if (Math.abs(value) >= 1e-3 && !plain.includes('e')) return plain;
  const exponential = value.toExponential().replace('e+', 'e');
  return value !== 0 && exponential.length < plain.length ? exponential : plain;
}

/** A name as it is when it has only letters, digits, `_` and `.`, otherwise in quotes. */
function quote(name: string): string {
  return /^[A-Za-z0-9_.]+$/.test(name) ? name : JSON.stringify(name);
}

function printSource(source: WeightSource): string {
  switch (source.kind) {
    case 'tensor':
      return `tensor ${JSON.stringify(source.tensor)}`;
    case 'concat_rows':
      return `concat_rows(${source.parts.map(printPart).join(', ')})`;
    case 'interleave_rows':
      return `interleave_rows(${[`${source.group}`, ...source.parts.map(printPart)].join(', ')})`;
    case 'slice_rows':
      return `slice_rows(${printPart(source.of)}, ${source.start})`;
    case 'permute':
      return `permute(${printPart(source.of)}, [${source.permutation.join(', ')}])`;
    case 'upsampled_filters':
      return `upsampled_filters(${printPart(source.of)})`;
    case 'quantize_rows':
    case 'row_scales':
      return `${source.kind}(${printPart(source.of)}, ${source.dtype})`;
    case 'encoded_rows':
      return `encoded_rows(${printPart(source.of)}, ${JSON.stringify(source.encoding)}, ${source.field})`;
  }
}

function printPart({ shape, source }: WeightPart): string {
  return `${printSource(source)} : ${printShape(shape)}`;
}
