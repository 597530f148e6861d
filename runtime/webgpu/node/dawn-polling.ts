/**
 * Dawn for Node looks for finished work by calling `globalThis.setImmediate` again and again, which keeps a core busy that
 * a software driver (or anything else) could use: a 512 x 512 x 512 product on lavapipe took 15.5 ms instead of 8.
 * This spaces Dawn's polls: at once for the first moments, then by a timer, and at once again around the moment at which
 * the previous wait ended, since denoising steps take equally long. All other callers of `setImmediate` are untouched.
 */

/** Waits shorter than this are polled without pause. */
const eagerMilliseconds = 0.3;
/** Half the width of the window around the expected end in which polls follow at once. */
const windowShare = 0.03;
const windowMilliseconds = 2;
/** A timer may be late by this share of the time waited so far, within the bounds below. */
const lateShare = 0.02;
const longestPauseMilliseconds = 16;

/**
 * Milliseconds until the next poll, 0 for at once, after `elapsed` milliseconds of a wait whose predecessor took
 * `expected` (0: unknown).
 */
export function pauseBeforePoll(elapsed: number, expected: number): number {
  if (elapsed < eagerMilliseconds) return 0;
  const window = Math.min(windowMilliseconds, Math.max(eagerMilliseconds, expected * windowShare));
  if (Math.abs(elapsed - expected) <= window) return 0;
  const pause = Math.min(longestPauseMilliseconds, Math.max(1, elapsed * lateShare));
  const untilWindow = expected - window - elapsed;
  return untilWindow > 0 ? Math.min(pause, Math.floor(untilWindow)) : pause;
}

/**
 * Dawn's poll is a native function without a name, called without arguments. Bound functions are native too, but are
 * named "bound ...".
 */
function isNativePoll(callback: unknown, extra: number): callback is () => void {
  return (
    typeof callback === 'function' &&
    extra === 0 &&
    callback.name === '' &&
    /\{\s*\[native code\]\s*\}\s*$/.test(Function.prototype.toString.call(callback))
  );
}

const installed = Symbol.for('flux2c.spacedPolls');

/** Replaces `globalThis.setImmediate` once; call before the first `create` of the webgpu package. */
export function spaceDawnPolls(): void {
  const original = globalThis.setImmediate;
  if (installed in original) return;
  let waitStart = 0;
  let expected = 0;
  let polling = false;
  let waiting = false;

  const poll = (callback: () => void): void => {
    polling = true;
    waiting = false;
    try {
      callback();
    } finally {
      polling = false;
      // Dawn asks for the next poll from within this one as long as something is unfinished.
      if (!waiting) expected = performance.now() - waitStart;
    }
  };
  const schedule = (callback: () => void): NodeJS.Immediate | NodeJS.Timeout => {
    if (!polling) waitStart = performance.now();
    waiting = true;
    const pause = pauseBeforePoll(performance.now() - waitStart, expected);
    return pause === 0 ? original(poll, callback) : setTimeout(poll, pause, callback);
  };
  const spaced = (callback: (...values: unknown[]) => void, ...values: unknown[]): unknown =>
    isNativePoll(callback, values.length) ? schedule(callback) : original(callback, ...values);
  // `util.promisify(setImmediate)` reads a symbol of the function.
  Object.defineProperties(spaced, {
    ...Object.getOwnPropertyDescriptors(original),
    [installed]: { value: true },
  });
  globalThis.setImmediate = spaced as typeof globalThis.setImmediate;
}
