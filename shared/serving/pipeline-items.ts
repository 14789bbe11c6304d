// Splitting a request into its items along dimension 0, and joining the answers. N pictures of different sizes can't be
// one tensor, so each goes through steps and graph on its own; the scheduler behind the graphs joins equal shapes again.
import { decodeBytes, encodeBytes } from '../tensor/bytes.js';
import { ELEMENT_SIZE_BYTES } from '../tensor/datatype.js';
import { elementCount, type NamedTensor, type Tensor } from '../tensor/tensor.js';
import { ServingError } from './serving-error.js';

export const LIMIT_ITEMS = 1024;

/** For each item its part of every input, as tensors whose first dimension is 1. Throws ServingError `invalid-argument`. */
export function splitItems(inputs: readonly NamedTensor[]): NamedTensor[][] {
  const [first] = inputs;
  const count = first?.shape[0] ?? 0;
  for (const input of inputs) {
    if (input.shape[0] === count) continue;
    throw invalid(
      `input '${input.name}' has ${input.shape[0] ?? 'no'} items, but '${first?.name}' has ${count}`,
      input.name,
    );
  }
  if (count === 0) throw invalid(`input '${first?.name ?? ''}' has no items`, first?.name ?? 'inputs');
  if (count > LIMIT_ITEMS) {
    throw new ServingError(
      'too-large',
      `input '${first?.name}' has ${count} items; at most ${LIMIT_ITEMS} are allowed`,
      {
        field: first?.name ?? 'inputs',
      },
    );
  }
  const parts = inputs.map((input) => splitOne(input, count));
  return Array.from({ length: count }, (_, at) =>
    inputs.map((input, index) => ({
      ...input,
      shape: [1, ...input.shape.slice(1)],
      data: parts[index]?.[at] ?? new Uint8Array(),
    })),
  );
}

function splitOne(input: NamedTensor, count: number): Uint8Array[] {
  const perItem = elementCount(input.shape.slice(1));
  if (perItem === undefined) throw invalid(`input '${input.name}' has an impossible shape`, input.name);
  if (input.datatype === 'BYTES') {
    const elements = decodeBytes(input.data);
    if (elements?.length !== count * perItem)
      throw invalid(`input '${input.name}' has not as many elements as its shape`, input.name);
    return Array.from({ length: count }, (_, at) => encodeBytes(elements.slice(at * perItem, (at + 1) * perItem)));
  }
  const size = perItem * ELEMENT_SIZE_BYTES[input.datatype];
  if (input.data.byteLength !== count * size)
    throw invalid(`input '${input.name}' has not as many bytes as its shape`, input.name);
  return Array.from({ length: count }, (_, at) => input.data.subarray(at * size, (at + 1) * size));
}

/** The items' answers of one output, along dimension 0. Throws ServingError where their other dimensions differ. */
export function joinItems(name: string, items: readonly Tensor[]): NamedTensor {
  const [first] = items;
  if (first === undefined) throw new Error(`no items of ${name} to join`);
  if (items.length === 1) return { ...first, name };
  const tail = first.shape.slice(1);
  let rows = 0;
  for (const [at, { datatype, shape }] of items.entries()) {
    rows += shape[0] ?? 1;
    if (
      datatype === first.datatype &&
      shape.length === first.shape.length &&
      shape.slice(1).every((d, i) => d === tail[i])
    )
      continue;
    const message = `output '${name}' is [${first.shape.join(', ')}] for item 0 and [${shape.join(', ')}] for item ${at}, so it can't be one tensor; ask for one item at a time`;
    throw invalid(message, name);
  }
  if (first.shape.length === 0)
    throw invalid(`output '${name}' is a scalar of each item; ask for one item at a time`, name);
  const data = new Uint8Array(items.reduce((sum, item) => sum + item.data.byteLength, 0));
  let at = 0;
  for (const item of items) {
    data.set(item.data, at);
    at += item.data.byteLength;
  }
  return { name, datatype: first.datatype, shape: [rows, ...tail], data };
}

function invalid(message: string, field: string): ServingError {
  return new ServingError('invalid-argument', message, { field });
}
