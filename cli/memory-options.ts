/** How much memory a model may take, and what a machine is thought to do in a second. */
import type { Command } from 'commander';
import { parseBudget } from '../runtime/memory/byte-budget.js';
import { numberOf, wrongValue } from './options.js';

export interface MemoryOptions {
  /** Bytes on the device, or what is free there. */
  readonly memoryBudget?: number | 'auto';
  /** Bytes for weights in host memory. */
  readonly hostBudget?: number;
}

const byteForm = 'a number of bytes such as 8GiB, 512MiB or 6.5GB';

function budgetOf(option: string): (text: string) => number {
  return (text) => {
    const bytes = parseBudget(text);
    if (bytes !== undefined && bytes > 0) return bytes;
    throw wrongValue(option, byteForm, text);
  };
}

/** Adds `--memory-budget` and `--host-budget` to a command that runs a model. F2C702 for what is no number of bytes. */
export function addMemoryOptions(command: Command): Command {
  return addBudgets(command, {
    form: '<size|auto>',
    device:
      'most that the device may hold, as 8GiB: weights that do not fit are streamed; auto takes what is free (default: all that is needed; what the device has no room for is streamed)',
    host: 'most that host memory may hold of streamed weights; others are read from their files in every step (default: 60 % of what is free)',
  });
}

/** The same for a command that plans for a machine that is not there, so that nothing is known to be free on it. */
export function addPlannedMemoryOptions(command: Command, defaults: Record<'device' | 'host', string>): Command {
  return addBudgets(command, {
    form: '<size>',
    device: `most that the device may hold, as 8GiB: weights that do not fit are streamed (default: ${defaults.device})`,
    host: `most that host memory may hold of streamed weights; others are read from their files in every step (default: ${defaults.host})`,
  });
}

function addBudgets(command: Command, { form, device, host }: Record<'form' | 'device' | 'host', string>): Command {
  return command
    .option(`--memory-budget ${form}`, device, (text: string) =>
      text === 'auto' ? text : budgetOf('--memory-budget')(text),
    )
    .option('--host-budget <size>', host, budgetOf('--host-budget'));
}

/** What predictions are made for. */
export interface CostOptions {
  readonly bandwidth?: number;
  readonly disk?: number;
  readonly compute?: number;
}

/** Adds what a machine is thought to do in a second; F2C702 for what is no such number. */
export function addCostOptions(command: Command): Command {
  return command
    .option(
      '--bandwidth <GB/s>',
      'with --memory or a budget, from host memory to the device',
      numberOf('--bandwidth', 0.001),
    )
    .option('--disk <GB/s>', 'with --memory or a budget, from files to host memory', numberOf('--disk', 0.001))
    .option(
      '--compute <TFLOP/s>',
      'with --memory or a budget, what the device reaches in products',
      numberOf('--compute', 0.001),
    );
}
