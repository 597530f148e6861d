import { Flux2cError } from '../../ir/diagnostics.js';
import type { UploadBlock, UploadLane } from '../device.js';

/** Host memory for weights: pinned where the device copies from it directly. Counts what there is of it. */
export class HostBlocks {
  bytes = 0;
  peakBytes = 0;

  constructor(private readonly lane: UploadLane | undefined) {}

  /** Throws F2C502 or F2C503 when there is no room. */
  allocate(byteLength: number): UploadBlock {
    const block = this.lane?.allocate(byteLength) ?? allocateArray(byteLength);
    this.bytes += byteLength;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
    return block;
  }

  /** Gives a block back. No copy from it may be under way. */
  free(block: UploadBlock): void {
    this.bytes -= block.bytes.byteLength;
    block.destroy();
  }
}

function allocateArray(byteLength: number): UploadBlock {
  try {
    return { bytes: new Uint8Array(byteLength), destroy: () => undefined };
  } catch (cause) {
    throw new Flux2cError('F2C503', 'there is no host memory for weights that are streamed', {
      expected: `room for ${byteLength} bytes`,
      hint: 'Give a smaller budget of host memory.',
      cause,
    });
  }
}
