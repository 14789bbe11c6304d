// Rows of tensors put together anew, along dimension 0: some of one, or some of several, of any datatype.
import { decodeBytes, encodeBytes } from './bytes.js';
import { ELEMENT_SIZE_BYTES } from './datatype.js';
import { elementCount, type Tensor } from './tensor.js';

interface Row {
  readonly of: Tensor;
  readonly at: number;
}

/**
 * `count` rows, each the one that `rowAt` names, which is of `like`'s datatype and shape behind dimension 0; zeros (BYTES: nothing) where it
 * names none.
 */
export function takeRows(like: Tensor, count: number, rowAt: (at: number) => Row | undefined): Tensor {
  const tail = like.shape.slice(1);
  const perRow = elementCount(tail) ?? 0;
  const shape = [count, ...tail];
  if (like.datatype === 'BYTES') {
    const decoded = new Map<Tensor, readonly Uint8Array[]>();
    const elements: Uint8Array[] = [];
    for (let to = 0; to < count; to += 1) {
      const row = rowAt(to);
      const known = row && (decoded.get(row.of) ?? decodeBytes(row.of.data) ?? []);
      if (row !== undefined && known !== undefined) decoded.set(row.of, known);
      for (let i = 0; i < perRow; i += 1) elements.push(known?.[(row?.at ?? 0) * perRow + i] ?? new Uint8Array());
    }
    return { datatype: 'BYTES', shape, data: encodeBytes(elements) };
  }
  const size = perRow * ELEMENT_SIZE_BYTES[like.datatype];
  const data = new Uint8Array(count * size);
  for (let to = 0; to < count; to += 1) {
    const row = rowAt(to);
    if (row !== undefined) data.set(row.of.data.subarray(row.at * size, (row.at + 1) * size), to * size);
  }
  return { datatype: like.datatype, shape, data };
}
