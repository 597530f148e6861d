import { describe, expect, it } from 'vitest';
import { createProgressLine, formatSeconds } from './progress-line.js';

function collectText(isTTY: boolean, quiet = false, columns = 80) {
  const texts: string[] = [];
  let time = 0;
  const stream = { isTTY, columns, write: (text: string) => texts.push(text) };
  return { texts, line: createProgressLine(stream, quiet, () => time), wait: (ms: number) => (time += ms) };
}
const step = (number: number, of = 20) =>
  ({ stage: 'denoise', step: number, of, secondsLeft: number === 0 ? undefined : (of - number) / 10 }) as const;

describe('createProgressLine', () => {
  it('rewrites one line on a terminal, with stage, step and time left', () => {
    const { texts, line, wait } = collectText(true);
    line.update(step(0));
    wait(100);
    line.update(step(5));
    expect(texts[1]).toBe('\r\x1b[2K[#####...............] denoising 5/20, 1.5 s left');
    line.update(step(6));
    expect(texts).toHaveLength(2);
    line.update(step(20));
    line.notice('a sentence');
    expect(texts.slice(-2)).toEqual(['\r\x1b[2K', 'a sentence\n']);
    line.finish();
    expect(texts.at(-1)).toBe('a sentence\n');
  });

  it('never wraps the line', () => {
    const { texts, line } = collectText(true, false, 20);
    line.update(step(5));
    expect(texts[0]?.slice('\r\x1b[2K'.length)).toHaveLength(19);
  });

  it('cuts nothing on terminals that give their width as 0', () => {
    const { texts, line } = collectText(true, false, 0);
    line.update(step(5));
    expect(texts[0]).toBe('\r\x1b[2K[#####...............] denoising 5/20, 1.5 s left');
  });

  it('writes few plain lines elsewhere', () => {
    const { texts, line, wait } = collectText(false);
    for (let number = 0; number <= 20; number++) {
      line.update(step(number));
      wait(1000);
    }
    expect(texts).toEqual([
      'denoising\n',
      'denoising 5/20, 1.5 s left\n',
      'denoising 10/20, 1.0 s left\n',
      'denoising 15/20, 0.5 s left\n',
      'denoising 20/20\n',
    ]);
  });

  it('is silent when asked', () => {
    const { texts, line } = collectText(true, true);
    line.update(step(1));
    line.notice('a sentence');
    line.finish();
    expect(texts).toEqual([]);
  });
});

describe('formatSeconds', () => {
  it.each([
    [0.44, '0.4 s'],
    [12.3, '12 s'],
    [185, '3:05 min'],
    [3723, '1:02:03 h'],
  ])('%d', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));
});
