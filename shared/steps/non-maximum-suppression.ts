// Greedy non-maximum suppression: from the best box down, a box is kept where it overlaps no kept one by more than `overlap`
// (intersection over union). Inputs boxes FP32 [N, 4] (x1, y1, x2, y2) and scores FP32 [N]; outputs boxes FP32 [K, 4], scores
// FP32 [K] and index INT64 [K], best first. Classes are not told apart: give each class its own node, or shifted boxes.
import { z } from 'zod';
import { bytesOf, float32Of, type Tensor } from '../tensor/tensor.js';
import { descending } from './scores.js';
import type { StepDefinition } from './step.js';
import { expectTensor, expectType, twoInputs } from './step-types.js';

const STEP = 'non-maximum-suppression';
const INPUTS = 'boxes, scores';

const parameters = z.strictObject({
  overlap: z.number().min(0).max(1).default(0.45),
  least: z.number().default(0.25),
  /** Most boxes that are kept; so many times the boxes given is the work. */
  maxBoxes: z.int().min(1).max(1000).default(300),
});
type SuppressionParameters = z.infer<typeof parameters>;

export const nonMaximumSuppression: StepDefinition<SuppressionParameters> = {
  name: STEP,
  parameters,
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const [boxes, scores] = twoInputs(STEP, INPUTS, inputs);
        expectType(STEP, 'FP32', [-1, 4], boxes);
        expectType(STEP, 'FP32', [boxes.shape[0] ?? -1], scores);
        return [
          { datatype: 'FP32', shape: [-1, 4] },
          { datatype: 'FP32', shape: [-1] },
          { datatype: 'INT64', shape: [-1] },
        ];
      },
      run: async (inputs) => {
        const [boxes, scores] = twoInputs(STEP, INPUTS, inputs);
        expectTensor(STEP, 'FP32', [-1, 4], boxes);
        expectTensor(STEP, 'FP32', [boxes.shape[0] ?? 0], scores);
        return suppress(float32Of(boxes), float32Of(scores), settings);
      },
    }),
};

function suppress(
  boxes: Float32Array,
  scores: Float32Array,
  { overlap, least, maxBoxes }: SuppressionParameters,
): Tensor[] {
  const kept: number[] = [];
  for (const at of descending(scores)) {
    if (!(scores[at]! >= least) || kept.length === maxBoxes) break;
    if (kept.every((other) => overlapOf(boxes, at, other) <= overlap)) kept.push(at);
  }
  const rows = [kept.length];
  return [
    {
      datatype: 'FP32',
      shape: [kept.length, 4],
      data: bytesOf(Float32Array.from(kept.flatMap((at) => [...boxes.subarray(at * 4, at * 4 + 4)]))),
    },
    { datatype: 'FP32', shape: rows, data: bytesOf(Float32Array.from(kept, (at) => scores[at]!)) },
    { datatype: 'INT64', shape: rows, data: bytesOf(BigInt64Array.from(kept, BigInt)) },
  ];
}

/** Intersection over union; 0 where both have no area. */
function overlapOf(boxes: Float32Array, a: number, b: number): number {
  const side = (axis: number): number =>
    Math.max(
      0,
      Math.min(boxes[a * 4 + 2 + axis]!, boxes[b * 4 + 2 + axis]!) -
        Math.max(boxes[a * 4 + axis]!, boxes[b * 4 + axis]!),
    );
  const area = (at: number): number =>
    Math.max(0, boxes[at * 4 + 2]! - boxes[at * 4]!) * Math.max(0, boxes[at * 4 + 3]! - boxes[at * 4 + 1]!);
  const shared = side(0) * side(1);
  const union = area(a) + area(b) - shared;
  return union > 0 ? shared / union : 0;
}
