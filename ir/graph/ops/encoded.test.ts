import { describe, expect, it } from 'vitest';
import { hostTensor, inferError, inferTypes, runOperation } from '../../../test/run-operation.js';

describe('dequantize', () => {
  it('has as many columns as the codes say, and any number of rows', () => {
    const [codes, scales] = [['u32', ['rows', 8]], ['f16', ['rows', 2]]] as const; // prettier-ignore
    expect(inferTypes('dequantize', [codes, scales], { encoding: 'q4_0' })).toEqual(['f32[rows, 64]']);
    const k = (dtype: 'u8' | 'f16', columns: number) => [dtype, [3, columns]] as const;
    const fields = [['u32', [3, 64]] as const, k('u8', 16), k('f16', 2), k('u8', 16), k('f16', 2)];
    expect(inferTypes('dequantize', fields, { encoding: 'q4_k' })).toEqual(['f32[3, 512]']);
  });

  it('is scales times codes less their zero', () => {
    // Codes 0 to 7 of one group of 16, then 15, 8 and six times 7.
    const codes = hostTensor('u32', [1, 2], [0x76543210, 0x7777778f]);
    const [result] = runOperation('dequantize', [codes, hostTensor('bf16', [1, 1], [0.5])], { encoding: 'int4:16' });
    const want = [-4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5, 3.5, 0, ...new Array<number>(6).fill(-0.5)];
    expect([...result!.data]).toEqual(want);
  });

  it('rejects arrays that are not those of the encoding', () => {
    const codes = ['u32', [4, 8]] as const;
    const scales = ['f16', [4, 2]] as const;
    const code = (operands: Parameters<typeof inferError>[1], encoding: string): string =>
      inferError('dequantize', operands, { encoding }).code;
    expect(code([codes, scales], 'q9')).toBe('F2C114');
    expect(code([codes], 'q4_0')).toBe('F2C110');
    expect(code([codes, ['f32', [4, 2]]], 'q4_0')).toBe('F2C112');
    expect(code([codes, ['f16', [4, 3]]], 'q4_0')).toBe('F2C113');
    expect(code([codes, ['f16', [5, 2]]], 'q4_0')).toBe('F2C113');
    expect(
      code(
        [
          ['u32', [4, 6]],
          ['f16', [4, 2]],
        ],
        'q4_0',
      ),
    ).toBe('F2C115');
    expect(
      code(
        [
          ['u32', [4, 'n']],
          ['f16', [4, 2]],
        ],
        'q4_0',
      ),
    ).toBe('F2C115');
  });
});
