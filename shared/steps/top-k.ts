// The k best classes of each row, best first. Input FP32 [N, C]; outputs label BYTES [N, k], score FP32 [N, k] and index
// INT64 [N, k]. Of equal scores the first class comes first; a NaN comes last.
import { z } from 'zod';
import { encodeBytes } from '../tensor/bytes.js';
import { bytesOf, float32Of, type Tensor } from '../tensor/tensor.js';
import { packagePathSchema } from '../wire/manifest.js';
import { readLines } from './read-lines.js';
import { descending } from './scores.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

const STEP = 'top-k';
const encoder = new TextEncoder();

const parameters = z.strictObject({
  k: z.int().min(1).max(1000),
  /** The classes' names: a list, or a file of the package with one a line. Default: their numbers. */
  labels: z.union([packagePathSchema, z.array(z.string().min(1).max(256)).min(1).max(100_000)]).optional(),
});

export const topK: StepDefinition<z.infer<typeof parameters>> = {
  name: STEP,
  parameters,
  prepare: async ({ k, labels: given }, assets) => {
    const labels = typeof given === 'string' ? await readLines(STEP, 'labels', given, assets) : given;
    const classes = labels?.length ?? -1;
    if (labels !== undefined && k > classes) throw new StepError(STEP, `with.k: is more than the ${classes} classes`);
    return {
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectType(STEP, 'FP32', [-1, classes], input);
        const [rows = -1, width = -1] = input.shape;
        if (width >= 0 && k > width) throw new StepError(STEP, `with.k: is more than the ${width} classes`);
        return (['BYTES', 'FP32', 'INT64'] as const).map((datatype) => ({ datatype, shape: [rows, k] }));
      },
      run: async (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectTensor(STEP, 'FP32', [-1, classes], input);
        return bestOf(input, k, labels);
      },
    };
  },
};

function bestOf(input: Tensor, k: number, labels: readonly string[] | undefined): Tensor[] {
  const [rows = 0, classes = 0] = input.shape;
  if (k > classes) throw new StepError(STEP, `with.k: is more than the ${classes} classes`);
  const all = float32Of(input);
  const scores = new Float32Array(rows * k);
  const indices = new BigInt64Array(rows * k);
  const names: Uint8Array[] = [];
  for (let row = 0; row < rows; row += 1) {
    const one = all.subarray(row * classes, (row + 1) * classes);
    for (const [at, index] of descending(one).slice(0, k).entries()) {
      scores[row * k + at] = one[index]!;
      indices[row * k + at] = BigInt(index);
      names.push(encoder.encode(labels?.[index] ?? String(index)));
    }
  }
  const shape = [rows, k];
  return [
    { datatype: 'BYTES', shape, data: encodeBytes(names) },
    { datatype: 'FP32', shape, data: bytesOf(scores) },
    { datatype: 'INT64', shape, data: bytesOf(indices) },
  ];
}
