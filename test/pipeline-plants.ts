import type { DiagnosticCode } from '../ir/diagnostics.js';

/** A bug in the text of `pipelinedProduct` with 64 columns and 3 stages, and what the emulator says of it. */
export interface PipelinePlant {
  readonly what: string;
  readonly from: string;
  readonly to: string;
  readonly code: DiagnosticCode;
  /** Array, buffer or barriers of the message. */
  readonly object: string;
  /** A part of the line that the message shows. */
  readonly line: string;
  readonly found: RegExp;
}

export const consumerWait = 'f2c::wait_barrier(filled, stage, it / 3 % 2);';
const producerWait = 'f2c::wait_barrier(emptied, stage, (it / 3 + 1) % 2);';
const copyOfW = 'f2c::copy_tensor(stage_1, stage * 512';
export const pipelinePlants: readonly PipelinePlant[] = [
  {
    what: 'another parity where products wait',
    from: consumerWait,
    to: 'f2c::wait_barrier(filled, stage, (it / 3 + 1) % 2);',
    // Products go on at once, and nobody has copied yet.
    code: 'F2C248',
    object: 'shared stage_0',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found: /^byte \d+, invocation 0 of block \(0, 0, 0\)/,
  },
  {
    what: 'no wait before the products',
    from: consumerWait,
    to: '',
    code: 'F2C248',
    object: 'shared stage_0',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found: /^byte \d+, invocation 0 of/,
  },
  {
    what: 'a wait of one lane for its warp',
    from: consumerWait,
    to: `if (subgroup_lane == 1) ${consumerWait}`,
    code: 'F2C248',
    object: 'shared stage_0',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found: /^byte \d+, invocation 0 of/,
  },
  {
    what: 'a wait that only the first warp does',
    from: consumerWait,
    to: `if (local_index < 128 || it % 3 != 2) ${consumerWait}`,
    code: 'F2C249',
    object: 'shared stage_0',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found:
      /invocation 128 of block \(0, 0, 0\); invocation 256 started the copy at line \d+: f2c::copy_tensor\(stage_0/,
  },
  {
    what: 'the other parity where copies wait',
    from: producerWait,
    to: 'f2c::wait_barrier(emptied, stage, it / 3 % 2);',
    code: 'F2C236',
    object: 'barriers filled',
    line: consumerWait,
    found:
      /^256 invocations from 0 on wait for filled\[0\], parity 0 \(phase \d+: 1 arrival missing\) at line \d+: .*; invocation 256 waits for emptied\[0\], parity 0 \(phase \d+: 8 arrivals missing\) at line \d+: f2c::wait_barrier\(emptied, stage, it \/ 3 % 2\);; block \(0, 0, 0\)$/,
  },
  {
    what: 'a parity that lets copies go on too early',
    from: producerWait,
    to: 'if (it >= 3) f2c::wait_barrier(emptied, stage, it / 3 % 2);',
    // The barrier's phase has had its arrival, and waits for the bytes.
    code: 'F2C235',
    object: 'barriers filled',
    line: 'f2c::expect_copies(filled',
    found: /^filled\[0\], invocation 256 of block \(0, 0, 0\)$/,
  },
  {
    what: 'no wait before the copies, behind those that go first',
    from: producerWait,
    to: 'if (it >= 3) f2c::wait_barrier(filled, stage, (it / 3 + 1) % 2);',
    // The bytes are there, and products read them.
    code: 'F2C244',
    object: 'shared stage_0',
    line: 'f2c::copy_tensor(stage_0',
    found: /^byte 0, invocation 256 of block \(0, 0, 0\) after invocation 0 at line \d+: f2c::wgmma_m64n64k16_bf16/,
  },
  {
    what: 'an arrival while products still read',
    from: 'f2c::wgmma_wait<1>();',
    to: 'f2c::wgmma_wait<2>();',
    code: 'F2C244',
    object: 'shared stage_0',
    line: 'f2c::copy_tensor(stage_0',
    found: /^byte 0, invocation 256 of block \(0, 0, 0\) after invocation 0 at line \d+: f2c::wgmma_m64n64k16_bf16/,
  },
  {
    what: 'a barrier that waits for all warps but one',
    from: 'f2c::set_up_barriers(emptied, 8);',
    to: 'f2c::set_up_barriers(emptied, 7);',
    code: 'F2C244',
    object: 'shared stage_0',
    line: 'f2c::copy_tensor(stage_0',
    found: /invocation 256 of block \(0, 0, 0\) after invocation \d+ at line \d+: f2c::wgmma_m64n64k16_bf16/,
  },
  {
    what: 'a missing arrival',
    from: 'f2c::arrive(emptied, (it - 1) % 3);',
    to: '',
    code: 'F2C236',
    object: 'barriers filled',
    line: consumerWait,
    found:
      /^256 invocations from 0 on wait for filled\[0\], parity 1 \(phase \d+: 1 arrival missing\) at .*; invocation 256 waits for emptied\[0\], parity 0 \(phase \d+: 8 arrivals missing\) at/,
  },
  {
    what: 'arrivals of every lane',
    from: 'if ((subgroup_lane == 0) && (0 < k))',
    to: 'if (0 < k)',
    // 32 phases have passed where one should have.
    code: 'F2C236',
    object: 'barriers filled',
    line: consumerWait,
    found: /invocation 256 waits for emptied\[0\], parity 0 \(phase 32: 8 arrivals missing\) at/,
  },
  {
    what: 'too few bytes that are expected',
    from: 'f2c::expect_copies(filled, stage, 24576)',
    to: 'f2c::expect_copies(filled, stage, 16384)',
    code: 'F2C249',
    object: 'shared stage_1',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found: /; invocation 256 started the copy at line \d+: f2c::copy_tensor\(stage_1/,
  },
  {
    what: 'too many bytes that are expected',
    from: 'f2c::expect_copies(filled, stage, 24576)',
    to: 'f2c::expect_copies(filled, stage, 24592)',
    code: 'F2C236',
    object: 'barriers filled',
    line: consumerWait,
    found: /wait for filled\[0\], parity 0 \(phase \d+: 16 bytes missing\) at/,
  },
  {
    what: 'a number of bytes that copies step over',
    from: 'f2c::expect_copies(filled, stage, 24576)',
    to: 'f2c::expect_copies(filled, stage, 24568)',
    code: 'F2C236',
    object: 'barriers filled',
    line: consumerWait,
    found: /wait for filled\[0\], parity 0 \(phase \d+: 8 bytes not expected\) at/,
  },
  {
    what: 'products that read another stage',
    from: '(stage_1, stage * 512)',
    to: '(stage_1, (it + 1) % 3 * 512)',
    code: 'F2C249',
    object: 'shared stage_1',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found: /started the copy at line \d+: f2c::copy_tensor\(stage_1/,
  },
  {
    what: 'a copy into another stage',
    from: copyOfW,
    to: 'f2c::copy_tensor(stage_1, (it + 1) % 3 * 512',
    code: 'F2C249',
    object: 'shared stage_1',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found: /started the copy at line \d+: f2c::copy_tensor\(stage_1/,
  },
  {
    what: 'a copy that arrives at the barrier of another stage',
    from: 'f2c::coordinates(k, column_base), filled, stage)',
    to: 'f2c::coordinates(k, column_base), filled, (stage + 1) % 3)',
    code: 'F2C249',
    object: 'shared stage_1',
    line: 'f2c::wgmma_m64n64k16_bf16',
    found: /started the copy at line \d+: f2c::copy_tensor\(stage_1/,
  },
  {
    what: 'a stage that is not aligned',
    from: copyOfW,
    to: 'f2c::copy_tensor(stage_1, stage * 512 + 8',
    code: 'F2C239',
    object: 'shared stage_1',
    line: 'f2c::copy_tensor(stage_1',
    found: /^byte 49280, invocation 256 of/,
  },
  {
    what: 'a copy that nobody waits for',
    from: 'f2c::wait_barrier(emptied',
    to: 'if (tile == 0 && k == 0) f2c::copy_tensor(spare, 0, w_map, f2c::coordinates(0, 0), spared, 0);\n            f2c::wait_barrier(emptied',
    code: 'F2C249',
    object: 'shared spare',
    line: 'f2c::copy_tensor(spare',
    found: /^invocation 256 of block \(0, 0, 0\)$/,
  },
  {
    what: 'barriers that copies cannot see',
    from: '    f2c::fence_barriers();\n',
    to: '',
    code: 'F2C235',
    object: 'barriers filled',
    line: 'f2c::copy_tensor(stage_0',
    found: /^(?:filled|emptied)\[0\], invocation 256/,
  },
  {
    what: 'barriers that others may not see yet',
    from: '  __syncthreads();\n',
    to: '',
    code: 'F2C244',
    object: 'barriers filled',
    line: consumerWait,
    found: /invocation 1 of block \(0, 0, 0\) after invocation 0 at line \d+: f2c::set_up_barriers\(filled/,
  },
  {
    what: 'barriers that nobody has set up',
    from: '    f2c::set_up_barriers(emptied, 8);\n',
    to: '',
    code: 'F2C235',
    object: 'barriers emptied',
    line: producerWait,
    found: /^(?:filled|emptied)\[0\], invocation 256/,
  },
  {
    what: 'a parity of 2',
    from: consumerWait,
    to: 'f2c::wait_barrier(filled, stage, it / 3 % 2 + 2);',
    code: 'F2C235',
    object: 'barriers filled',
    line: 'f2c::wait_barrier(filled',
    found: /^(?:filled|emptied)\[0\], invocation 0/,
  },
  {
    what: 'registers that a part of a warp takes',
    from: 'f2c::take_registers<232>();',
    to: 'if (local_index != 7) f2c::take_registers<232>();',
    code: 'F2C247',
    object: '',
    line: 'f2c::take_registers<232>();',
    found: /invocation|lanes/,
  },
];
