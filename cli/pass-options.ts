/** Options to look into the compiler, which `compile` and `inspect` share, and what they do. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { Target } from '../backends/target.js';
import { componentOf } from '../models/flux2/component-functions.js';
import { operandsOf } from '../models/flux2/network-operands.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { dumpEach, expectPassName, printAfter, stopAfter, timePasses, verifyEach } from '../passes/instrument.js';
import { type Operands, pipelineOptionsOf } from '../passes/compile.js';
import type { Instrument } from '../passes/pass.js';
import { graphPassesFor } from '../passes/pipeline.js';

/** Where the text of a function can be looked at, in the order in which it comes about. */
export const emitStages = ['graph', 'plan', 'tile', 'thread', 'source'] as const;

export type EmitStage = (typeof emitStages)[number];

export interface PassOptions {
  readonly emit?: EmitStage;
  readonly kernel?: string;
  readonly printAfter?: string;
  readonly dumpDir?: string;
  readonly stopAfter?: string;
  readonly timePasses?: boolean;
  readonly verifyEach?: boolean;
  /** Some need passes of their own. */
  readonly operands?: Operands;
}

export function addPassOptions(command: Command): Command {
  return addInstrumentOptions(command)
    .addOption(
      new Option(
        '--emit <stage>',
        'print the text at a stage: graph IR, plan, kernels in either phase, source',
      ).choices(emitStages),
    )
    .option('--kernel <name>', 'only kernels with this in their name')
    .option('--stop-after <pass>', 'end with the graph that this pass leaves; `none` shows it as it was built');
}

/** Those that leave the result as it is. */
export function addInstrumentOptions(command: Command): Command {
  return command
    .option('--print-after <pass>', 'print the graph after every run of a pass, or after `all`')
    .option('--dump-dir <folder>', 'write the graph after every pass that changed it, the plan and all kernels there')
    .option('--time-passes', 'print the time and the numbers of operations of every pass')
    .option('--verify-each', 'run the verifier after every pass');
}

/**
 * The instruments that the options ask for, to compile one function. F2C301 for a pass that is not in the pipeline. Dumps go to a folder of
 * the function's own: names of several functions' files would clash.
 *
 * @param write gets what is printed
 */
export function createInstruments(
  options: PassOptions,
  target: Target,
  name: NetworkName,
  write: (text: string) => void,
): readonly Instrument[] {
  const passes = graphPassesFor(
    target,
    pipelineOptionsOf(target, operandsOf(componentOf[name], options.operands, target)),
  );
  const instruments: Instrument[] = [];
  if (options.verifyEach === true) instruments.push(verifyEach());
  if (options.printAfter !== undefined) {
    if (options.printAfter !== 'all') expectPassName(options.printAfter, passes);
    instruments.push(printAfter(options.printAfter, write));
  }
  if (options.stopAfter !== undefined && options.stopAfter !== 'none') {
    expectPassName(options.stopAfter, passes);
    instruments.push(stopAfter(options.stopAfter));
  }
  if (options.dumpDir !== undefined) instruments.push(dumpEach(fileWriter(join(options.dumpDir, name))));
  if (options.timePasses === true) instruments.push(timePasses(() => performance.now(), write));
  return instruments;
}

/** Writes text files in a folder, which it makes. */
export function fileWriter(folder: string): (name: string, text: string) => void {
  mkdirSync(folder, { recursive: true });
  return (name, text) => writeFileSync(join(folder, name), text);
}
