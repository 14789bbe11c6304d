// Rounds of several contestants, interleaved, so that whatever else the machine does hits all of them; ratios within a round.
// Pure but for the waiting.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** `{ median, low, high }` of one value a round, and the values. */
export function spread(values) {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values), values };
}

/** The value under which `share` of the sorted ones lie. */
export function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** `contestants`: name -> async () => measurement. Answers name -> measurements, one for each round. */
export async function interleave(contestants, rounds, onRound) {
  const measured = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of Object.entries(contestants)) measured[name].push(await measure());
    onRound?.(round + 1);
  }
  return measured;
}

/** Spread of ours over theirs, round by round; `of` picks what is compared in a measurement. */
export function ratio(ours, theirs, of = ({ perSecond }) => perSecond) {
  return spread(ours.map((one, i) => of(one) / of(theirs[i])));
}

/** Spreads of what `pick` names in the rounds of a contestant, those left out that it did not measure: label -> spread. */
export function figures(list, pick) {
  return Object.fromEntries(
    Object.entries(pick)
      .map(([label, of]) => [label, list.map(of)])
      .filter(([, values]) => values.every((value) => Number.isFinite(value)))
      .map(([label, values]) => [label, spread(values)]),
  );
}
