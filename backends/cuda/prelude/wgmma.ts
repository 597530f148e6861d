import { matrixTypes, numbersOfWord, productDepth, sharedColumns } from '../../../ir/kernel/matrix-types.js';
import type { MatrixType } from '../../../ir/kernel/thread.js';

const ptxTypes: Readonly<Record<MatrixType, string>> = { bf16: 'bf16', f16: 'f16', f8e4m3: 'e4m3' };

/** Function of `columns` columns: accumulators by reference, 8 columns' upper and lower rows one after the other, added to or only written. */
function productText(columns: number, type: MatrixType, left: 'shared' | 'registers', start: 'sums' | 'zero'): string {
  const pairs = columns / 4;
  const mode = start === 'zero' ? '=' : '+';
  const accumulators = Array.from({ length: pairs }, (_, at) => `f32x2& c${at}`).join(', ');
  const count = 2 * pairs;
  const outputs = Array.from({ length: pairs }, (_, at) => `"${mode}f"(c${at}.x), "${mode}f"(c${at}.y)`).join(', ');
  const registers = Array.from({ length: count }, (_, at) => `%${at}`).join(', ');
  const isShared = left === 'shared';
  const a = isShared ? `%${count}` : `{%${count}, %${count + 1}, %${count + 2}, %${count + 3}}`;
  const next = count + (isShared ? 1 : 4);
  const inputs = isShared ? '"l"(a.descriptor())' : '"r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w)';
  const canTranspose = numbersOfWord[type] === 2;
  const transposes = canTranspose ? `${isShared ? ', 0' : ''}, %${next + 1}` : '';
  const [leftParameter, leftDepth] = canTranspose ? ['bool a_by_depth, ', 'a_by_depth'] : ['', 'true'];
  const [rightParameter, rightDepth] = canTranspose ? ['bool by_depth, ', 'by_depth'] : ['', 'true'];
  const shape = `m64n${columns}k${productDepth(type)}`;
  return `
template <${isShared ? `${leftParameter}int a_block, ` : ''}${rightParameter}int block>
F2C_FUNCTION void wgmma_${shape}_${type}(${start === 'zero' ? 'FromZero, ' : ''}${isShared ? `SharedMatrix<${leftDepth}, a_block>` : 'u32x4'} a,
    SharedMatrix<${rightDepth}, block> b, ${accumulators}) {
  asm volatile(
      "{ .reg .pred add; setp.ne.b32 add, ${start === 'zero' ? 0 : 1}, 0; "
      "wgmma.mma_async.sync.aligned.${shape}.f32.${ptxTypes[type]}.${ptxTypes[type]} {${registers}}, "
      "${a}, %${next}, add, 1, 1${transposes}; }"
      : ${outputs}
      : ${inputs}, "l"(b.descriptor())${canTranspose ? ', "n"(by_depth ? 0 : 1)' : ''});
}
`;
}

const products = sharedColumns.flatMap((columns) =>
  matrixTypes.flatMap((type) => {
    // Fragments of 8-bit numbers are multiplied from shared memory only.
    const lefts = numbersOfWord[type] === 2 ? (['shared', 'registers'] as const) : (['shared'] as const);
    return lefts.flatMap((left) => [
      productText(columns, type, left, 'sums'),
      productText(columns, type, left, 'zero'),
    ]);
  }),
);

/**
 * Matrix products by four warps from shared memory: PTX ISA, "Asynchronous Warpgroup Level Matrix Multiply-Accumulate
 * Instructions" (sm_90a). Operands are rows of 128 bytes with 128-byte swizzle: eight rows are an atom of 1024 bytes, whose
 * 16-byte pieces are exchanged by the row's number. Descriptors are those of "Shared Memory Matrix Layout".
 *
 * Numbers of 8 bits have no transposed form: rows run along the depth on both sides, and one product takes 32 bytes of a row as with
 * 16 bits. Their sums have fewer bits than f32, as those of `mma_m16n8k32` (matrix.ts).
 */
export const deviceWgmmaText = String.raw`
namespace f2c {

/** Blocks of rows of 128 bytes; block is the number of 16-byte elements from one to the next. */
template <bool by_depth, int block> struct SharedMatrix {
  unsigned address;

  /** Start, distance of blocks (of nothing where rows run along the depth), distance of atoms, 128-byte swizzle. */
  F2C_FUNCTION unsigned long long descriptor() const {
    constexpr unsigned long long fixed = (1ull << 62) | (64ull << 32) | ((unsigned long long)(by_depth ? 1 : block) << 16);
    return fixed | ((address >> 4) & 0x3fff);
  }
};
template <bool by_depth, int block>
F2C_FUNCTION SharedMatrix<by_depth, block> shared_matrix(Shared<u32x4> array, int index) {
  return {shared_address(array.elements + index)};
}

/** This thread's writes to shared memory are seen by products behind the next barrier. */
F2C_FUNCTION void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/** Keeps what changes a register on its side of this: to the compiler products have nothing to do with fences and waits. */
F2C_FUNCTION void hold(f32x2& sums) { asm volatile("" : "+f"(sums.x), "+f"(sums.y)::"memory"); }
F2C_FUNCTION void hold(const u32x4& words) {
  asm volatile("" ::"r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w) : "memory");
}
/** Registers that products behind it read. */
template <typename... Registers> F2C_FUNCTION void wgmma_fence(Registers&... registers) {
  (hold(registers), ...);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
F2C_FUNCTION void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/** Sums that are there then. */
template <int still_running, typename... Sums> F2C_FUNCTION void wgmma_wait(Sums&... sums) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(still_running) : "memory");
  (hold(sums), ...);
}
/** First operand of products whose sums begin with them. */
struct FromZero {};
${products.join('')}
}  // namespace f2c
`;
