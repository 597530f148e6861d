/**
 * Whether machine code keeps what its products read. The left operands of a `wgmma` may lie in registers that are set once,
 * before a loop; ptxas 13.0 was seen to put other things there inside of it (docs/performance.md). No emulator runs what ptxas
 * writes, so its text is read.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Registers of a left operand. */
const operandRegisters = 4;

interface Instruction {
  readonly text: string;
  /** Number of the first register that it writes, and how many: none where it writes none. */
  readonly first: number;
  readonly count: number;
}

interface Listing {
  readonly name: string;
  readonly instructions: Instruction[];
  /** First and last instruction of what a jump backwards repeats. */
  readonly loops: (readonly [number, number])[];
  readonly labels: Map<string, number>;
}

/** The program that prints machine code, or undefined where there is none. */
export async function findDisassembler(): Promise<string | undefined> {
  const program = process.env['FLUX2C_NVDISASM'] ?? 'nvdisasm';
  return execute(program, ['--version']).then(
    () => program,
    () => undefined,
  );
}

export async function disassemble(program: string, cubin: string): Promise<string> {
  return (await execute(program, ['-c', cubin], { maxBuffer: 2 ** 28 })).stdout;
}

/** A product's left operand in registers, as machine code has it. */
export interface RegisterOperand {
  readonly kernel: string;
  readonly product: string;
  /** It is set before the innermost loop around the product, and these of its registers are written in the loop. */
  readonly lost: readonly number[];
}

/** All products with a left operand in registers of what nvdisasm printed. */
export function findRegisterOperands(text: string): readonly RegisterOperand[] {
  return readListings(text).flatMap(({ name, instructions, loops }) =>
    instructions.flatMap((instruction, at): readonly RegisterOperand[] => {
      const first = /^HGMMA\S* R\d+, R(\d+)/.exec(instruction.text)?.[1];
      if (first === undefined) return [];
      const around = loops.filter(([start, end]) => start <= at && at <= end);
      const [start, end] = around.sort((a, b) => a[1] - a[0] - (b[1] - b[0]))[0] ?? [at, at];
      const writes = (register: number, from: number, to: number): boolean =>
        instructions.slice(from, to).some((one) => one.first <= register && register < one.first + one.count);
      const own = Array.from({ length: operandRegisters }, (_, part) => Number(first) + part);
      // What an iteration itself sets before the product is its own.
      const lost = own.filter((register) => !writes(register, start, at) && writes(register, at, end + 1));
      return [{ kernel: name, product: instruction.text, lost }];
    }),
  );
}

function readListings(text: string): readonly Listing[] {
  const listings: Listing[] = [];
  for (const line of text.split('\n')) {
    const kernel = /^\.text\.(\S+):/.exec(line)?.[1];
    if (kernel !== undefined) listings.push({ name: kernel, instructions: [], loops: [], labels: new Map() });
    const listing = listings.at(-1);
    const label = /^(\.L\w+):/.exec(line)?.[1];
    const instruction = /^\s+\/\*[0-9a-f]{4,}\*\/\s+(?:@!?U?P\w+\s+)?(.*?)\s*;/.exec(line)?.[1];
    if (listing === undefined) continue;
    if (label !== undefined) listing.labels.set(label, listing.instructions.length);
    if (instruction === undefined) continue;
    const target = listing.labels.get(/^BRA.*(\.L\w+)/.exec(instruction)?.[1] ?? '');
    if (target !== undefined) listing.loops.push([target, listing.instructions.length]);
    listing.instructions.push(readInstruction(instruction));
  }
  return listings;
}

/** Stores, reductions in memory, copies and comparisons write none of the registers that they name. */
const writesNone = /^(ST|RED|LDGSTS|UBLKCP|SYNCS|BAR|R2UR|CALL|RET|[IFDH]SETP|PLOP)/;

function readInstruction(text: string): Instruction {
  // Predicates may be written before it.
  const first = /^\S+ (?:!?U?P\w+, )*R(\d+)\b/.exec(text)?.[1];
  if (first === undefined || writesNone.test(text)) return { text, first: 0, count: 0 };
  return { text, first: Number(first), count: registersOf(text) };
}

function registersOf(text: string): number {
  const columns = /^HGMMA\.\d+x(\d+)x/.exec(text)?.[1];
  if (columns !== undefined) return Number(columns) / 2;
  const [name = '', ...parts] = (text.split(' ')[0] ?? '').split('.');
  if (parts.includes('128') || (name === 'LDSM' && parts.includes('4'))) return 4;
  const isPair = parts.includes('64') || parts.includes('WIDE') || (name === 'LDSM' && parts.includes('2'));
  return isPair || /^D(ADD|MUL|FMA)$/.test(name) || (name === 'CS2R' && !parts.includes('32')) ? 2 : 1;
}
