/** Of 32 bits, in one multiprocessor: CUDA C++ Programming Guide, table of compute capabilities. */
export const registersOfMultiprocessor = 65536;

/** Invocations get registers in steps of so many: PTX ISA, `setmaxnreg`. */
export const registerStep = 8;

/**
 * Registers that each invocation begins with in a workgroup that has a multiprocessor to itself. All together they are what roles can
 * share out among themselves.
 */
export function registersAtLaunch(invocations: number): number {
  return Math.floor(registersOfMultiprocessor / invocations / registerStep) * registerStep;
}
