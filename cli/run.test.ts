import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { encodeSafetensors } from '../frontend/checkpoint/index.js';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import { runCommandLine } from '../test/cli-harness.js';
import { readSafetensors } from '../test/read-safetensors.js';
import { TensorFile } from './tensor-files.js';

const root = mkdtempSync(join(tmpdir(), 'flux2c-run-'));
afterAll(() => rmSync(root, { recursive: true }));
const outputs = join(root, 'out.safetensors');
const run = (component: string, inputs: string) =>
  runCommandLine(['run', 'model', '--component', component, '--inputs', inputs, '--outputs', outputs]);

async function writeIds(name: string, shape: readonly number[], values: readonly number[], tensor = 'in.img_ids') {
  const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  const path = join(root, name);
  await writeFileAtomically(path, encodeSafetensors(new Map([[tensor, { dtype: 'i64', shape, data }]])));
  return path;
}

describe('flux2c run', () => {
  it('reads inputs in any type, with or without prefix, and writes results', async () => {
    const { exitCode, model } = await run('text_encoder', 'test/golden/text-encoder-tiny/cases/b1_no_pad.safetensors');
    expect(exitCode).toBe(0);
    const ids = model.calls[0]?.inputs['input_ids'];
    const golden = readSafetensors('test/golden/text-encoder-tiny/cases/b1_no_pad.safetensors').tensor('in.input_ids');
    expect(ids).toMatchObject({ dtype: 'i32', shape: [1, 19 - 2] });
    expect([...ids!.values]).toEqual([...golden.values]);
    expect(readSafetensors(outputs).names).toEqual(['out.prompt_embeds']);
  });

  it('names the input that is missing', async () => {
    const { exitCode, stderr } = await run('vae_encoder', 'test/golden/vae-tiny/cases/decode_b1_64x64.safetensors');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('error F2C705');
    expect(stderr).toContain('in.image or image');
  });

  it('finds the network by the inputs, or asks', async () => {
    const line = (inputs: string) => ['run', 'model', '--inputs', inputs, '--outputs', outputs];
    const { model } = await runCommandLine(line('test/golden/vae-tiny/cases/encode_b1_64x64.safetensors'));
    expect(model.opened).toEqual(['vae_encoder']);
    const { stderr } = await runCommandLine(line('test/golden/torch-randn.safetensors'));
    expect(stderr).toContain('error F2C703');
  });

  it('reports shapes as JSON', async () => {
    const inputs = 'test/golden/vae-tiny/cases/decode_b1_64x64.safetensors';
    const line = ['run', 'model', '--component', 'vae_decoder', '--inputs', inputs, '--outputs', outputs, '--json'];
    const { stdout } = await runCommandLine(line);
    expect(JSON.parse(stdout)).toMatchObject({ outputs, results: [{ name: 'out.image', shape: [1, 3, 64, 64] }] });
  });
});

describe('TensorFile', () => {
  it('takes the rows of position ids that the whole batch shares', async () => {
    const path = await writeIds('same.safetensors', [2, 1, 4], [0, 1, 2, 3, 0, 1, 2, 3]);
    const ids = (await TensorFile.read(path, ['img_ids'])).input('img_ids', 'i32', 2);
    expect(ids).toEqual({ dtype: 'i32', shape: [1, 4], values: Int32Array.of(0, 1, 2, 3) });
  });

  it('refuses position ids that differ, wrong ranks and integers that do not fit', async () => {
    const differing = await writeIds('differing.safetensors', [2, 1, 4], [0, 1, 2, 3, 0, 1, 2, 4]);
    const file = await TensorFile.read(differing, ['img_ids']);
    expect(() => file.input('img_ids', 'i32', 2)).toThrow('cannot be used');
    const wide = await writeIds('wide.safetensors', [1, 4], [0, 1, 2, 2 ** 40]);
    expect(() => file.input('img_ids', 'i32', 1)).toThrow('cannot be used');
    const wideFile = await TensorFile.read(wide, ['img_ids']);
    expect(() => wideFile.input('img_ids', 'i32', 2)).toThrow('cannot be used');
    expect(() => wideFile.get('txt_ids')).toThrow('cannot be used');
  });
});
