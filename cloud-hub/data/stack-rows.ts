// Rows -> one batch: each feed's rows [1, ...] one after another as [N, ...]. Pure.
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { DataError } from './data-error.js';

/**
 * `ids` name the samples for the errors. Throws DataError `invalid` (field = the feed) for a row that isn't one row, or of another
 * datatype or shape than the first.
 */
export function stackRows(rows: readonly (readonly NamedTensor[])[], ids: readonly string[]): NamedTensor[] {
  const [first = []] = rows;
  return first.map((like, feed) => {
    if (like.shape[0] !== 1) {
      throw unlike(ids[0], like.name, `is [${like.shape.join(', ')}]; a row of a batch is [1, ...]`);
    }
    const size = like.data.byteLength;
    const data = new Uint8Array(size * rows.length);
    for (const [at, row] of rows.entries()) {
      const one = row[feed];
      if (one === undefined || !sameType(one, like)) {
        const shape = one === undefined ? 'missing' : `${one.datatype} [${one.shape.join(', ')}]`;
        const expected = `${like.datatype} [${like.shape.join(', ')}]`;
        throw unlike(ids[at], like.name, `is ${shape}, but the batch's first sample has ${expected}`);
      }
      data.set(one.data, at * size);
    }
    return { name: like.name, datatype: like.datatype, shape: [rows.length, ...like.shape.slice(1)], data };
  });
}

function sameType(a: NamedTensor, b: NamedTensor): boolean {
  const shape = a.shape.length === b.shape.length && a.shape.every((size, at) => size === b.shape[at]);
  return shape && a.datatype === b.datatype && a.data.byteLength === b.data.byteLength;
}

function unlike(id: string | undefined, feed: string, reason: string): DataError {
  return new DataError('invalid', `sample ${id}: ${feed} ${reason}; samples of one batch need equal shapes`, {
    field: feed,
  });
}
