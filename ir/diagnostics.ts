/**
 * Every error a user can cause is a `Flux2cError`: a stable code, where it happened, what was expected, what was
 * found and what to do next. The command line prints `format()`; programs read the fields.
 *
 * Code ranges: F2C1xx graph IR, F2C2xx kernel IR, F2C3xx passes and plans, F2C4xx checkpoints and other files,
 * F2C5xx devices and runtime, F2C6xx models and pipelines, F2C7xx command line.
 */
export interface DiagnosticDetail {
  /** File, tensor, op or option the problem is in, outermost first: `["model.safetensors", "img_in.weight"]`. */
  readonly where?: readonly string[];
  readonly expected?: string;
  readonly found?: string;
  /** What the user can do next, as a full sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export type DiagnosticCode = `F2C${number}`;

export class Flux2cError extends Error {
  readonly code: DiagnosticCode;
  readonly detail: DiagnosticDetail;

  constructor(code: DiagnosticCode, message: string, detail: DiagnosticDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'Flux2cError';
    this.code = code;
    this.detail = detail;
  }

  /** Several lines for people, without a stack trace. */
  format(): string {
    const lines = [`error ${this.code}: ${this.message}`];
    const { where, expected, found, hint } = this.detail;
    if (where !== undefined && where.length > 0) lines.push(`  in ${where.join(' › ')}`);
    if (expected !== undefined) lines.push(`  expected ${expected}`);
    if (found !== undefined) lines.push(`  found    ${found}`);
    if (hint !== undefined) lines.push(`  ${hint}`);
    return lines.join('\n');
  }
}

/** Reached only when a switch that the type checker holds for exhaustive is not. */
export function unreachable(value: never, what: string): never {
  throw new Error(`internal: ${what} ${JSON.stringify(value)} is not handled`);
}
