/** Manifests of artifacts, changed and with a checksum that is right again. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Json = Record<string, unknown>;

/** Gives the fields of an artifact's manifest, in order, to `edit`, and writes what it returns in their place. */
export function rewriteManifest(artifact: string, edit: (fields: Json) => Json): void {
  const file = join(artifact, 'manifest.json');
  const { checksum: _, ...fields } = JSON.parse(readFileSync(file, 'utf8')) as Json;
  const rest = `${JSON.stringify(edit(fields)).slice(1)}\n`;
  const sum = createHash('sha256').update(rest).digest('hex');
  writeFileSync(file, `{\n"checksum":"${sum}",\n${rest}`);
}

/** As versions up to 3 had it: the target of the only build, and its plans with the functions. */
export function withoutBuilds({ builds, functions, ...fields }: Json): Json {
  const [build, ...others] = Object.values(builds as Record<string, { target: Json; plans: Json }>);
  if (build === undefined || others.length > 0) throw new Error('an old artifact has one build');
  const withPlans = Object.entries(functions as Record<string, object>).map(([name, fn]) => {
    return [name, { ...fn, plan: build.plans[name] }];
  });
  return { ...fields, target: build.target, functions: Object.fromEntries(withPlans) as Json };
}
