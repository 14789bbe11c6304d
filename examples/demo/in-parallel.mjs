// Work on many things, a few at once; ends with the last, or with the first that fails.

const AT_ONCE = 6;

/** `work` gets each item and its index. */
export async function inParallel(items, work) {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next], next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
