import { Flux2cError } from '../ir/diagnostics.js';
import type { Module } from '../ir/graph/graph.js';
import { printModule } from '../ir/graph/print.js';
import { verifyModule } from '../ir/graph/verify.js';
import type { GraphPass, Instrument, PassRecord } from './pass.js';

/** Where text goes: a terminal, a log, a test's array. One call is one piece that ends with a newline. */
export type WriteText = (text: string) => void;

/** Writes a file of that name in a directory the caller has chosen; passes never touch the file system. */
export type WriteFile = (name: string, text: string) => void;

/** `--print-after NAME`: the module after that pass, after each of its runs; `all` prints after every pass. */
export function printAfter(name: string, write: WriteText): Instrument {
  return {
    afterPass({ pass, index, after }) {
      if (name === pass.name || name === 'all') write(`// after ${index} ${pass.name}\n${printModule(after)}`);
    },
  };
}

/** `--dump-dir DIR`: `00-canonicalize.graph`, ... after every pass that changed something. */
export function dumpEach(writeFile: WriteFile): Instrument {
  return {
    afterPass({ pass, index, before, after }) {
      if (before === after) return;
      writeFile(`${String(index).padStart(2, '0')}-${pass.name}.graph`, printModule(after));
    },
  };
}

/** `--stop-after NAME`: the result is the module after the first run of that pass. */
export function stopAfter(name: string): Instrument {
  return { stopAfter: (pass) => pass.name === name };
}

/** `--time-passes`: a table of milliseconds and of the numbers of operations before and after. */
export function timePasses(now: () => number, write: WriteText): Instrument {
  const records: { readonly name: string; readonly milliseconds: number; readonly before: number; readonly after: number }[] = []; // prettier-ignore
  return {
    now,
    afterPass({ pass, milliseconds, before, after }) {
      records.push({ name: pass.name, milliseconds, before: countOperations(before), after: countOperations(after) });
    },
    finish() {
      const width = Math.max(5, ...records.map((record) => record.name.length));
      const lines = records.map(
        ({ name, milliseconds, before, after }) =>
          `${name.padEnd(width)} ${milliseconds.toFixed(1).padStart(8)} ms ${`${before}`.padStart(7)} -> ${after} operations`,
      );
      const total = records.reduce((sum, record) => sum + record.milliseconds, 0);
      write([...lines, `${'total'.padEnd(width)} ${total.toFixed(1).padStart(8)} ms`, ''].join('\n'));
    },
  };
}

/** Runs the verifier on what every pass made; its errors say after which pass. */
export function verifyEach(): Instrument {
  return {
    afterPass: (record) => {
      if (record.before !== record.after) nameThePass(record, () => verifyModule(record.after));
    },
  };
}

/** Translation validation: `validate` gets both modules of every pass that changed something and throws when they differ. */
export function validateEach(validate: (before: Module, after: Module) => void): Instrument {
  return {
    afterPass: (record) => {
      if (record.before !== record.after) nameThePass(record, () => validate(record.before, record.after));
    },
  };
}

/** F2C301 when a name given for `--print-after` or `--stop-after` is no pass of the pipeline. */
export function expectPassName(name: string, passes: readonly GraphPass[]): void {
  if (passes.some((pass) => pass.name === name)) return;
  throw new Flux2cError('F2C301', `there is no pass '${name}' in the pipeline`, {
    expected: [...new Set(passes.map((pass) => pass.name))].join(', '),
    found: name,
  });
}

/** Operations of all functions, those inside loops and fused operations included. */
export function countOperations(module: Module): number {
  let count = 0;
  const pending = [...module.functions.values()].map((graphFunction) => graphFunction.body);
  for (let block = pending.pop(); block !== undefined; block = pending.pop()) {
    count += block.operations.length;
    for (const { body } of block.operations) if (body !== undefined) pending.push(body);
  }
  return count;
}

function nameThePass({ pass, index }: PassRecord, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof Flux2cError)) throw error;
    const where = [`after pass ${index} '${pass.name}'`, ...(error.detail.where ?? [])];
    throw new Flux2cError(error.code, error.message, { ...error.detail, where, cause: error });
  }
}
