// Scores of classes -> the best class of each row. Input FP32 [N, C]; outputs label BYTES [N], confidence FP32 [N] and
// probabilities FP32 [N, C]. A row with a NaN has no best class: its confidence is 0, so that the hub is asked.
import { z } from 'zod';
import { encodeBytes } from '../tensor/bytes.js';
import { bytesOf, float32Of, type Tensor } from '../tensor/tensor.js';
import { packagePathSchema } from '../wire/manifest.js';
import { readLines } from './read-lines.js';
import { softmaxRow } from './scores.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput, typeName } from './step-types.js';

const STEP = 'classify';
const encoder = new TextEncoder();

const parameters = z.strictObject({
  /** The classes' names: a list, or a file of the package with one a line. Default: their numbers. */
  labels: z.union([packagePathSchema, z.array(z.string().min(1).max(256)).min(1).max(100_000)]).optional(),
  /** `softmax` for logits; `none` where the graph already ends in probabilities. */
  activation: z.enum(['softmax', 'none']).default('softmax'),
});
type ClassifyParameters = z.infer<typeof parameters>;

export const classify: StepDefinition<ClassifyParameters> = {
  name: STEP,
  parameters,
  prepare: async (settings, assets) => {
    const given = settings.labels;
    const labels = typeof given === 'string' ? await readLines(STEP, 'labels', given, assets) : given;
    const classes = labels?.length ?? -1;
    return {
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        if (input.shape.length === 2 && classes >= 0 && ![-1, classes].includes(input.shape[1] ?? -1)) {
          throw new StepError(STEP, `with.labels: names ${classes} classes, but the input is ${typeName(input)}`);
        }
        expectType(STEP, 'FP32', [-1, classes], input);
        const [rows = -1, width = -1] = input.shape;
        return [
          { datatype: 'BYTES', shape: [rows] },
          { datatype: 'FP32', shape: [rows] },
          { datatype: 'FP32', shape: [rows, width] },
        ];
      },
      run: async (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectTensor(STEP, 'FP32', [-1, classes], input);
        return classifyRows(input, labels, settings.activation);
      },
    };
  },
};

function classifyRows(
  input: Tensor,
  labels: readonly string[] | undefined,
  activation: ClassifyParameters['activation'],
): Tensor[] {
  const [rows = 0, classes = 0] = input.shape;
  if (classes === 0) throw new StepError(STEP, 'is given rows without classes');
  const scores = float32Of(input);
  const probabilities = new Float32Array(rows * classes);
  const confidences = new Float32Array(rows);
  const names: Uint8Array[] = [];
  for (let row = 0; row < rows; row += 1) {
    const one = scores.subarray(row * classes, (row + 1) * classes);
    const values = probabilities.subarray(row * classes, (row + 1) * classes);
    if (activation === 'softmax') softmaxRow(one, values);
    else values.set(one);
    const best = largest(values);
    confidences[row] = best === undefined ? 0 : (values[best] ?? 0);
    names.push(encoder.encode(labels?.[best ?? 0] ?? String(best ?? 0)));
  }
  return [
    { datatype: 'BYTES', shape: [rows], data: encodeBytes(names) },
    { datatype: 'FP32', shape: [rows], data: bytesOf(confidences) },
    { datatype: 'FP32', shape: [rows, classes], data: bytesOf(probabilities) },
  ];
}

/** The first of the largest; undefined where a NaN is among them. */
function largest(values: Float32Array): number | undefined {
  let best = 0;
  for (let i = 0; i < values.length; i += 1) {
    if (Number.isNaN(values[i])) return undefined;
    if (values[i]! > values[best]!) best = i;
  }
  return best;
}
