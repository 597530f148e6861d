/** Keeps what every pass made, for the page of passes before and after. */
import type { Module } from '../../ir/graph/graph.js';
import { printFunction } from '../../ir/graph/print.js';
import { countOperations } from '../../passes/instrument.js';
import type { Instrument, PassRecord } from '../../passes/pass.js';

export interface RecordedPass {
  readonly name: string;
  readonly description: string;
  readonly milliseconds: number;
  readonly operationsBefore: number;
  readonly operationsAfter: number;
  /** Lines of the function after the pass; the array of the pass before it when nothing changed. */
  readonly lines: readonly string[];
}

/** An instrument of one compilation of a module with one function. */
export class PassRecorder implements Instrument {
  /** The function as it was built; empty before the first pass has run. */
  initial: readonly string[] = [];
  readonly passes: RecordedPass[] = [];
  /** What the passes left. */
  result: Module | undefined;

  now(): number {
    return performance.now();
  }

  afterPass({ pass, before, after, milliseconds }: PassRecord): void {
    if (this.passes.length === 0) this.initial = printLines(before);
    const previous = this.passes.at(-1)?.lines ?? this.initial;
    this.passes.push({
      name: pass.name,
      description: pass.description,
      milliseconds,
      operationsBefore: countOperations(before),
      operationsAfter: countOperations(after),
      lines: before === after ? previous : printLines(after),
    });
  }

  finish(result: Module): void {
    this.result = result;
  }
}

function printLines(module: Module): readonly string[] {
  return [...module.functions.values()].flatMap((graphFunction) => printFunction(graphFunction).trimEnd().split('\n'));
}
