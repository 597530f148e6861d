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

const form = 'a number of bytes such as 8GiB, 512MiB or 6.5GB';

function budgetOf(option: string): (text: string) => number {
  return (text) => {
    const bytes = parseBudget(text);
    if (bytes !== undefined && bytes > 0) return bytes;
    throw wrongValue(option, form, text);
  };
}

export function addMemoryOptions(command: Command): Command {
  return command
    .option(
      '--memory-budget <size|auto>',
      'most that the device may hold, as 8GiB: weights that do not fit are streamed; auto takes what is free (default: all that is needed; what the device has no room for is streamed)',
      (text: string) => (text === 'auto' ? text : budgetOf('--memory-budget')(text)),
    )
    .option(
      '--host-budget <size>',
      'most that host memory may hold of streamed weights; others are read from their files in every step (default: 60 % of what is free)',
      budgetOf('--host-budget'),
    );
}

/** What predictions are made for. */
export interface CostOptions {
  readonly bandwidth?: number;
  readonly disk?: number;
  readonly compute?: number;
}

export function addCostOptions(command: Command): Command {
  return command
    .option('--bandwidth <GB/s>', 'with --memory, from host memory to the device', numberOf('--bandwidth', 0.001))
    .option('--disk <GB/s>', 'with --memory, from files to host memory', numberOf('--disk', 0.001))
    .option('--compute <TFLOP/s>', 'with --memory, what the device reaches in products', numberOf('--compute', 0.001));
}
