import { Dim } from '../../dim.js';
import { countElements } from '../../host-tensor.js';
import type { HostTensor } from '../../host-tensor.js';
import type { OpDefinition } from '../op-table.js';
import { printShape, printType } from '../types.js';
import {
  broadcastShapes,
  expectDim,
  expectFloat,
  expectMinimumRank,
  expectOperands,
  expectPositiveInteger,
  expectRank,
  productType,
  rejectOperation,
} from './checks.js';
import { costOfFlop, countElementsOf } from './cost.js';
import { allocateResult, roundFactors, roundResult } from './rounding.js';
import { multiplyRows } from './row-products.js';
import { broadcastData, permuteAxes } from './strided-copy.js';

/** Where the matrix (last two axes) of each batch element starts after broadcasting the leading axes. */
function matrixStarts(tensor: HostTensor, leading: readonly number[]): Float64Array {
  const shape = tensor.shape.slice(0, -2);
  const size = countElements(tensor.shape.slice(-2));
  const data = Float64Array.from({ length: countElements(shape) }, (_, index) => index * size);
  return broadcastData({ dtype: 'i64', shape, data }, leading);
}

const matmul: OpDefinition<'matmul'> = {
  kind: 'matmul',
  category: 'contraction',
  infer(operands, { transposeB }) {
    const [a, b] = expectOperands('matmul', operands, ['a', 'b']);
    const areIntegers = a.dtype === 'i8' && b.dtype === 'i8';
    for (const [name, type] of [['a', a] as const, ['b', b] as const]) {
      expectMinimumRank('matmul', name, type, 2);
      if (!areIntegers) expectFloat('matmul', name, type);
    }
    const k = a.shape.at(-1) as Dim;
    const bK = b.shape.at(transposeB ? -1 : -2) as Dim;
    const n = b.shape.at(transposeB ? -2 : -1) as Dim;
    if (!k.equals(bK)) {
      rejectOperation('F2C113', 'matmul', 'the contracted dimensions differ', {
        expected: `K = ${k.text} in ${transposeB ? 'the last axis' : 'the last axis but one'} of 'b' (transposeB = ${transposeB})`,
        found: `${printType(a)} with ${printType(b)}`,
        hint: bK.equals(n) || !k.equals(n) ? 'Check which tensor is meant.' : `Set transposeB to ${!transposeB}.`,
      });
    }
    const leading = broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2));
    const dtype = areIntegers ? 'f32' : productType(a.dtype, b.dtype);
    return [{ dtype, shape: [...leading, a.shape.at(-2) as Dim, n] }];
  },
  evaluate(operands, { transposeB, factors }, results, context) {
    const [a, b] = roundFactors(expectOperands('matmul', operands, ['a', 'b']), factors);
    const result = allocateResult(results[0], context);
    const [m, n] = result.shape.slice(-2) as [number, number];
    const k = a.shape.at(-1) as number;
    const bRank = b.shape.length;
    const rows = transposeB ? b : permuteAxes(b, [...b.shape.keys()].slice(0, -2).concat(bRank - 1, bRank - 2));
    const leading = result.shape.slice(0, -2);
    const starts = [matrixStarts(a, leading), matrixStarts(rows, leading)] as const;
    for (let batch = 0; batch < countElements(leading); batch++) {
      const left = { data: a.data, offset: starts[0][batch] as number };
      const right = { data: rows.data, offset: starts[1][batch] as number };
      multiplyRows(left, right, { data: result.data, offset: batch * m * n }, m, n, k);
    }
    return [roundResult(result, context.precision)];
  },
  cost(operands, _, results) {
    const [a] = expectOperands('matmul', operands, ['a', 'b']);
    const [y] = expectOperands('matmul', results, ['y']);
    return costOfFlop(
      countElementsOf(y)
        .mul(a.shape.at(-1) as Dim)
        .mul(2),
      operands,
      results,
    );
  },
};

/** Output positions along one axis; F2C116 when that is no polynomial, F2C114 when the kernel is larger than the input. */
function inferOutputSize(axis: string, input: Dim, padding: number, kernel: number, stride: number): Dim {
  const span = input.add(padding - kernel);
  const steps = span.floorDivide(stride);
  if (steps === undefined) {
    rejectOperation('F2C116', 'conv2d', `the ${axis} of the result is not a whole number for every size`, {
      expected: `the ${axis} ${input.text} to be a multiple of the stride ${stride}, except for a constant`,
      found: `floor((${span.text}) / ${stride}) + 1`,
      hint: `Write the ${axis} as ${stride}*s with a symbol s.`,
    });
  }
  if (span.constant !== undefined && span.constant < 0) {
    rejectOperation('F2C114', 'conv2d', `the kernel is larger than the padded ${axis}`, {
      expected: `at most ${input.add(padding).text}`,
      found: `${kernel}`,
    });
  }
  return steps.add(1);
}

interface Steps {
  readonly stride: number;
  readonly padding: readonly [number, number, number, number];
}

/** A row of output positions at a time: their patches, zeros outside the image, times the kernels as a matrix. */
function convolve(x: HostTensor, w: HostTensor, { stride, padding }: Steps, result: HostTensor): void {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const [outputs, kh, kw] = w.shape as [number, number, number];
  const [, outHeight, outWidth] = result.shape as [number, number, number];
  const patchSize = kh * kw * channels;
  const patches = new Float64Array(outWidth * patchSize);
  for (let b = 0; b < batch; b++) {
    for (let outY = 0; outY < outHeight; outY++) {
      patches.fill(0);
      for (let outX = 0; outX < outWidth; outX++) {
        for (let ky = 0; ky < kh; ky++) {
          const y = outY * stride - padding[0] + ky;
          if (y < 0 || y >= height) continue;
          for (let kx = 0; kx < kw; kx++) {
            const column = outX * stride - padding[1] + kx;
            if (column < 0 || column >= width) continue;
            const from = ((b * height + y) * width + column) * channels;
            const to = outX * patchSize + (ky * kw + kx) * channels;
            for (let c = 0; c < channels; c++) patches[to + c] = x.data[from + c] as number;
          }
        }
      }
      const out = { data: result.data, offset: (b * outHeight + outY) * outWidth * outputs };
      multiplyRows({ data: patches, offset: 0 }, { data: w.data, offset: 0 }, out, outWidth, outputs, patchSize);
    }
  }
}

/** The result's (2y + p, 2x + q) is (y + p, x + q) of the convolution with the filters of position (p, q). */
function interleavePhases(x: HostTensor, w: HostTensor, steps: Steps, result: HostTensor): void {
  const [batch, tall, wide, outputs] = result.shape as [number, number, number, number];
  const [rows, columns] = [tall / 2 + 1, wide / 2 + 1];
  const size = countElements(w.shape) / 4;
  for (let phase = 0; phase < 4; phase++) {
    const filters = {
      ...w,
      shape: [outputs, ...w.shape.slice(1)],
      data: w.data.slice(phase * size, (phase + 1) * size),
    };
    const shape = [batch, rows, columns, outputs];
    const whole = { ...result, shape, data: new Float64Array(countElements(shape)) };
    convolve(x, filters, steps, whole);
    const [p, q] = [phase >> 1, phase & 1];
    for (let b = 0; b < batch; b++) {
      for (let row = p; row < tall; row += 2) {
        for (let column = q; column < wide; column += 2) {
          const from = ((b * rows + ((row + p) >> 1)) * columns + ((column + q) >> 1)) * outputs;
          const to = ((b * tall + row) * wide + column) * outputs;
          for (let n = 0; n < outputs; n++) result.data[to + n] = whole.data[from + n] as number;
        }
      }
    }
  }
}

const conv2d: OpDefinition<'conv2d'> = {
  kind: 'conv2d',
  category: 'contraction',
  infer(operands, { stride, padding, phases }) {
    const [x, w] = expectOperands('conv2d', operands, ['x', 'w']);
    expectRank('conv2d', 'x', x, 'B, H, W, C');
    expectRank('conv2d', 'w', w, 'O, kh, kw, C');
    expectFloat('conv2d', 'x', x);
    expectFloat('conv2d', 'w', w);
    expectPositiveInteger('conv2d', 'stride', stride);
    if (padding.length !== 4 || padding.some((size) => !Number.isSafeInteger(size) || size < 0)) {
      rejectOperation('F2C114', 'conv2d', 'the padding must be 4 integers of at least 0', {
        expected: '[top, left, bottom, right]',
        found: `[${padding.join(', ')}]`,
      });
    }
    const [batch, height, width, channels] = x.shape as [Dim, Dim, Dim, Dim];
    const [outputs, kernelHeight, kernelWidth, kernelChannels] = w.shape as [Dim, Dim, Dim, Dim];
    const [kh, kw] = [kernelHeight.constant, kernelWidth.constant];
    if (kh === undefined || kw === undefined || kh < 1 || kw < 1) {
      rejectOperation('F2C114', 'conv2d', 'the kernel size must be constant and at least 1', {
        found: printShape(w.shape),
        hint: 'Weights are [outputs, kernel height, kernel width, input channels].',
      });
    }
    expectDim('conv2d', "the channels of 'w' (last axis)", kernelChannels, channels);
    const [top, left, bottom, right] = padding;
    const outHeight = inferOutputSize('height', height, top + bottom, kh, stride);
    const outWidth = inferOutputSize('width', width, left + right, kw, stride);
    const dtype = productType(x.dtype, w.dtype);
    if (phases === undefined) return [{ dtype, shape: [batch, outHeight, outWidth, outputs] }];
    const ofPhase = outputs.divideExactly(phases * phases);
    // A number of a graph that comes as text.
    if ((phases as number) !== 2 || ofPhase === undefined) {
      rejectOperation('F2C114', 'conv2d', 'filters are those of each position of a block in turn', {
        expected: '2 phases, and a multiple of 4 outputs',
        found: `${phases} phases, ${outputs.text} outputs`,
      });
    }
    const [tall, wide] = [outHeight.sub(1).mul(2), outWidth.sub(1).mul(2)];
    return [{ dtype, shape: [batch, tall, wide, ofPhase] }];
  },
  evaluate(operands, { stride, padding, phases, factors }, results, context) {
    const [x, w] = roundFactors(expectOperands('conv2d', operands, ['x', 'w']), factors);
    const result = allocateResult(results[0], context);
    if (phases !== undefined) {
      interleavePhases(x, w, { stride, padding }, result);
      return [roundResult(result, context.precision)];
    }
    convolve(x, w, { stride, padding }, result);
    return [roundResult(result, context.precision)];
  },
  cost(operands, _, results) {
    const [, w] = expectOperands('conv2d', operands, ['x', 'w']);
    const [y] = expectOperands('conv2d', results, ['y']);
    const perOutput = w.shape.slice(1).reduce((product, dim) => product.mul(dim), Dim.of(2));
    return costOfFlop(countElementsOf(y).mul(perOutput), operands, results);
  },
};

export const contractionOps = { matmul, conv2d };
