const LONGEST_SHOWN = 120;

/**
 * A name from a file as errors show it: control characters escaped, and cut after 120 characters, because a broken
 * header can hold names of megabytes.
 */
export function quoteName(name: string): string {
  const cut = name.length > LONGEST_SHOWN;
  const escaped = JSON.stringify(cut ? name.slice(0, LONGEST_SHOWN) : name).slice(1, -1);
  return cut ? `${escaped}… (${name.length} characters)` : escaped;
}

/** `[2, 3]`; long shapes are cut after 8 dimensions. */
export function quoteShape(shape: readonly number[]): string {
  const shown = shape.slice(0, 8).join(', ');
  return shape.length > 8 ? `[${shown}, … ${shape.length} dimensions]` : `[${shown}]`;
}

/** The first `limit` items, and how many more there are: `a, b and 3 more`. */
export function listFirst(items: readonly string[], limit: number): string {
  const shown = items.slice(0, limit).join(', ');
  return items.length > limit ? `${shown} and ${items.length - limit} more` : shown;
}
