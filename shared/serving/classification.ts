// Triton's classification extension (extension_classification.md): an output's N greatest elements as the strings
// `score:index[:label]`, greatest first. With a batch dimension each row is classified by itself. Of equal scores the
// smaller index comes first; NaN is smaller than any number.
import { descending } from '../steps/scores.js';
import { encodeBytes } from '../tensor/bytes.js';
import { elementsOf } from '../tensor/elements.js';
import type { NamedTensor } from '../tensor/tensor.js';
import { ServingError } from './serving-error.js';

const SCORED = new Set(['UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64', 'FP32', 'FP64']);

interface ClassifyOptions {
  /** At least 1; an output with fewer elements gives what it has. */
  readonly classes: number;
  /** The first dimension is of rows. */
  readonly batched: boolean;
  readonly labels: readonly string[] | undefined;
  /** For the error: `outputs[0]`. */
  readonly field: string;
}

/** BYTES of shape [N], or [rows, N] where batched. Throws ServingError `invalid-argument` for a datatype without scores. */
export function classify(output: NamedTensor, { classes, batched, labels, field }: ClassifyOptions): NamedTensor {
  const { name, datatype, shape, data } = output;
  if (datatype === 'BYTES' || !SCORED.has(datatype)) {
    const text = `${field}.parameters.classification: the output ${JSON.stringify(name)} is ${datatype}, which has no scores`;
    throw new ServingError('invalid-argument', text, { field: `${field}.parameters.classification` });
  }
  const scores = elementsOf(datatype, data);
  const rows = batched ? (shape[0] ?? 1) : 1;
  const perRow = rows === 0 ? 0 : scores.length / rows;
  const count = Math.min(classes, perRow);
  const fraction = datatype === 'FP32' || datatype === 'FP64';
  const elements: Uint8Array[] = [];
  for (let row = 0; row < rows; row++) {
    const one = scores.subarray(row * perRow, (row + 1) * perRow);
    for (const index of descending(one).slice(0, count)) {
      const score = one[index] as number | bigint;
      const label = labels?.[index];
      const text = `${fraction ? scoreText(score as number) : score}:${index}${label === undefined ? '' : `:${label}`}`;
      elements.push(Buffer.from(text));
    }
  }
  return { name, datatype: 'BYTES', shape: batched ? [rows, count] : [count], data: encodeBytes(elements) };
}

/** As C's `%f`, which clients parse. */
function scoreText(score: number): string {
  if (Number.isNaN(score)) return 'nan';
  if (!Number.isFinite(score)) return score > 0 ? 'inf' : '-inf';
  return Math.abs(score) < 1e21 ? score.toFixed(6) : `${BigInt(score)}.000000`;
}
