import { cudaEntryPoint } from '../../../backends/cuda/cuda.js';
import { placeSharedArrays } from '../../../backends/cuda/cuda-shared.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { DiagnosticCode } from '../../../ir/diagnostics.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';

/** 64-bit numbers in the report of a launch. */
export const reportLength = 12;

/** What the emulator says of a launch that failed; the order is that of `Report` in fibers.ts. */
interface FailureReport {
  /** Of the diagnostic: 240 is F2C240. */
  readonly code: number;
  /** Line of the kernel's text. */
  readonly line: number;
  readonly thread: number;
  readonly block: readonly [number, number, number];
  /** Number of a buffer, or byte offset of a shared array. */
  readonly object: number;
  /** Element of a buffer or array; for races and the like the byte of shared memory. */
  readonly index: number;
  readonly length: number;
  /** -1 where it is not one thread. */
  readonly otherThread: number;
  readonly otherLine: number;
  readonly count: number;
}

/** The error of a failed launch: it names launch, kernel, buffer or array, and the line with its text. */
export function emulatorFailure(
  numbers: BigInt64Array,
  launchLabel: string,
  kernel: ThreadKernel,
  source: string,
): Flux2cError {
  const report = decodeReport(numbers);
  const [message, expected, found, hint] = describe(report, kernel, source);
  const { line } = report;
  const object = objectOf(report, kernel);
  return new Flux2cError(`F2C${report.code}` as DiagnosticCode, message, {
    where: [
      `launch ${launchLabel}`,
      `kernel ${kernel.name}`,
      ...(object === undefined ? [] : [object]),
      ...(line > 0 ? [`${cudaEntryPoint(kernel)}.cu line ${line}: ${lineText(source, line)}`] : []),
    ],
    ...(expected !== undefined && { expected }),
    found,
    ...(hint !== undefined && { hint }),
  });
}

function decodeReport(numbers: BigInt64Array): FailureReport {
  const [code, line, thread, x, y, z, object, index, length, otherThread, otherLine, count] = Array.from(
    numbers,
    Number,
  ) as [number, number, number, number, number, number, number, number, number, number, number, number];
  return { code, line, thread, block: [x, y, z], object, index, length, otherThread, otherLine, count };
}

function lineText(source: string, line: number): string {
  return (source.split('\n')[line - 1] ?? '').trim();
}

function objectOf({ code, object }: FailureReport, kernel: ThreadKernel): string | undefined {
  if (code === 240 || code === 241) return `buffer ${kernel.buffers[object]?.name ?? object}`;
  const array = placeSharedArrays(kernel).find(({ byteOffset }) => byteOffset === object);
  return array === undefined ? undefined : `shared ${array.array.name}`;
}

type Description = readonly [message: string, expected: string | undefined, found: string, hint?: string];

function describe(report: FailureReport, kernel: ThreadKernel, source: string): Description {
  const { code, thread, index, length, otherThread, otherLine, count } = report;
  const here = `invocation ${thread} of block (${report.block.join(', ')})`;
  const isCopy = lineText(source, report.line).includes('copy_async_16');
  const units = isCopy ? 'units of 16 bytes' : `units of ${kernel.buffers[report.object]?.lanes ?? 1}`;
  const at = (line: number): string => `line ${line}: ${lineText(source, line)}`;
  switch (code) {
    case 240:
    case 241:
      return [
        `a buffer is ${code === 240 ? 'read' : 'written'} outside of its bounds`,
        `an index below ${length} (${units})`,
        `${index}, ${here}`,
      ];
    case 242:
      return ['workgroup memory is used outside of its bounds', `an index below ${length}`, `${index}, ${here}`];
    case 243:
      return [
        'not all invocations come to a barrier',
        `all ${kernel.workgroupSize} at one barrier`,
        `${count} wait there; invocation ${thread} ${otherLine > 0 ? `waits at ${at(otherLine)}` : 'has ended'}, block (${report.block.join(', ')})`,
      ];
    case 244:
      return [
        'two invocations use an element of workgroup memory, one of them writes',
        undefined,
        `byte ${index}, ${here} after ${otherThread < 0 ? 'several others' : `invocation ${otherThread}`} at ${at(otherLine)}`,
        'A barrier is missing between the two uses.',
      ];
    case 246:
      return ['an integer is divided by zero in a kernel', undefined, here];
    case 247:
      return [
        'not all lanes of a warp come to an operation of the warp',
        'all 32 lanes at one operation',
        otherLine > 0 ? `invocation ${thread} is at ${at(otherLine)}` : `${count} lanes, ${here}`,
        'Move it out of the branch or loop that divides the warp.',
      ];
    case 248:
      return [
        'workgroup memory is read that nothing has written',
        undefined,
        `byte ${index}, ${here}`,
        'Somebody must write it, and a barrier must stand between.',
      ];
    case 249:
      return [
        'workgroup memory is used while a copy to it is under way',
        undefined,
        `byte ${index}, ${here}; invocation ${otherThread} started the copy at ${at(otherLine)}`,
        'Wait for the copies, then for the other invocations.',
      ];
    case 237:
      return [
        'products begin before the registers are ready',
        undefined,
        here,
        'A wgmma_fence must stand between the last wait and the products.',
      ];
    case 238:
      return [
        'matrix units read workgroup memory that its writer has not shared with them',
        undefined,
        `byte ${index}, ${here} after invocation ${otherThread} at ${at(otherLine)}`,
        'A fence_proxy_async must stand between the write and the barrier.',
      ];
    case 239:
      return ['16 bytes are moved at once that are not aligned', 'a multiple of 16 bytes', `byte ${length}, ${here}`];
    default:
      return ['the emulator has no memory for the stacks of a block', undefined, here];
  }
}
