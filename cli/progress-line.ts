/** Progress on stderr: one line that is rewritten on a terminal, a few plain lines elsewhere. */
import type { Progress, Stage } from '../models/flux2/progress.js';
import { formatBytes } from './inspect/format.js';
import type { TerminalStream } from './show.js';

const words: Readonly<Record<Stage, string>> = {
  load: 'loading weights',
  compile: 'compiling kernels',
  pack: 'writing weights',
  prompt: 'encoding the prompt',
  references: 'encoding references',
  denoise: 'denoising',
  decode: 'decoding',
  compare: 'comparing weights',
  blocks: 'running blocks',
};
const BAR_CELLS = 20;
/** A log gets a line at the start and end of a stage and this often between. */
const PLAIN_INTERVAL_MS = 5000;
/** Rewriting faster than the eye follows costs time on slow terminals. */
const LINE_INTERVAL_MS = 50;

export interface ProgressLine {
  update(progress: Progress): void;
  /** A sentence that stays, above the line. */
  notice(sentence: string): void;
  /** Removes the line. */
  finish(): void;
}

/** A reporter for the stream; with `quiet` it writes nothing. `now` gives milliseconds. */
export function createProgressLine(stream: TerminalStream, quiet: boolean, now: () => number = Date.now): ProgressLine {
  if (quiet) return { update: nothing, notice: nothing, finish: nothing };
  return stream.isTTY === true ? new TerminalLine(stream, now) : new PlainLines(stream, now);
}

class TerminalLine implements ProgressLine {
  private shown = false;
  private last = -Infinity;

  constructor(
    private readonly stream: TerminalStream,
    private readonly now: () => number,
  ) {}

  update(progress: Progress): void {
    const time = this.now();
    if (time - this.last < LINE_INTERVAL_MS && progress.step > 0 && progress.step < progress.of) return;
    this.last = time;
    // Terminals without a size, as of some containers, say 0.
    const columns = this.stream.columns || 80;
    this.stream.write(`\r\x1b[2K${formatLine(progress).slice(0, columns - 1)}`);
    this.shown = true;
  }

  notice(sentence: string): void {
    this.finish();
    this.stream.write(`${sentence}\n`);
  }

  finish(): void {
    if (this.shown) this.stream.write('\r\x1b[2K');
    this.shown = false;
  }
}

class PlainLines implements ProgressLine {
  private last = -Infinity;
  private begun = '';

  constructor(
    private readonly stream: TerminalStream,
    private readonly now: () => number,
  ) {}

  update(progress: Progress): void {
    const time = this.now();
    const what = describe(progress);
    const begins = what !== this.begun;
    const ends = progress.step === progress.of && progress.of > 1;
    if (!begins && !ends && time - this.last < PLAIN_INTERVAL_MS) return;
    this.begun = what;
    this.last = time;
    this.stream.write(`${begins ? what : formatText(progress)}\n`);
  }

  notice(sentence: string): void {
    this.stream.write(`${sentence}\n`);
  }

  finish(): void {
    return undefined;
  }
}

function formatLine(progress: Progress): string {
  const { step, of } = progress;
  if (of <= 1) return `${describe(progress)} …`;
  const filled = Math.round((BAR_CELLS * step) / of);
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}] ${formatText(progress)}`;
}

function describe({ stage, detail }: Progress): string {
  return detail === undefined ? words[stage] : `${words[stage]} ${detail}`;
}

function formatText(progress: Progress): string {
  const { stage, step, of, secondsLeft } = progress;
  const left = secondsLeft === undefined || step === of ? '' : `, ${formatSeconds(secondsLeft)} left`;
  const done = countDone(stage, step, of);
  return `${describe(progress)} ${done}${left}`;
}

/** Weights count bytes. */
function countDone(stage: Stage, step: number, of: number): string {
  if (stage === 'pack') return `${formatBytes(step)} of ${formatBytes(of)}`;
  return stage === 'load' ? `${Math.floor((100 * step) / of)} %` : `${step}/${of}`;
}

/** `0.4 s`, `12 s`, `3:05 min`, `1:02:03 h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pad = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${pad(whole % 60)} min`;
  return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(whole % 60)} h`;
}

function nothing(): void {
  return undefined;
}
