// Pads rows on the right, to at least a width and to a multiple, so that lines of similar length have equal shapes and
// can share a run. Input FP32 [1, C, H, W], output FP32 [1, C, H, W'].
import { z } from 'zod';
import { bytesOf, float32Of, type Tensor } from '../tensor/tensor.js';
import type { StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

const STEP = 'pad-width';

const parameters = z.strictObject({
  multiple: z.int().min(1).max(4096).default(1),
  minWidth: z.int().min(1).max(16_384).default(1),
  /** After normalising: 0 is the mean. */
  value: z.number().default(0),
});
type PadWidthParameters = z.infer<typeof parameters>;

export const padWidth: StepDefinition<PadWidthParameters> = {
  name: STEP,
  parameters,
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectType(STEP, 'FP32', [1, -1, -1, -1], input);
        const [n = 1, channels = -1, height = -1, width = -1] = input.shape;
        return [{ datatype: 'FP32', shape: [n, channels, height, width < 0 ? -1 : paddedWidth(settings, width)] }];
      },
      run: async (inputs) => [padTensor(onlyInput(STEP, inputs), settings)],
    }),
};

function paddedWidth({ multiple, minWidth }: PadWidthParameters, width: number): number {
  return Math.ceil(Math.max(width, minWidth) / multiple) * multiple;
}

function padTensor(input: Tensor, settings: PadWidthParameters): Tensor {
  expectTensor(STEP, 'FP32', [1, -1, -1, -1], input);
  const [, channels = 0, height = 0, width = 0] = input.shape;
  const padded = paddedWidth(settings, width);
  if (padded === width) return input;
  const from = float32Of(input);
  const out = new Float32Array(channels * height * padded).fill(settings.value);
  for (let row = 0; row < channels * height; row += 1) {
    out.set(from.subarray(row * width, (row + 1) * width), row * padded);
  }
  return { datatype: 'FP32', shape: [1, channels, height, padded], data: bytesOf(out) };
}
