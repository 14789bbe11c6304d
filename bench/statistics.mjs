// Rounds of several contestants, interleaved, so that whatever else the machine does hits all of them; ratios within a round.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** `contestants`: name -> async () => measurement with `perSecond`. Answers name -> measurements, one for each round. */
export async function interleave(contestants, rounds, onRound) {
  const measured = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of Object.entries(contestants)) measured[name].push(await measure());
    onRound?.(round + 1);
  }
  return measured;
}

/** perSecond of `ours` over `theirs`, round by round. */
export function ratio(ours, theirs) {
  const ratios = ours.map(({ perSecond }, i) => perSecond / theirs[i].perSecond);
  return { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
}
