import type { FailureLog } from './webgpu-failures.js';

/**
 * Commands in the order in which they are asked for, gathered in one command buffer until something needs them to be on their
 * way: a step of a loop, with copies between its launches, is one command buffer and one submission.
 */
export class CommandQueue {
  private open: GPUCommandEncoder | undefined;
  /** What the open command buffer is for, for error messages. */
  private readonly parts: string[] = [];

  constructor(
    private readonly device: GPUDevice,
    private readonly failures: FailureLog,
  ) {}

  /** `what` names the commands in errors, as in "the device refused the ...". */
  encode(what: string, commands: (encoder: GPUCommandEncoder) => void): void {
    this.open ??= this.device.createCommandEncoder({ label: what });
    this.parts.push(what);
    commands(this.open);
  }

  /** Hands everything encoded so far to the device. Errors in it reject the next `finish` or `read`. */
  submit(): void {
    const encoder = this.open;
    if (encoder === undefined) return;
    this.open = undefined;
    const what = this.parts.splice(0).join(', the ');
    this.failures.refuse(what, () => this.device.queue.submit([encoder.finish()]));
  }
}
