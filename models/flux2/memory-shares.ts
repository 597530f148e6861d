/** Memory that a model's functions have to share. */
import type { PlannedMemory } from '../../runtime/memory/plan-memory.js';

export interface MemoryBudget {
  /** Most bytes on the device at any time, for all functions that are open. */
  readonly deviceBytes: number;
  /** Where the device turns out to have less, functions go on with less. */
  readonly isGuess?: boolean;
  /**
   * A guess that holds only where not all fits: functions whose weights are no more than it are put on the device whole, weights while
   * kernels compile, and do not share it out.
   */
  readonly triesWhole?: boolean;
  /** Most bytes of streamed weights in host memory. Default: all of them. */
  readonly hostBytes?: number;
  /** Told of every plan that is made, before anything is loaded for it. */
  readonly onPlan?: (functionName: string, planned: PlannedMemory) => void;
  /** Told of the bytes that a guess was lowered to. */
  readonly onShrink?: (deviceBytes: number) => void;
}

/** What a function has of it. */
export interface MemoryShare {
  /** Becomes less when a guess was too high. */
  readonly deviceBytes: number;
  readonly budget: MemoryBudget;
  /** For this function, and so much less for those that are opened later. */
  shrink(deviceBytes: number): void;
  /** Gives it back, once. */
  release(): void;
}

/** Hands the budget out: a function has all that is left, or half of that where others will be open at the same time. */
export class MemoryShares {
  private leftBytes: number;

  constructor(private readonly budget: MemoryBudget) {
    this.leftBytes = budget.deviceBytes;
  }

  /** Whether functions have to leave room for each other. */
  get isLimited(): boolean {
    return this.budget.triesWhole !== true && this.leftBytes < Infinity;
  }

  take(isBeside: boolean): MemoryShare {
    const { budget, isLimited } = this;
    const taken = isBeside && isLimited ? Math.floor(this.leftBytes / 2) : this.leftBytes;
    // Where functions do not leave room for each other there is nothing to count.
    if (isLimited) this.leftBytes -= taken;
    let deviceBytes = taken;
    let isTaken = true;
    return {
      budget,
      get deviceBytes() {
        return deviceBytes;
      },
      shrink: (bytes) => {
        deviceBytes = Math.min(deviceBytes, bytes);
        budget.onShrink?.(deviceBytes);
      },
      release: () => {
        if (isTaken) this.leftBytes = isLimited ? this.leftBytes + deviceBytes : Math.min(this.leftBytes, deviceBytes);
        isTaken = false;
      },
    };
  }
}
