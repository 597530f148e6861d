import { Flux2cError } from '../../diagnostics.js';
import { Dim } from '../../dim.js';
import { countElements, rowMajorStrides } from '../../host-tensor.js';
import type { TensorType } from '../graph.js';
import type { OpDefinition } from '../op-table.js';
import { printShape, printType } from '../types.js';
import {
  broadcastShapes,
  expectAxis,
  expectDType,
  expectMinimumRank,
  expectOperands,
  expectPositiveInteger,
  expectRank,
  expectValueFits,
  rejectDType,
  rejectOperation,
} from './checks.js';
import { costOfMove, countBytesOf, countElementsOf } from './cost.js';
import { allocateResult, evaluateShape, roundResult } from './rounding.js';
import { broadcastData, copyStrided, permuteAxes, viewOf } from './strided-copy.js';

function replaceAxis(shape: readonly Dim[], axis: number, size: Dim): readonly Dim[] {
  return shape.map((dim, index) => (index === axis ? size : dim));
}

const reshape: OpDefinition<'reshape'> = {
  kind: 'reshape',
  category: 'view',
  infer(operands, { shape }) {
    const [x] = expectOperands('reshape', operands, ['x']);
    const result: TensorType = { dtype: x.dtype, shape };
    const [before, after] = [countElementsOf(x), countElementsOf(result)];
    if (!before.equals(after)) {
      rejectOperation('F2C115', 'reshape', 'the number of elements changes', {
        expected: `${before.text} elements, as ${printType(x)} has`,
        found: `${after.text} elements in ${printShape(shape)}`,
      });
    }
    return [result];
  },
  evaluate(operands, _, results, { sizes }) {
    const [x] = expectOperands('reshape', operands, ['x']);
    return [{ ...x, shape: evaluateShape(results[0] as TensorType, sizes) }];
  },
  cost: (_, __, results) => costOfMove(results),
};

const transpose: OpDefinition<'transpose'> = {
  kind: 'transpose',
  category: 'view',
  infer(operands, { permutation }) {
    const [x] = expectOperands('transpose', operands, ['x']);
    const sorted = [...permutation].sort((a, b) => a - b);
    if (permutation.length !== x.shape.length || sorted.some((axis, index) => axis !== index)) {
      rejectOperation('F2C114', 'transpose', "attribute 'permutation' must name every axis once", {
        expected: `a permutation of the ${x.shape.length} axes of ${printType(x)}`,
        found: `[${permutation.join(', ')}]`,
      });
    }
    return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis] as Dim) }];
  },
  evaluate(operands, { permutation }) {
    const [x] = expectOperands('transpose', operands, ['x']);
    return [permuteAxes(x, permutation)];
  },
  cost: (_, __, results) => costOfMove(results),
};

/** Symbolic ends cannot always be ordered here: what is left is checked when the sizes are known. */
const slice: OpDefinition<'slice'> = {
  kind: 'slice',
  category: 'view',
  infer(operands, { axis, start, size }) {
    const [x] = expectOperands('slice', operands, ['x']);
    expectAxis('slice', axis, x.shape.length);
    const room = (x.shape[axis] as Dim).sub(start).sub(size);
    if ([start, size, room].some((dim) => dim.constant !== undefined && dim.constant < 0)) {
      rejectOperation('F2C114', 'slice', 'the slice leaves the tensor', {
        expected: `elements within 0..${(x.shape[axis] as Dim).text} of axis ${axis} of ${printType(x)}`,
        found: `${size.text} elements from ${start.text}`,
      });
    }
    return [{ dtype: x.dtype, shape: replaceAxis(x.shape, axis, size) }];
  },
  evaluate(operands, { axis, start, size }, results, context) {
    const [x] = expectOperands('slice', operands, ['x']);
    const [first, count, limit] = [
      start.evaluate(context.sizes),
      size.evaluate(context.sizes),
      x.shape[axis] as number,
    ];
    if (first < 0 || count < 0 || first + count > limit) {
      throw new Flux2cError('F2C167', 'slice: the slice leaves the tensor for these sizes', {
        where: ['slice'],
        expected: `elements within 0..${limit} of axis ${axis}`,
        found: `${count} elements from ${first} (start ${start.text}, size ${size.text})`,
      });
    }
    const result = allocateResult(results[0], context);
    const strides = rowMajorStrides(x.shape);
    const from = { data: x.data, offset: first * (strides[axis] as number), strides };
    copyStrided(from, viewOf(result), result.shape);
    return [result];
  },
  cost: (_, __, results) => costOfMove(results),
};

const split: OpDefinition<'split'> = {
  kind: 'split',
  category: 'view',
  infer(operands, { axis, sizes }) {
    const [x] = expectOperands('split', operands, ['x']);
    expectAxis('split', axis, x.shape.length);
    const total = sizes.reduce((sum, size) => sum.add(size), Dim.of(0));
    if (sizes.length === 0 || !total.equals(x.shape[axis] as Dim)) {
      rejectOperation('F2C113', 'split', 'the pieces do not add up to the axis', {
        expected: `${(x.shape[axis] as Dim).text} (axis ${axis} of ${printType(x)})`,
        found: `${total.text} = ${sizes.map(String).join(' + ')}`,
      });
    }
    if (sizes.some((size) => size.constant !== undefined && size.constant < 0)) {
      rejectOperation('F2C114', 'split', 'a piece is negative', { found: printShape(sizes) });
    }
    return sizes.map((size) => ({ dtype: x.dtype, shape: replaceAxis(x.shape, axis, size) }));
  },
  evaluate(operands, { axis }, results, context) {
    const [x] = expectOperands('split', operands, ['x']);
    const strides = rowMajorStrides(x.shape);
    let start = 0;
    return results.map((type) => {
      const result = allocateResult(type, context);
      const from = { data: x.data, offset: start * (strides[axis] as number), strides };
      copyStrided(from, viewOf(result), result.shape);
      start += result.shape[axis] as number;
      return result;
    });
  },
  cost: (_, __, results) => costOfMove(results),
};

const concat: OpDefinition<'concat'> = {
  kind: 'concat',
  category: 'injective',
  infer(operands, { axis }) {
    const [first] = operands;
    if (first === undefined) rejectOperation('F2C110', 'concat', 'no operands', { expected: 'at least 1' });
    expectAxis('concat', axis, first.shape.length);
    let total = Dim.of(0);
    operands.forEach((operand, index) => {
      // Moving data never converts it: a concatenation may become views of one buffer.
      if (operand.dtype !== first.dtype) rejectDType('concat', `${index}`, operand, `${first.dtype}, as operand 0 has`);
      const fits =
        operand.shape.length === first.shape.length &&
        operand.shape.every((dim, at) => at === axis || dim.equals(first.shape[at] as Dim));
      if (!fits) {
        rejectOperation('F2C113', 'concat', `operand ${index} differs in more than axis ${axis}`, {
          expected: printType(first),
          found: printType(operand),
        });
      }
      total = total.add(operand.shape[axis] as Dim);
    });
    return [{ dtype: first.dtype, shape: replaceAxis(first.shape, axis, total) }];
  },
  evaluate(operands, { axis }, results, context) {
    const result = allocateResult(results[0], context);
    const strides = rowMajorStrides(result.shape);
    let start = 0;
    for (const operand of operands) {
      const to = { data: result.data, offset: start * (strides[axis] as number), strides };
      copyStrided(viewOf(operand), to, operand.shape);
      start += operand.shape[axis] as number;
    }
    return [result];
  },
  cost: (_, __, results) => costOfMove(results),
};

const broadcast: OpDefinition<'broadcast'> = {
  kind: 'broadcast',
  category: 'view',
  infer(operands, { shape }) {
    const [x] = expectOperands('broadcast', operands, ['x']);
    const reached = broadcastShapes('broadcast', x.shape, shape);
    if (reached.length !== shape.length || reached.some((dim, axis) => !dim.equals(shape[axis] as Dim))) {
      rejectOperation('F2C113', 'broadcast', 'the operand is larger than the result', {
        expected: `a shape that broadcasts to ${printShape(shape)}`,
        found: printType(x),
      });
    }
    return [{ dtype: x.dtype, shape }];
  },
  evaluate(operands, _, results, { sizes }) {
    const [x] = expectOperands('broadcast', operands, ['x']);
    const shape = evaluateShape(results[0] as TensorType, sizes);
    return [{ dtype: x.dtype, shape, data: broadcastData(x, shape) }];
  },
  cost: (operands, _, results) => ({ flop: Dim.of(0), bytes: countBytesOf([...operands, ...results]) }),
};

const pad: OpDefinition<'pad'> = {
  kind: 'pad',
  category: 'injective',
  infer(operands, { low, high, value }) {
    const [x] = expectOperands('pad', operands, ['x']);
    for (const [attribute, sizes] of Object.entries({ low, high })) {
      if (sizes.length !== x.shape.length || sizes.some((size) => !Number.isSafeInteger(size) || size < 0)) {
        rejectOperation('F2C114', 'pad', `attribute '${attribute}' must be one integer of at least 0 for each axis`, {
          expected: `${x.shape.length} integers for ${printType(x)}`,
          found: `[${sizes.join(', ')}]`,
        });
      }
    }
    expectValueFits('pad', 'F2C114', x.dtype, value);
    return [
      { dtype: x.dtype, shape: x.shape.map((dim, axis) => dim.add(low[axis] as number).add(high[axis] as number)) },
    ];
  },
  evaluate(operands, { low, value }, results, context) {
    const [x] = expectOperands('pad', operands, ['x']);
    const result = allocateResult(results[0], context);
    result.data.fill(value);
    const strides = rowMajorStrides(result.shape);
    const offset = strides.reduce((sum, stride, axis) => sum + stride * (low[axis] as number), 0);
    copyStrided(viewOf(x), { data: result.data, offset, strides }, x.shape);
    return [roundResult(result, context.precision)];
  },
  cost: (operands, _, results) => ({ flop: Dim.of(0), bytes: countBytesOf([...operands, ...results]) }),
};

const upsampleNearest: OpDefinition<'upsample_nearest'> = {
  kind: 'upsample_nearest',
  category: 'injective',
  infer(operands, { factor }) {
    const [x] = expectOperands('upsample_nearest', operands, ['x']);
    expectRank('upsample_nearest', 'x', x, 'B, H, W, C');
    expectPositiveInteger('upsample_nearest', 'factor', factor);
    const [batch, height, width, channels] = x.shape as [Dim, Dim, Dim, Dim];
    return [{ dtype: x.dtype, shape: [batch, height.mul(factor), width.mul(factor), channels] }];
  },
  /** As a broadcast of [B, H, 1, W, 1, C]. */
  evaluate(operands, { factor }, results, context) {
    const [x] = expectOperands('upsample_nearest', operands, ['x']);
    const result = allocateResult(results[0], context);
    const [batch, height, width, channels] = x.shape as [number, number, number, number];
    const split = { ...x, shape: [batch, height, 1, width, 1, channels] };
    result.data.set(broadcastData(split, [batch, height, factor, width, factor, channels]));
    return [result];
  },
  cost: (operands, _, results) => ({ flop: Dim.of(0), bytes: countBytesOf([...operands, ...results]) }),
};

const gather: OpDefinition<'gather'> = {
  kind: 'gather',
  category: 'injective',
  infer(operands) {
    const [table, ids] = expectOperands('gather', operands, ['table', 'ids']);
    expectMinimumRank('gather', 'table', table, 1);
    expectDType('gather', 'ids', ids, 'i32');
    return [{ dtype: table.dtype, shape: [...ids.shape, ...table.shape.slice(1)] }];
  },
  evaluate(operands, _, results, context) {
    const [table, ids] = expectOperands('gather', operands, ['table', 'ids']);
    const result = allocateResult(results[0], context);
    const rows = table.shape[0] as number;
    const size = countElements(table.shape.slice(1));
    ids.data.forEach((id, index) => {
      if (id < 0 || id >= rows) {
        throw new Flux2cError('F2C168', `gather: the id ${id} at position ${index} is not in the table`, {
          where: ['gather', 'ids'],
          expected: `0..${rows - 1}`,
          found: `${id}`,
        });
      }
      result.data.set(table.data.subarray(id * size, (id + 1) * size), index * size);
    });
    return [result];
  },
  /** Only the rows named are read, not the table. */
  cost(operands, _, results) {
    const [, ids] = expectOperands('gather', operands, ['table', 'ids']);
    return {
      flop: Dim.of(0),
      bytes: countBytesOf(results)
        .mul(2)
        .add(countBytesOf([ids])),
    };
  },
};

export const movementOps = {
  reshape,
  transpose,
  slice,
  split,
  concat,
  broadcast,
  pad,
  upsample_nearest: upsampleNearest,
  gather,
};
