import { describe, expect, it } from 'vitest';
import { runCommandLine } from '../test/cli-harness.js';
import { VERSION } from './version.js';

describe('flux2c', () => {
  it('explains itself', async () => {
    const { exitCode, stdout } = await runCommandLine(['--help']);
    expect(exitCode).toBe(0);
    for (const command of ['generate', 'run', 'devices']) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    expect(stdout).toContain('flux2c generate "a red circle on a white background" -o circle.png');
  });

  it.each(['generate', 'run', 'devices'])('explains %s, every option with a sentence', async (command) => {
    const { exitCode, stdout } = await runCommandLine([command, '--help']);
    expect(exitCode).toBe(0);
    const options = stdout.split('\n').filter((line) => /^ {2}-/.test(line));
    expect(options.length).toBeGreaterThan(3);
    for (const option of options) expect(option).toMatch(/^ {2}-\S.*? {2,}\S|^ {2}-\S+( \S+)*$/);
  });

  it('has the version of the package', async () => {
    expect((await runCommandLine(['--version'])).stdout).toBe(`${VERSION}\n`);
    expect(VERSION).toMatch(/^\d+\.\d+\.\d+/);
  });

  it.each([
    [['paint'], "unknown command 'paint'"],
    [['generat'], 'Did you mean generate?'],
    [['run', '--inputs', 'a', '--outputs', 'b'], "missing required argument 'model'"],
    [['run', 'x', '--outputs', 'b'], '--inputs'],
    [['run', 'x', '--component', 'unet', '--inputs', 'a', '--outputs', 'b'], 'Allowed choices are transformer'],
    [['devices', 'extra'], 'too many arguments'],
  ])('refuses %j', async (line, text) => {
    const { exitCode, stdout, stderr } = await runCommandLine(line);
    expect(exitCode).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain('error F2C701: ');
    expect(stderr).toContain(text);
  });
});
