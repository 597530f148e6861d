import type { Block, GraphFunction, Module, Operation, Value } from '../../ir/graph/graph.js';
import type { GraphPass } from '../pass.js';

/**
 * Removes operations whose results nothing uses, values that a loop carries for nobody, and weights that no function
 * uses. Operations are pure, so what is not used may go.
 *
 * Needs nothing; parameters of functions stay, they are the caller's. Cost: linear; a loop's body is walked again as
 * long as another of its carried values turns out to be needed.
 */
export const eliminateDeadCode: GraphPass = {
  name: 'eliminate-dead-code',
  description: 'remove operations, carried values and weights that nothing uses',
  run(module) {
    const functions = new Map<string, GraphFunction>();
    const usedWeights = new Set<string>();
    let changed = false;
    for (const [name, graphFunction] of module.functions) {
      const body = sweep(graphFunction.body, mark(graphFunction.body, new Set()));
      changed ||= body !== graphFunction.body;
      functions.set(name, body === graphFunction.body ? graphFunction : { ...graphFunction, body });
      collectWeights(body, usedWeights);
    }
    const weights = new Map([...module.weights].filter(([name]) => usedWeights.has(name)));
    changed ||= weights.size !== module.weights.size;
    return changed ? ({ weights, functions } satisfies Module) : module;
  },
};

/** Adds to `live` what the block's results need. */
function mark(block: Block, live: Set<Value>): Set<Value> {
  for (const result of block.results) live.add(result);
  markOperations(block, live);
  return live;
}

function markOperations(block: Block, live: Set<Value>): void {
  for (const operation of [...block.operations].reverse()) {
    if (!operation.results.some((result) => live.has(result))) continue;
    if (operation.kind === 'loop' && operation.body !== undefined) {
      markLoop(operation, operation.body, live);
      continue;
    }
    for (const operand of operation.operands) live.add(operand);
  }
}

/** A carried value is needed when it is used after the loop or when the body uses it for one that is needed. */
function markLoop(operation: Operation, body: Block, live: Set<Value>): void {
  const isNeeded = (at: number): boolean =>
    live.has(operation.results[at] as Value) || live.has(body.parameters[at] as Value);
  for (let known = -1, needed = 0; known !== needed;) {
    known = needed;
    body.results.forEach((result, at) => {
      if (isNeeded(at)) live.add(result);
    });
    markOperations(body, live);
    needed = body.results.filter((_, at) => isNeeded(at)).length;
  }
  operation.operands.forEach((operand, at) => {
    if (isNeeded(at)) live.add(operand);
  });
}

/** The block with live operations only; the same object when all are live. */
function sweep(block: Block, live: ReadonlySet<Value>): Block {
  let changed = false;
  const operations: Operation[] = [];
  for (const operation of block.operations) {
    if (!operation.results.some((result) => live.has(result))) {
      changed = true;
      continue;
    }
    const kept =
      operation.kind === 'loop' && operation.body !== undefined
        ? sweepLoop(operation, operation.body, live)
        : operation;
    changed ||= kept !== operation;
    operations.push(kept);
  }
  return changed ? { ...block, operations } : block;
}

function sweepLoop(operation: Operation, body: Block, live: ReadonlySet<Value>): Operation {
  const isNeeded = (_: Value, at: number): boolean =>
    live.has(operation.results[at] as Value) || live.has(body.parameters[at] as Value);
  const swept = sweep(body, live);
  const parameters = body.parameters.filter(isNeeded);
  if (parameters.length === body.parameters.length) return swept === body ? operation : { ...operation, body: swept };
  return {
    ...operation,
    operands: operation.operands.filter(isNeeded),
    results: operation.results.filter(isNeeded),
    body: { parameters, operations: swept.operations, results: body.results.filter(isNeeded) },
  };
}

function collectWeights(block: Block, used: Set<string>): void {
  for (const operation of block.operations) {
    if (operation.kind === 'weight') used.add(operation.attributes.name);
    if (operation.body !== undefined) collectWeights(operation.body, used);
  }
}
