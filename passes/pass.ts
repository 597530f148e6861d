import type { Target } from '../backends/target.js';
import type { Module } from '../ir/graph/graph.js';

/**
 * A rewrite of the graph: a pure function of (module, target), which must keep what every function computes. What it
 * knows of the device is the target's fields, never its name.
 */
export interface GraphPass {
  /** As in the name of its file: what `--print-after` and `--stop-after` take. */
  readonly name: string;
  /** One line for `--help` and for reports. */
  readonly description: string;
  /** Returns the module itself when there is nothing to do. */
  run(module: Module, target: Target): Module;
}

/** What an instrument sees of a pass that ran. */
export interface PassRecord {
  readonly pass: GraphPass;
  /** Position in the pipeline, from 0. */
  readonly index: number;
  readonly before: Module;
  readonly after: Module;
  /** Wall time of `run` alone; 0 when no instrument brought a clock. */
  readonly milliseconds: number;
}

/** Looks at every pass from outside: printing, timing, checking. See passes/instrument.ts. */
export interface Instrument {
  /** Milliseconds from any origin; the first instrument that has one times the passes. */
  readonly now?: () => number;
  /** Called after every pass. An error thrown here ends the run and names what is wrong. */
  afterPass?(record: PassRecord): void;
  /** True when the pipeline shall end after this pass. */
  stopAfter?(pass: GraphPass): boolean;
  /** Called once with the result, also when the pipeline was stopped. */
  finish?(result: Module): void;
}

/** Runs the passes in order and returns the last module. Errors are those of the passes and of the instruments. */
export function runGraphPasses(
  module: Module,
  passes: readonly GraphPass[],
  target: Target,
  instruments: readonly Instrument[] = [],
): Module {
  const now = instruments.find((instrument) => instrument.now !== undefined)?.now ?? (() => 0);
  let current = module;
  for (const [index, pass] of passes.entries()) {
    const start = now();
    const after = pass.run(current, target);
    const record: PassRecord = { pass, index, before: current, after, milliseconds: now() - start };
    current = after;
    for (const instrument of instruments) instrument.afterPass?.(record);
    if (instruments.some((instrument) => instrument.stopAfter?.(pass) === true)) break;
  }
  for (const instrument of instruments) instrument.finish?.(current);
  return current;
}
