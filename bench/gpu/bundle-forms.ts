import type { Target } from '../../backends/target.js';
import type { CompiledModule } from '../../passes/compiled.js';
import type { ProgramForm } from './bundle.js';
import type { BundleCase } from './bundle-cases.js';
import type { ProgramDescription } from './bundle-program.js';

/** A case as the bundle has it: once, or in several forms whose kernels are measured beside each other. */
export interface CompiledForm {
  readonly name: string;
  readonly compiled: CompiledModule;
  readonly description: ProgramDescription;
}

/**
 * A case compiled for a target. Where the target has tensor copies and products are scheduled otherwise without them, the case is
 * compiled a second time as if it had none; equal kernels of both have equal names.
 */
export function compileForms(one: BundleCase, target: Target): readonly CompiledForm[] {
  const { name, description } = one;
  const { tensorCopies, ...plain } = target;
  const main: ProgramForm = tensorCopies === true ? 'tensor copies, walking tiles' : 'cp.async ring';
  const compiled = one.compile(target);
  const first = { name, compiled, description: { ...description, form: main } };
  if (tensorCopies !== true || !one.isCompared) return [first];
  const other = one.compile(plain);
  if ([...other.kernels.keys()].every((kernel) => compiled.kernels.has(kernel))) return [first];
  const form: ProgramForm = 'cp.async ring';
  return [first, { name: `${name}, ${form}`, compiled: other, description: { ...description, form, of: name } }];
}
