// What several steps do with one row of scores.

/** Writes the probabilities of `scores` into `out`: in double precision, from the largest score down, so that it never overflows. */
export function softmaxRow(scores: Float32Array, out: Float32Array): void {
  let most = -Infinity;
  for (let i = 0; i < scores.length; i += 1) most = Math.max(most, scores[i]!);
  const powers = new Float64Array(scores.length);
  let sum = 0;
  for (let i = 0; i < scores.length; i += 1) {
    powers[i] = Math.exp(scores[i]! - most);
    sum += powers[i]!;
  }
  for (let i = 0; i < scores.length; i += 1) out[i] = powers[i]! / sum;
}

/** Positions from the largest score to the smallest; equal ones keep their order, a NaN comes last. */
export function descending(scores: ArrayLike<number | bigint>): number[] {
  return Array.from({ length: scores.length }, (_, at) => at).sort((a, b) => {
    const [left, right] = [scores[a]!, scores[b]!];
    if (left === right) return a - b;
    if (Number.isNaN(left)) return Number.isNaN(right) ? a - b : 1;
    return Number.isNaN(right) || left > right ? -1 : 1;
  });
}
