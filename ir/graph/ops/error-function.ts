/**
 * erf(x) to double precision. Below 2.5 the series 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms are all
 * positive; above it 1 - erfc(x) with the continued fraction of erfc (Abramowitz and Stegun 7.1.6 and 7.1.14).
 */
export function erf(x: number): number {
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return x;
  // erfc(6) is below half an ulp of 1.
  if (magnitude >= 6) return Math.sign(x);
  if (magnitude < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  // 60 levels, from the innermost outwards; at 2.5 they leave an error below 1e-17.
  let fraction = magnitude;
  for (let level = 60; level > 0; level--) fraction = magnitude + level / 2 / fraction;
  const complement = Math.exp(-magnitude * magnitude) / (Math.sqrt(Math.PI) * fraction);
  return Math.sign(x) * (1 - complement);
}
