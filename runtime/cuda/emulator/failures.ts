import { cudaEntryPoint } from '../../../backends/cuda/cuda.js';
import { placeBarriers, placeSharedArrays } from '../../../backends/cuda/cuda-shared.js';
import { Flux2cError } from '../../../ir/diagnostics.js';
import type { DiagnosticCode } from '../../../ir/diagnostics.js';
import type { ThreadKernel } from '../../../ir/kernel/thread.js';
import { barrierName, decodeWaits, describeWait, reportedWaits, waitLength } from './deadlocks.js';
import type { WaitReport } from './deadlocks.js';

/** 64-bit numbers in the report of a launch. */
export const reportLength = 12 + reportedWaits * waitLength;

/** What the emulator says of a launch that failed; the order is that of `Report` in fibers.ts. */
interface FailureReport {
  /** Of the diagnostic: 240 is F2C240. */
  readonly code: number;
  /** Line of the kernel's text. */
  readonly line: number;
  readonly thread: number;
  readonly block: readonly [number, number, number];
  /** Number of a buffer, or byte offset of a shared array or of an array of barriers. */
  readonly object: number;
  /** Element of a buffer or array; for races and the like the byte of shared memory. */
  readonly index: number;
  readonly length: number;
  /** -1 where it is not one thread, -2 for a copy that has arrived at a barrier. */
  readonly otherThread: number;
  readonly otherLine: number;
  readonly count: number;
  readonly waits: readonly WaitReport[];
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
  const all = Array.from(numbers, Number);
  const [code = 0, line = 0, thread = 0, x = 0, y = 0, z = 0, object = 0, index = 0, length = 0] = all;
  const [otherThread = 0, otherLine = 0, count = 0] = all.slice(9);
  const waits = decodeWaits(all.slice(12));
  return { code, line, thread, block: [x, y, z], object, index, length, otherThread, otherLine, count, waits };
}

function lineText(source: string, line: number): string {
  return (source.split('\n')[line - 1] ?? '').trim();
}

function objectOf({ code, object }: FailureReport, kernel: ThreadKernel): string | undefined {
  if (code === 234 || code === 240 || code === 241) return `buffer ${kernel.buffers[object]?.name ?? object}`;
  const array = placeSharedArrays(kernel).find(({ byteOffset }) => byteOffset === object);
  if (array !== undefined) return `shared ${array.array.name}`;
  const placed = placeBarriers(kernel).find(({ byteOffset }) => byteOffset === object);
  return placed === undefined ? undefined : `barriers ${placed.barriers.name}`;
}

/** By the number that barriers.ts and tensor.ts give. */
const barrierMisuse: readonly (readonly [message: string, expected: string])[] = [
  ['a barrier is set up twice', 'one set_up_barriers of each array'],
  ['a barrier is used that nothing has set up', 'set_up_barriers of its array'],
  ['more arrive at a barrier than its phase takes', 'as many as it was set up with'],
  ['the parity of a phase is neither 0 nor 1', '0 or 1'],
  ['a copy arrives at a barrier that it cannot see', 'fence_barriers behind set_up_barriers'],
];

type Description = readonly [message: string, expected: string | undefined, found: string, hint?: string];

function describe(report: FailureReport, kernel: ThreadKernel, source: string): Description {
  const { code, thread, index, length, otherThread, otherLine, count } = report;
  const here = `invocation ${thread} of block (${report.block.join(', ')})`;
  const isTensorCopy = lineText(source, report.line).includes('copy_tensor');
  const isCopy = lineText(source, report.line).includes('copy_async_16');
  const lanes = `units of ${kernel.buffers[report.object]?.lanes ?? 1}`;
  const units = isTensorCopy ? 'bytes' : isCopy ? 'units of 16 bytes' : lanes;
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
        `byte ${index}, ${here} after ${otherThread === -2 ? 'a copy' : otherThread < 0 ? 'several others' : `invocation ${otherThread}`} at ${at(otherLine)}`,
        'A barrier is missing between the two uses, or somebody does not wait for it.',
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
      if (otherLine === 0) {
        return ['a block ends while a copy to its memory is under way', 'somebody who waits for it', here];
      }
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
        `${isTensorCopy ? 'copies write' : 'matrix units read'} workgroup memory that its writer has not shared with them`,
        undefined,
        `byte ${index}, ${here} after invocation ${otherThread} at ${at(otherLine)}`,
        'A fence_proxy_async must stand between the write and the barrier.',
      ];
    case 239:
      if (isTensorCopy) {
        return [
          'a copy of a box goes to memory that is not aligned',
          'a multiple of 1024 bytes',
          `byte ${length}, ${here}`,
        ];
      }
      return ['16 bytes are moved at once that are not aligned', 'a multiple of 16 bytes', `byte ${length}, ${here}`];
    case 234:
      return ['a copy has another rank than its tensor map', `${length} coordinates`, `${index}, ${here}`];
    case 235: {
      const [message, expected] = barrierMisuse[length] ?? ['a barrier is misused', undefined];
      return [message, expected, `${barrierName(kernel, report.object, index)}, ${here}`];
    }
    case 236:
      return [
        'the invocations of a block wait for ever',
        undefined,
        `${report.waits.map((wait) => describeWait(wait, kernel, at)).join('; ')}; block (${report.block.join(', ')})`,
        'An arrival is missing, a parity is wrong, or bytes are expected that no copy brings.',
      ];
    default:
      return ['the emulator has no memory for the stacks of a block', undefined, here];
  }
}
