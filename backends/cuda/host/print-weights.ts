import { Flux2cError } from '../../../ir/diagnostics.js';
import { dtypes } from '../../../ir/dtype.js';
import type { DType } from '../../../ir/dtype.js';
import { isSameButForOnes } from '../../../ir/host-tensor.js';
import type { StorageType } from '../../../ir/kernel/thread.js';
import type { Plan } from '../../../ir/plan.js';
import { printIntegers, printInteger, printType, quote } from './cpp-text.js';
import type { HostTensor, HostWeights, WeightDeclaration, WeightSource } from './host-program.js';

/** The tables of a host program's weights: files, tensors in them, and what plans make of those. */
export class WeightTables {
  private readonly tensorIndices = new Map<string, number>();
  private readonly tensorLines: string[] = [];
  private readonly weightIndices = new Map<string, number>();

  constructor(private readonly weights: HostWeights | null) {}

  /**
   * The index of a weight in the program. `storage` is what kernels read; without it the host alone uses the weight.
   *
   * @throws F2C403 the artifact lacks a tensor, F2C523 it has another shape, F2C414 a type that the host cannot convert
   */
  indexOf(component: string, declaration: WeightDeclaration, storage?: StorageType): number {
    const { name, type, source } = declaration;
    const shape = type.shape.map((dim) => dim.evaluate({}));
    const types = `${printType(type.dtype)}, ${printType(storage ?? type.dtype)}`;
    const line = `{${quote(name)}, ${types}, ${this.printSource(component, name, source, shape)}}`;
    const known = this.weightIndices.get(line);
    if (known !== undefined) return known;
    this.weightIndices.set(line, this.weightIndices.size);
    return this.weightIndices.size - 1;
  }

  /** The members of `Program` from `has_weights` on. */
  print(): readonly string[] {
    const files = (this.weights?.files ?? []).map(
      ({ path, byteLength, modified, headerSha256 }) =>
        `{${quote(path)}, ${printInteger(byteLength)}, ${printInteger(modified)}, ${quote(headerSha256)}}`,
    );
    const table = (lines: readonly string[]): string => `    {${lines.map((line) => `\n        ${line},`).join('')}},`;
    return [
      `    ${this.weights !== null},`,
      '    // Files: path, bytes, time of the last change, SHA-256 of the header.',
      table(files),
      '    // Tensors: name, type, shape, {file, offset, bytes}.',
      table(this.tensorLines),
      '    // Weights: name, type as declared and as kernels read it, source.',
      table([...this.weightIndices.keys()]),
    ];
  }

  private printSource(component: string, weight: string, source: WeightSource, shape: readonly number[]): string {
    const sizes = printIntegers(shape);
    switch (source.kind) {
      case 'tensor':
        return `tensor(${sizes}, ${this.tensorIndex(component, weight, source.tensor, shape)})`;
      case 'concat_rows':
      case 'interleave_rows': {
        const parts = source.parts.map((part) => this.printSource(component, weight, part.source, part.shape));
        const group = source.kind === 'interleave_rows' ? `${source.group}, ` : '';
        return `${source.kind}(${sizes}, ${group}{${parts.join(', ')}})`;
      }
      case 'slice_rows': {
        const of = this.printSource(component, weight, source.of.source, source.of.shape);
        return `slice_rows(${sizes}, ${source.start}, ${of})`;
      }
      case 'permute': {
        const of = this.printSource(component, weight, source.of.source, source.of.shape);
        return `permute(${sizes}, ${printIntegers(source.permutation)}, ${of})`;
      }
      case 'upsampled_filters': {
        const of = this.printSource(component, weight, source.of.source, source.of.shape);
        return `upsampled_filters(${sizes}, ${of})`;
      }
      case 'quantize_rows':
      case 'row_scales': {
        if (source.dtype !== 'f8e4m3') {
          throw new Flux2cError('F2C316', `a host program quantises no rows to ${source.dtype}`, {
            where: [component, `@${weight}`],
            expected: 'weights of 16 or 32 bits, or rows in f8e4m3',
            found: source.dtype,
            hint: 'Compile without `--host cpp`, or with --operands fp8.',
          });
        }
        const of = this.printSource(component, weight, source.of.source, source.of.shape);
        return `${source.kind}(${sizes}, ${of})`;
      }
      case 'encoded_rows':
        throw new Flux2cError('F2C316', 'a host program has no encoded weights', {
          where: [component, `@${weight}`],
          expected: 'weights of 16 or 32 bits, or rows in f8e4m3',
          found: source.encoding,
          hint: 'Compile without `--host cpp`, or from weights that are not encoded.',
        });
    }
  }

  private tensorIndex(component: string, weight: string, name: string, shape: readonly number[]): number {
    // Without weights nothing is ever read.
    if (this.weights === null) return -1;
    const found = this.weights.components.get(component)?.get(name);
    if (found === undefined) {
      throw new Flux2cError('F2C403', 'the artifact has no such weight', {
        where: [component, name],
        expected: `[${shape.join(', ')}] for @${weight}`,
      });
    }
    if (!isSameButForOnes(found.shape, shape)) {
      throw new Flux2cError('F2C523', 'a weight of the artifact has the wrong shape', {
        where: [component, `@${weight}`, name],
        expected: `[${shape.join(', ')}]`,
        found: `[${found.shape.join(', ')}]`,
      });
    }
    const key = `${component} ${name}`;
    let index = this.tensorIndices.get(key);
    if (index === undefined) {
      index = this.tensorIndices.size;
      this.tensorIndices.set(key, index);
      this.tensorLines.push(printTensor(component, name, found));
    }
    return index;
  }
}

function printTensor(component: string, name: string, { dtype, shape, parts }: HostTensor): string {
  const known = dtypes.find((candidate) => candidate.toUpperCase() === dtype);
  if (known === undefined) {
    throw new Flux2cError('F2C414', 'a host program cannot read weights of this type', {
      where: [component, name],
      expected: `one of ${dtypes.map((candidate) => candidate.toUpperCase()).join(', ')}`,
      found: dtype,
    });
  }
  const ranges = parts.map(printIntegers).join(', ');
  return `{${quote(name)}, ${printType(known)}, ${printIntegers(shape)}, {${ranges}}}`;
}

/** The declaration of a weight's storage. */
export function declarationOf(plan: Plan, name: string | undefined): WeightDeclaration {
  const found = plan.weights.find((weight) => weight.name === name);
  if (found === undefined) throw new Error(`internal: @${name} is not declared`);
  return found;
}

/** Types that inputs and results may have: what `flux2c run` reads and writes. */
export function isBoundaryType(dtype: DType): boolean {
  return dtype === 'f32' || dtype === 'i32';
}
