import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/code-of.js';
import { float, integer, register, vectorOf } from './expressions.js';
import { parseThreadKernel } from './thread-parse.js';
import type { Statement, ThreadKernel } from './thread.js';
import { verifyThreadKernel } from './thread-verify.js';

/** A kernel with these statements, through the text form. */
function kernelOf(body: string): ThreadKernel {
  return parseThreadKernel(`kernel @tested workgroup(8) subgroup(4) params(count)
    buffer x: read f32 x1
    buffer h: read_write bf16 x1
    buffer y: write f32 x4
    buffer z: read_write u8 x2
    shared tile: f32[16]
  { ${body} }`);
}

function verified(kernel: ThreadKernel): string {
  return codeOf(() => verifyThreadKernel(kernel), 'accepted');
}

/** Statements that the text form cannot express. */
function withBody(...body: readonly Statement[]): ThreadKernel {
  return { ...kernelOf(''), body };
}

describe('verifyThreadKernel', () => {
  it.each([
    ['F2C221', 'let a: i32 = 1 a = 2'],
    ['F2C221', 'for k = 0 to 2 step 1 { k = 2 }'],
    ['F2C220', 'a = 2'],
    ['F2C222', 'let a: f32 = 1'],
    ['F2C222', 'let a: i32 = 1 + 1.0'],
    ['F2C222', 'let a: f32 = exp(1)'],
    ['F2C222', 'if 1 { }'],
    ['F2C222', 'let a: f32 = x[1.0]'],
    ['F2C222', 'for k = 0.0 to 2 step 1 { }'],
    ['F2C222', 'let a: bool = true < false'],
    ['F2C222', 'let a: f32 = select(1, 2.0, 3.0)'],
    ['F2C222', 'let a: u32 = bits_as_u32(true)'],
    ['F2C223', 'let a: f32x4 = 1.0'],
    ['F2C223', 'let a: f32x4 = fma(splat4(1.0), 2.0, splat4(1.0))'],
    ['F2C223', 'y[0] = 1.0'],
    ['F2C223', 'let a: f32 = dot(1.0, 2.0)'],
    ['F2C223', 'let a: f32x4 = vector(1.0, 2.0, 3.0)'],
    ['F2C223', 'let a: f32x4 = splat4(splat2(1.0))'],
    ['F2C223', 'let a: f32 = x[0].x'],
    ['F2C224', 'h[0] = 1.0'],
    ['F2C224', 'z[0] = 1:i32x2'],
    ['F2C225', 'if local_index < 2 { barrier }'],
    ['F2C225', 'for k = 0 to local_index step 1 { barrier }'],
    ['F2C225', 'tile[local_index] = 1.0 barrier let a: f32 = tile[0] if a < 1.0 { barrier }'],
    ['F2C225', 'var a: i32 = 0 for k = 0 to 4 step 1 { if a < 2 { barrier } a = a + local_index }'],
    ['F2C225', 'var a: i32 = 0 if local_index < 2 { a = 1 } if a < 1 { barrier }'],
    ['F2C225', 'if local_index < 2 { let a: f32 = subgroup_add(1.0) }'],
    ['F2C226', 'q[0] = 1.0'],
    ['F2C228', 'let a: i32 = 1 let a: i32 = 2'],
    ['F2C228', 'let x: i32 = 1'],
    ['F2C228', 'let count: i32 = 1'],
    ['F2C228', 'let local_index: i32 = 1'],
    ['F2C229', 'x[0] = 1.0'],
    ['F2C229', 'let a: f32x4 = y[0]'],
    ['F2C230', 'for k = 0 to 2 step 0 { }'],
    ['F2C230', 'let a: f32 = splat2(1.0).z'],
    ['F2C230', 'let a: f32 = subgroup_broadcast(1.0, 4)'],
    ['F2C230', 'let a: i32 = 3000000000'],
    ['F2C230', 'let a: u32 = -1:u32'],
  ])('%s: %s', (code, body) => {
    expect(verified(kernelOf(body))).toBe(code);
  });

  it('finds names that are not there', () => {
    const i32 = vectorOf('i32', 1);
    const use = (value: Extract<Statement, { kind: 'let' }>['value']): ThreadKernel =>
      withBody({ kind: 'let', name: 'a', type: i32, value });
    expect(verified(use(register('b', i32)))).toBe('F2C220');
    expect(verified(use({ kind: 'parameter', name: 'tokens' }))).toBe('F2C226');
    expect(verified(use({ kind: 'load', buffer: 'q', index: integer(0), type: i32 }))).toBe('F2C226');
    expect(verified(use({ kind: 'load_shared', array: 'q', index: integer(0), type: i32 }))).toBe('F2C226');
    const stray: Statement = { kind: 'store_shared', array: 'q', index: integer(0), value: float(0) };
    expect(verified(withBody(stray))).toBe('F2C226');
    const scoped: Statement = {
      kind: 'if',
      condition: { kind: 'constant', type: vectorOf('bool', 1), value: 1 },
      then: [{ kind: 'let', name: 'b', type: i32, value: integer(1) }],
    };
    expect(verified(withBody(scoped, { kind: 'let', name: 'a', type: i32, value: register('b', i32) }))).toBe('F2C220');
    expect(() => kernelOf('let a: i32 = b')).toThrow(expect.objectContaining({ code: 'F2C220' }) as Error);
  });

  it('holds kernels to the limits', () => {
    const kernel = kernelOf('');
    const tile = { name: 'tile', type: vectorOf('f32', 4), length: 1024 };
    expect(verified({ ...kernel, shared: [tile] })).toBe('accepted');
    expect(verified({ ...kernel, shared: [{ ...tile, length: 1025 }] })).toBe('F2C227');
    expect(verified({ ...kernel, workgroupSize: 512 })).toBe('F2C227');
    expect(verified({ ...kernel, workgroupSize: 0 })).toBe('F2C230');
    expect(verified({ ...kernel, name: 'a b' })).toBe('F2C228');
    expect(verified({ ...kernelOf('let a: f32 = subgroup_add(1.0)'), workgroupSize: 6 })).toBe('F2C230');
  });

  it('lets targets store less than a word that can', () => {
    const limits = { workgroupMemory: 0, maxWorkgroupInvocations: 64 };
    for (const body of ['h[0] = 1.0', 'z[0] = 1:i32x2']) {
      const kernel = { ...kernelOf(body), shared: [] };
      expect(() => verifyThreadKernel(kernel, { ...limits, narrowStores: true })).not.toThrow();
      expect(() => verifyThreadKernel(kernel, limits)).toThrow(expect.objectContaining({ code: 'F2C224' }) as Error);
    }
  });

  it('accepts barriers where all invocations come together', () => {
    const bodies = [
      'for k = 0 to count step 1 { tile[local_index] = 1.0 barrier }',
      'if x[workgroup_x] < 1.0 { barrier }',
      'var a: i32 = 0 for k = 0 to 4 step 1 { a = a + k if a < 2 { barrier } }',
      'if local_index < 2 { let a: i32 = 1 } else { let a: f32 = 1.0 }',
    ];
    for (const body of bodies) expect(verified(kernelOf(body)), body).toBe('accepted');
  });
});
