import { Flux2cError } from '../ir/diagnostics.js';
import type { NetworkName } from '../models/flux2/networks.js';

/** The functions that `--component` names, all without it. F2C618 for one that there is not. */
export function chooseFunctions(
  present: readonly NetworkName[],
  wanted: readonly string[] | undefined,
): readonly NetworkName[] {
  if (wanted === undefined) return present;
  const unknown = wanted.find((name) => !present.some((known) => known === name));
  if (unknown === undefined) return present.filter((name) => wanted.includes(name));
  throw new Flux2cError('F2C618', `there is no function ${unknown}`, {
    expected: present.join(', '),
    found: unknown,
  });
}
