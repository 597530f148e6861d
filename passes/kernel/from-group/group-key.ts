import { Dim } from '../../../ir/dim.js';
import type { Block, Value } from '../../../ir/graph/graph.js';
import type { KernelGroup, MemoryLayout } from './group.js';

/**
 * A text that two groups share exactly if they are the same but for the names of their values: same anchor, operations,
 * attributes, types and layouts over the same size symbols. It is found without building anything, so a block that is like
 * one before it costs no more than this text.
 */
export function groupKey({ anchor, body, operands, results }: KernelGroup): string {
  const layouts = [operands, results].map((list) => list.map(layoutKey).join(';')).join('|');
  return `${anchor}|${layouts}|${new BlockKey().blockKey(body)}`;
}

function layoutKey({ storage, shape, strides, alignment }: MemoryLayout): string {
  return `${storage} ${dimsKey(shape)} ${dimsKey(strides)} ${alignment}`;
}

function dimsKey(dims: readonly Dim[]): string {
  return dims.map((dim) => dim.text).join(',');
}

/** Values are numbered in the order in which they are defined. */
class BlockKey {
  private readonly numbers = new Map<Value, number>();

  blockKey({ parameters, operations, results }: Block): string {
    const start = this.define(parameters);
    const lines = operations.map((operation) => {
      const { kind, attributes, operands, body } = operation;
      const inner = body === undefined ? '' : `{${this.blockKey(body)}}`;
      return `${this.uses(operands)} ${kind} ${attributeKey(attributes)}${inner} ${this.define(operation.results)}`;
    });
    return `${start}|${lines.join(';')}|${this.uses(results)}`;
  }

  private define(values: readonly Value[]): string {
    return values
      .map((value) => {
        this.numbers.set(value, this.numbers.size);
        return `${value.type.dtype} ${dimsKey(value.type.shape)}`;
      })
      .join(':');
  }

  private uses(values: readonly Value[]): string {
    return values
      .map((value) => {
        const number = this.numbers.get(value);
        if (number === undefined) throw new Error(`internal: %${value.name} comes from outside its group`);
        return number;
      })
      .join(' ');
  }
}

/** Attributes by value, numbers apart that JSON writes alike (0 and -0, infinities and NaN). */
function attributeKey(value: unknown): string {
  if (value instanceof Dim) return value.text;
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return String(value);
  const isList = Array.isArray(value) || ArrayBuffer.isView(value);
  const parts = isList
    ? Array.from(value as ArrayLike<unknown>, attributeKey)
    : Object.entries(value).map(([name, part]) => `${name}=${attributeKey(part)}`);
  return isList ? `[${parts.join(',')}]` : `(${parts.join(',')})`;
}
