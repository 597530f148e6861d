/** The registers of queries in the machine code of attention: FLUX2C_NVDISASM names nvdisasm where the path has none. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { NetworkName } from '../../models/flux2/networks.js';
import type { VariantName } from '../../models/flux2/variants.js';
import { disassemble, findDisassembler, findRegisterOperands } from './kept-operands.js';
import { compileNetwork, targetFor, variantNames } from './model-kernels.js';
import { compileKernels, type KernelText, nvccVersion } from './nvcc.js';

/** As nvdisasm prints them, from an address on. */
function print(lines: readonly string[]): string {
  const numbered = lines.map((line, at) =>
    line.startsWith('.') ? `${line}:` : `        /*${(16 * at).toString(16).padStart(4, '0')}*/          ${line} ;`,
  );
  return ['.text.attention_1:', ...numbered].join('\n');
}

/** A loop with a product of queries, which are set before it, and one of probabilities. */
const attention = [
  'F2FP.BF16.F32.PACK_AB R152, R25, R24',
  '.L_x_1',
  'HGMMA.64x128x16.F32.BF16 R24, R152, gdesc[UR16], RZ, !UPT, gsb0',
  '@!P1 FMUL R40, R24, R5',
  'F2FP.BF16.F32.PACK_AB R184, R41, R40',
  'HGMMA.64x128x16.F32.BF16 R88, R184, gdesc[UR16].tnspB, R88, gsb0',
  'HGMMA.64x128x16.F32.BF16 R88, gdesc[UR4], gdesc[UR16].tnspB, R88, gsb0',
  '@P0 BRA `(.L_x_1)',
  'MOV R152, RZ',
];

/** Registers that are lost, by product; the sample with some of its lines changed. */
function lostIn(changes: Readonly<Record<number, string>> = {}): readonly (readonly number[])[] {
  const lines = attention.map((line, at) => changes[at] ?? line);
  return findRegisterOperands(print(lines)).map(({ lost }) => lost);
}

describe('operands in registers', () => {
  it('are kept where a loop writes others, or sets them before it reads them', () =>
    expect(lostIn()).toEqual([[], []]));

  it.each([
    ['one register', '@!P1 F2FP.BF16.F32.PACK_AB R153, R41, R40', [153]],
    ['a vector of four, behind a predicate', 'LDS.128 R152, [R3]', [152, 153, 154, 155]],
    [
      'sums of another product',
      'HGMMA.64x64x16.F32.BF16 R124, gdesc[UR4], gdesc[UR16], RZ, !UPT',
      [152, 153, 154, 155],
    ],
  ])('are lost to %s', (_, line, lost) => expect(lostIn({ 3: line })).toEqual([lost, []]));

  it('are not lost to what only reads them', () => {
    expect(lostIn({ 3: 'STS.128 [R152], R153' })).toEqual([[], []]);
    expect(lostIn({ 3: 'ISETP.GE.AND P0, PT, R152, UR4, PT' })).toEqual([[], []]);
  });
});

const program = await findDisassembler();
const reason =
  program === undefined ? 'there is no nvdisasm' : (await nvccVersion()) === undefined ? 'there is no nvcc' : undefined;
if (reason !== undefined) process.stderr.write(`SKIPPED: machine code of attention: ${reason}\n`);

/** Both ways to copy what is multiplied. */
function listAttentions(): readonly KernelText[] {
  const walking = targetFor(['sm_90a']);
  const { tensorCopies: _, ...byAll } = walking;
  const functions = (variant: VariantName): readonly NetworkName[] =>
    variant === 'klein-9b' ? ['text_encoder', 'denoise', 'denoise_cached'] : ['text_encoder', 'denoise'];
  const found = new Map<string, KernelText>();
  for (const target of [walking, byAll]) {
    for (const variant of variantNames) {
      for (const name of functions(variant)) {
        for (const [key, kernel] of compileNetwork(variant, name, target).kernels) {
          if (key.startsWith('attention')) found.set(key, kernel);
        }
      }
    }
  }
  return [...found.values()];
}

describe('attention of the released models on sm_90a', () => {
  const what = `keeps its queries${reason === undefined ? '' : ` (${reason})`}`;
  it.skipIf(reason !== undefined)(what, { timeout: 600_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flux2c-code-'));
    try {
      const kernels = listAttentions();
      const { batches } = await compileKernels(kernels, ['sm_90a'], folder);
      const texts = await Promise.all(batches.map(({ cubin }) => disassemble(program as string, cubin)));
      const operands = texts.flatMap(findRegisterOperands);
      expect(new Set(operands.map(({ kernel }) => kernel))).toEqual(new Set(kernels.map(({ name }) => name)));
      expect(operands.filter(({ lost }) => lost.length > 0)).toEqual([]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
