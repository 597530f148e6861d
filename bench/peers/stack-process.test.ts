import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContestantFailure, StackProcess, type StackProcessOptions } from './stack-process.js';

describe('StackProcess', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flux2c-stack-process-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const start = async (name: string, onMessage: string, more: StackProcessOptions = {}): Promise<StackProcess> => {
    const program = join(folder, `${name}.mjs`);
    await writeFile(program, `process.on('message', (request) => { ${onMessage} });`);
    const environment = { FLUX2C_TEST: 'seen' };
    return StackProcess.start({ nodeFlags: ['--no-warnings'], environment, program, ...more });
  };

  it('asks, gets replies and ends the process', async () => {
    const reply = `process.send({ done: { time: request.repeats ?? 7, seen: process.env.FLUX2C_TEST } })`;
    const process = await start('answers', reply);
    expect(await process.ask<'check'>({ ask: 'check', file: 'unused' })).toEqual({ time: 7, seen: 'seen' });
    expect(await process.ask<'run'>({ ask: 'run', repeats: 3, batch: 1 })).toMatchObject({ time: 3 });
    await process.end();
    await expect(process.ask<'quit'>({ ask: 'quit' })).rejects.toThrow(ContestantFailure);
  });

  it('makes failures of what the process says and of its end', async () => {
    const refusing = await start('refuses', `process.send({ failed: 'no such adapter' })`);
    await expect(refusing.ask<'run'>({ ask: 'run', repeats: 1, batch: 1 })).rejects.toThrow('no such adapter');
    await refusing.end();
    const dying = await start('dies', `console.error('out of luck'); process.exit(3)`);
    await expect(dying.ask<'run'>({ ask: 'run', repeats: 1, batch: 1 })).rejects.toThrow(/code 3.*out of luck/s);
    await dying.end();
  });

  it('gives all replies together so many seconds, and kills who takes longer', async () => {
    const slow = await start('slow', `setTimeout(() => process.send({ done: {} }), request.repeats)`, { seconds: 1.5 });
    await slow.ask<'run'>({ ask: 'run', repeats: 1000, batch: 1 });
    await expect(slow.ask<'run'>({ ask: 'run', repeats: 9000, batch: 1 })).rejects.toThrow('no answer to run');
    await slow.end();
  });
});
