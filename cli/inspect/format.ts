/** Numbers and tables as people read them. */

/** `512 B`, `1.5 KiB`, `60.0 GiB`. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
}

/** `12.3 GFLOP`. */
export function formatFlop(flop: number): string {
  return scaled(flop, 1000, ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP']);
}

/** `32.2 G`, for counts of parameters. */
export function formatCount(count: number): string {
  return scaled(count, 1000, ['', 'k', 'M', 'G', 'T']).trim();
}

/** `1,234`. */
export function formatInteger(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Three significant digits, without exponents: `1530`, `15.3`, `0.153`. */
export function formatNumber(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return `${value}`;
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(6, Math.max(0, 2 - magnitude)));
}

/** `480 ns`, `12.3 µs`, `4.56 ms`, `1.23 s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${formatNumber(milliseconds / 1000)} s`;
  if (milliseconds >= 1) return `${formatNumber(milliseconds)} ms`;
  if (milliseconds >= 1e-3) return `${formatNumber(milliseconds * 1e3)} µs`;
  return `${formatNumber(milliseconds * 1e6)} ns`;
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let unit = 0;
  let rest = value;
  while (rest >= base && unit < units.length - 1) {
    rest /= base;
    unit++;
  }
  const text = unit === 0 ? `${Math.round(rest)}` : rest >= 100 ? rest.toFixed(0) : rest.toFixed(rest >= 10 ? 1 : 2);
  return `${text} ${units[unit]}`;
}

export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
}

/** Lines of a table with aligned columns, indented; the last left-aligned column is not padded. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  indent = '  ',
): readonly string[] {
  const widths = columns.map(({ title }, at) => Math.max(title.length, ...rows.map((row) => (row[at] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    `${indent}${cells
      .map((cell, at) => {
        const width = widths[at] ?? 0;
        return columns[at]?.align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')}`.trimEnd();
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}
