import type { OpDefinition } from '../op-table.js';
import { printType } from '../types.js';
import { expectOperands, expectValueFits, rejectOperation } from './checks.js';
import { costOfMove, countElementsOf, noCost } from './cost.js';
import { allocateResult, roundResult } from './rounding.js';

/** More numbers than this belong in a weight file, not in the text of a graph. */
const maximumConstantValues = 4096;

const weight: OpDefinition<'weight'> = {
  kind: 'weight',
  category: 'source',
  infer(operands, { name }, context) {
    expectOperands('weight', operands, []);
    const type = context.weightType(name);
    if (type === undefined) {
      rejectOperation('F2C117', 'weight', `the module has no weight '${name}'`, {
        where: [`@${name}`],
        hint: 'Declare the weight before its use.',
      });
    }
    return [type];
  },
  evaluate: (_, { name }, __, context) => [context.weight(name)],
  cost: () => noCost,
};

const constant: OpDefinition<'constant'> = {
  kind: 'constant',
  category: 'source',
  infer(operands, { dtype, shape, values }) {
    expectOperands('constant', operands, []);
    const type = { dtype, shape };
    const count = countElementsOf(type);
    if (values.length > maximumConstantValues) {
      rejectOperation('F2C118', 'constant', 'too many values for a constant', {
        expected: `at most ${maximumConstantValues}`,
        found: `${values.length}`,
        hint: 'Make it a weight.',
      });
    }
    if (values.length !== 1 && values.length !== count.constant) {
      rejectOperation('F2C118', 'constant', 'the values do not fill the shape', {
        expected: `1 value, or ${count.text} for ${printType(type)}`,
        found: `${values.length}`,
      });
    }
    values.forEach((value) => expectValueFits('constant', 'F2C118', dtype, value));
    return [type];
  },
  evaluate(_, { values }, results, context) {
    const result = allocateResult(results[0], context);
    if (values.length === 1) result.data.fill(values[0] as number);
    else result.data.set(values);
    return [roundResult(result, context.precision)];
  },
  cost: () => noCost,
};

const iota: OpDefinition<'iota'> = {
  kind: 'iota',
  category: 'source',
  infer(operands, { size }) {
    expectOperands('iota', operands, []);
    if (size.constant !== undefined && size.constant < 0) {
      rejectOperation('F2C114', 'iota', "attribute 'size' is negative", { found: size.text });
    }
    return [{ dtype: 'i32', shape: [size] }];
  },
  evaluate(_, __, results, context) {
    const result = allocateResult(results[0], context);
    for (let i = 0; i < result.data.length; i++) result.data[i] = i;
    return [result];
  },
  cost: (_, __, results) => costOfMove(results),
};

/** The body is checked by the builder and the verifier: its parameters and results have the operands' types. */
const loop: OpDefinition<'loop'> = {
  kind: 'loop',
  category: 'control',
  infer(operands, { count }) {
    if (count.constant !== undefined && count.constant < 0) {
      rejectOperation('F2C114', 'loop', "attribute 'count' is negative", { found: count.text });
    }
    return operands;
  },
  cost: () => noCost,
};

/**
 * The result types of a `fused` operation are those of its body's results, which no table row sees: the builder and the
 * verifier take them from there and never ask here.
 */
const fused: OpDefinition<'fused'> = {
  kind: 'fused',
  category: 'control',
  infer() {
    throw new Error("internal: the types of a 'fused' operation come from its body");
  },
  cost: () => noCost,
};

export const sourceAndControlOps = { weight, constant, iota, loop, fused };
