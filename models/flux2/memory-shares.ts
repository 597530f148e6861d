/** Memory that a model's functions have to share. */

export interface MemoryBudget {
  /** Most bytes on the device at any time, for all functions that are open. */
  readonly deviceBytes: number;
  /** Most bytes of streamed weights in host memory. Default: all of them. */
  readonly hostBytes?: number;
}

export interface MemoryShare extends MemoryBudget {
  /** Gives it back, once. */
  readonly release: () => void;
}

/** Hands the budget out: a function has all that is left, or half of that where others will be open at the same time. */
export class MemoryShares {
  private takenBytes = 0;

  constructor(private readonly budget: MemoryBudget) {}

  take(isBeside: boolean): MemoryShare {
    const left = this.budget.deviceBytes - this.takenBytes;
    const deviceBytes = isBeside ? Math.floor(left / 2) : left;
    this.takenBytes += deviceBytes;
    let isTaken = true;
    const release = (): void => {
      if (isTaken) this.takenBytes -= deviceBytes;
      isTaken = false;
    };
    return { ...this.budget, deviceBytes, release };
  }
}
