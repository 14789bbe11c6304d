// Which items of a list run through a graph together. Pure. Items of equal shapes share a run; where the package names a
// dimension to pad, items that differ only there do too: sorted by it, so that little is padded, and padded to the largest of
// their run (PaddleOCR's way with lines of text).
import { ELEMENT_SIZE_BYTES } from '../tensor/datatype.js';
import { padAxis as lengthened } from '../tensor/pad-axis.js';
import { bytesOf, elementCount, type Tensor } from '../tensor/tensor.js';
import type { GraphNode } from '../wire/model-yaml.js';
import { ServingError } from './serving-error.js';

type BatchRule = NonNullable<GraphNode['batch']>;

interface ItemBatch {
  /** Positions in the list, in the order of the rows. */
  readonly items: readonly number[];
  /** In the order of the graph's inputs; dimension 0 counts the rows of all items. */
  readonly feeds: readonly Tensor[];
}

/** `items`: each item's feeds, all in one order. */
export function planBatches(items: readonly (readonly Tensor[])[], rule: BatchRule | undefined): ItemBatch[] {
  if (rule === undefined || rule.maxRows === 1) return items.map((feeds, at) => ({ items: [at], feeds }));
  const groups = new Map<string, number[]>();
  for (const [at, feeds] of items.entries()) {
    const key = JSON.stringify(feeds.map((feed) => alike(feed, rule.padAxis)));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [at]);
    else group.push(at);
  }
  return [...groups.values()].flatMap((group) => {
    const sorted = group.sort((a, b) => lengthOf(items[a]!, rule) - lengthOf(items[b]!, rule) || a - b);
    const batches: ItemBatch[] = [];
    for (let start = 0; start < sorted.length; start += rule.maxRows) {
      const part = sorted.slice(start, start + rule.maxRows);
      batches.push({
        items: part,
        feeds: stack(
          part.map((at) => items[at]!),
          rule,
        ),
      });
    }
    return batches;
  });
}

/** What items must have in common. */
function alike({ datatype, shape }: Tensor, padAxis: number | undefined): unknown {
  return [datatype, shape.map((size, axis) => (axis === padAxis ? -1 : size))];
}

function lengthOf(feeds: readonly Tensor[], { padAxis }: BatchRule): number {
  if (padAxis === undefined) return 0;
  return Math.max(0, ...feeds.map(({ shape }) => shape[padAxis] ?? 0));
}

function stack(items: readonly (readonly Tensor[])[], { padAxis, padValue }: BatchRule): Tensor[] {
  return (items[0] ?? []).map((first, feed) => {
    const column = items.map((feeds) => feeds[feed]!);
    const longest = padAxis === undefined ? undefined : Math.max(...column.map(({ shape }) => shape[padAxis] ?? 0));
    const padded =
      padAxis === undefined || longest === undefined || first.shape.length <= padAxis
        ? column
        : column.map((one) => lengthened(one, padAxis, longest, elementOf(one.datatype, padValue)));
    const data = new Uint8Array(padded.reduce((sum, one) => sum + one.data.byteLength, 0));
    let [at, rows] = [0, 0];
    for (const one of padded) {
      data.set(one.data, at);
      at += one.data.byteLength;
      rows += one.shape[0] ?? 1;
    }
    return { datatype: first.datatype, shape: [rows, ...padded[0]!.shape.slice(1)], data };
  });
}

/** FP32 takes any value, other datatypes 0 only (checked when the package is read). */
function elementOf(datatype: Tensor['datatype'], value: number): Uint8Array {
  return datatype === 'FP32' ? bytesOf(Float32Array.of(value)) : new Uint8Array(ELEMENT_SIZE_BYTES[datatype]);
}

/**
 * One output of a batch -> each item's part, by the rows that it fed. Throws ServingError `failed` where the graph gives
 * other rows than it was fed.
 */
export function splitBatch(title: string, output: Tensor, rows: readonly number[]): Tensor[] {
  const total = rows.reduce((sum, count) => sum + count, 0);
  if (output.datatype === 'BYTES' || output.shape[0] !== total) {
    const given = `${output.datatype} [${output.shape.join(', ')}]`;
    throw new ServingError('failed', `${title} was fed ${total} rows and gave ${given}`);
  }
  const size = (elementCount(output.shape.slice(1)) ?? 0) * ELEMENT_SIZE_BYTES[output.datatype];
  let at = 0;
  return rows.map((count) => {
    const data = output.data.subarray(at * size, (at + count) * size);
    at += count;
    return { datatype: output.datatype, shape: [count, ...output.shape.slice(1)], data };
  });
}
