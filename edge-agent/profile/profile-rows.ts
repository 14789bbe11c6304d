// The rows that a profile runs: one row from the package's first golden, as the pipeline gives it to the graph, or one made
// up from the graph's signature (shared/serving/made-up-row.ts). A batch is that row repeated; what a run costs depends on the shape, seldom on the numbers.
import type { NamedTensor, TensorSpec } from '@tidegate/shared/tensor/tensor.js';

/** May rows share a run: every input and output has a dynamic first dimension. */
export function takesBatches(inputs: readonly TensorSpec[], outputs: readonly TensorSpec[]): boolean {
  return [...inputs, ...outputs].every(({ shape }) => shape[0] === -1);
}

/** The first row of what a golden gave the graph. */
export function firstRow(feeds: readonly NamedTensor[]): NamedTensor[] {
  return feeds.map((feed) => {
    const [rows = 1, ...rest] = feed.shape;
    if (feed.shape.length === 0 || rows <= 1 || feed.datatype === 'BYTES') return feed;
    return { ...feed, shape: [1, ...rest], data: feed.data.subarray(0, feed.data.byteLength / rows) };
  });
}

/** The row `batch` times along the first dimension. */
export function repeatRow(row: readonly NamedTensor[], batch: number): NamedTensor[] {
  if (batch === 1) return [...row];
  return row.map((feed) => {
    const [rows = 1, ...rest] = feed.shape;
    const size = feed.data.byteLength;
    const data = new Uint8Array(size * batch);
    for (let index = 0; index < batch; index += 1) data.set(feed.data, index * size);
    return { ...feed, shape: [rows * batch, ...rest], data };
  });
}
