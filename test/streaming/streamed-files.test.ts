/** Weights that stream from a file, and what happens to the file meanwhile. */
import { mkdtemp, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Checkpoint } from '../../frontend/checkpoint/index.js';
import { buildWeightTable } from '../../frontend/checkpoint/names.js';
import { openCheckpoint } from '../../frontend/checkpoint/node/open-checkpoint.js';
import { encodeSafetensors } from '../../frontend/checkpoint/safetensors-writer.js';
import { hostTensorToBytes } from '../../ir/host-tensor.js';
import { InterpreterDevice } from '../../runtime/interpreter-device.js';
import type { Session } from '../../runtime/session.js';
import { checkpointWeights } from '../../runtime/weights.js';
import { roomyTarget } from '../plan-samples.js';
import { smallKernels } from '../small-kernels.js';
import { chain, chainInputs, chainResults, chainTensors } from './chain.js';
import { openStreamed } from './streamed-session.js';

describe('weights streamed from a file', () => {
  /** In whole seconds, so that it can be set again. */
  const written = new Date('2020-01-01T01:01:01Z');
  let path: string;
  let checkpoint: Checkpoint;
  let session: Session;

  beforeAll(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'flux2c-streamed-')), 'chain.safetensors');
    const tensors = [...chainTensors].map(([name, tensor]) => {
      return [name, { dtype: 'f32', shape: tensor.shape, data: hostTensorToBytes(tensor) }] as const;
    });
    await writeFile(path, encodeSafetensors(new Map(tensors)));
    await utimes(path, written, written);
    checkpoint = await openCheckpoint(path);
    const table = buildWeightTable(checkpoint.name, [...checkpoint.tensors.values()].map((tensor) => ({ name: tensor.name, tensor }))); // prettier-ignore
    const weights = checkpointWeights(checkpoint, table);
    const device = new InterpreterDevice(roomyTarget);
    ({ session } = await openStreamed(
      { plan: chain, kernels: smallKernels, device, weights },
      { isKept: () => false },
    ));
  });
  afterAll(async () => {
    await session.destroy();
    await checkpoint.close();
    await rm(join(path, '..'), { recursive: true });
  });

  const run = async (): Promise<void> => expect(await session.run(chainInputs(48))).toEqual(chainResults(48));

  it('are those of the file, or an error names it', async () => {
    await run();
    const { size } = await stat(path);
    await utimes(path, written, new Date('2020-02-02T02:02:02Z'));
    const where = ['chain', path, expect.stringMatching(/^@w\d$/)];
    await expect(run()).rejects.toMatchObject({ code: 'F2C405', detail: { where } });
    await utimes(path, written, written);
    await run();
    await truncate(path, size - 4 * 48 * chainTensors.size);
    await expect(run()).rejects.toMatchObject({ code: 'F2C402', detail: { where } });
  });
});
