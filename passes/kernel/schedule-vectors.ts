import type { Dim } from '../../ir/dim.js';
import type { AxisSpread, Schedule } from '../../ir/kernel/tile.js';
import type { KernelFacts } from './from-group/facts.js';

/**
 * Attention where an invocation is an iteration of a loop on a processor with few vector registers: two queries share every key and
 * value that is read. Scores of four keys are sums of lanes, which fill half of the registers; they are lanes of one vector then, so
 * that four exponentials are one.
 */
export function scheduleVectorAttention(queries: Dim, size: number, vectorRegisters: number): Schedule {
  const together = queries.constant === 1 ? 1 : Math.max(1, Math.floor(vectorRegisters / 8));
  return {
    spread: {
      m: { threads: 1, registers: together, vector: 1 },
      h: { threads: 1, registers: 1, vector: 1 },
      z: { threads: 1, registers: 1, vector: 1 },
      d: { threads: 1, registers: size / 4, vector: 4, walked: true },
      j: { threads: 1, registers: 4, vector: 4 },
    },
    threadOrder: ['m', 'h', 'z'],
    unroll: 1,
    columnsApart: true,
  };
}

/** A convolution's taps, each a section of the contracted axis: what is guarded is decided, and addresses are made, once a tap. */
export function sectionOf({ section, axes }: KernelFacts, depth: number): Pick<AxisSpread, 'section'> {
  const size = section?.constant;
  const whole = axes.find(({ name }) => name === 'k')?.extent.constant;
  return size === undefined || size % depth !== 0 || size === whole ? {} : { section: size };
}

/**
 * A product x · w whose lanes run along the columns: 16 of them an invocation where there are as many, so that it reads whole cache lines
 * of w, and the sums of two rows fill half of the registers.
 */
export function scheduleRows({ axes, products = 1 }: KernelFacts): Schedule {
  const columns = axes.find(({ name }) => name === 'n')?.extent.constant ?? 16;
  const vectors = Math.max(1, Math.min(Math.floor(4 / products), Math.floor(columns / 4)));
  const batched = axes.some(({ name }) => name === 'z');
  return {
    spread: {
      m: { threads: 16, registers: 2, vector: 1 },
      n: { threads: 1, registers: vectors, vector: 4 },
      k: { threads: 1, registers: 1, vector: 1 },
      ...(batched && { z: { threads: 1, registers: 1, vector: 1 } }),
    },
    threadOrder: ['m', 'n', ...(batched ? ['z'] : [])],
    unroll: 1,
  };
}
