/** The values of e4m3 by the definition of the format, and numbers whose rounding is worth a look. */

/** Value of each of the 256 codes: (-1)^s 2^(e-7) (1 + m/8), without the 1 and with e = 1 where e is 0; all bits set is NaN. */
export const f8e4m3Values: readonly number[] = Array.from({ length: 256 }, (_, code) => {
  const [sign, exponent, fraction] = [code >> 7, (code >> 3) & 15, code & 7];
  if (exponent === 15 && fraction === 7) return NaN;
  const magnitude = exponent === 0 ? 2 ** -6 * (fraction / 8) : 2 ** (exponent - 7) * (1 + fraction / 8);
  return sign === 1 ? -magnitude : magnitude;
});

/** The code whose value is nearest, the even one of two; found by looking at all. */
export function nearestF8e4m3(value: number): number {
  if (Number.isNaN(value)) return 0x7f;
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  const clamped = Math.min(Math.abs(value), 448);
  let best = 0;
  for (let code = 1; code < 0x7f; code++) {
    const [distance, least] = [code, best].map((at) => Math.abs((f8e4m3Values[at] as number) - clamped)) as [
      number,
      number,
    ];
    if (distance < least || (distance === least && code % 2 === 0)) best = code;
  }
  return sign | best;
}

const finite = f8e4m3Values.slice(0, 0x7f);
const middles = finite.slice(1).map((value, at) => (value + (finite[at] as number)) / 2);
const edges = [0, 1e-40, 2 ** -149, 449, 463.9, 464, 464.1, 479, 480, 512, 1e6, 3.4e38, Infinity];
const magnitudes = [
  ...finite,
  ...edges,
  ...middles.flatMap((tie) => [tie, tie * (1 + 2 ** -20), tie * (1 - 2 ** -20)]),
];

/** f32 numbers, 2048 of them: every value, every tie and its neighbours, saturation, NaN; the rest zeros. */
export const f8e4m3Inputs = new Float32Array(2048);
f8e4m3Inputs.set([...magnitudes, ...magnitudes.map((value) => -value), NaN]);
