/**
 * The noise levels of the denoising steps: evenly spaced times, shifted towards noise by an amount that was fitted to
 * the number of image tokens and of steps.
 */
import { Flux2cError } from '../../ir/diagnostics.js';

export interface Schedule {
  /** The logarithm of the shift. */
  readonly mu: number;
  /** `steps + 1` noise levels, from 1 down to 0; step i takes x by `(sigmas[i + 1] - sigmas[i]) * v`. */
  readonly sigmas: Float32Array;
  /** `steps` values in thousandths, `sigma * 1000` in f32: the scheduler's own, for progress and callbacks. */
  readonly timesteps: Float32Array;
  /** `steps` values in 0..1 as the transformer takes them: `timesteps / 1000`, rounded in f32 as diffusers does. */
  readonly modelTimesteps: Float32Array;
}

/** Above this many tokens the fitted line of 200 steps is used whatever the number of steps. */
const LARGEST_FITTED_TOKENS = 4300;

/**
 * The fitted log-shift. `imageTokens` counts the output picture's tokens only (no text, no reference pictures);
 * `steps` is the number of denoising steps. Both must be positive integers (F2C602).
 */
export function computeMu(imageTokens: number, steps: number): number {
  requirePositiveInteger(imageTokens, 'the number of image tokens');
  requirePositiveInteger(steps, 'the number of steps');
  const muAt200Steps = 0.00016927 * imageTokens + 0.45666666;
  if (imageTokens > LARGEST_FITTED_TOKENS) return muAt200Steps;
  const muAt10Steps = 8.73809524e-5 * imageTokens + 1.89833333;
  const slope = (muAt200Steps - muAt10Steps) / 190;
  return slope * steps + (muAt200Steps - 200 * slope);
}

/** The schedule of `steps` Euler steps for a picture of `imageTokens` tokens; errors as `computeMu`. */
export function buildSchedule(imageTokens: number, steps: number): Schedule {
  const mu = computeMu(imageTokens, steps);
  const shift = Math.exp(mu);
  const sigmas = new Float32Array(steps + 1);
  const timesteps = new Float32Array(steps);
  for (let i = 0; i < steps; i++) {
    // Rounded to f32 where the reference's arrays are f32.
    const time = Math.fround(1 - i / steps);
    const odds = Math.fround(Math.fround(1 / time) - 1);
    sigmas[i] = Math.fround(shift) / Math.fround(shift + odds);
    timesteps[i] = sigmas[i]! * 1000;
  }
  return { mu, sigmas, timesteps, modelTimesteps: timesteps.map((value) => value / 1000) };
}

function requirePositiveInteger(value: number, what: string): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new Flux2cError('F2C602', `${what} is not a positive integer`, {
    expected: 'an integer of at least 1',
    found: String(value),
  });
}
