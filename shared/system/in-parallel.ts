// The same work on many things, a few at a time. Settles only when nothing of it runs any more, so that the caller may take down what
// the work used.

/**
 * The results in the items' order. The first failure lets no further item begin; what is under way ends first, then it rejects with that
 * failure.
 */
export async function inParallel<T, R>(
  items: readonly T[],
  countMax: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    try {
      for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at]!);
    } catch (cause) {
      next = items.length;
      throw cause;
    }
  };
  const workers = Array.from({ length: Math.min(countMax, items.length) }, worker);
  await Promise.allSettled(workers);
  await Promise.all(workers);
  return results;
}
