// A rectangle of a picture: from its middle, as classifiers are evaluated, or from a corner that is given. Input UINT8
// [1, H, W, C], output UINT8 [1, h, w, C]. A picture that is smaller than the rectangle is refused.
import { z } from 'zod';
import type { Tensor } from '../tensor/tensor.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

const STEP = 'crop';
const LIMIT_SIDE = 16_384;
const side = z.int().min(1).max(LIMIT_SIDE);

const parameters = z.strictObject({
  height: side,
  width: side,
  /** Distance from the upper edge; default: as much above as below, the odd row below. */
  top: z.int().min(0).max(LIMIT_SIDE).optional(),
  left: z.int().min(0).max(LIMIT_SIDE).optional(),
});
type CropParameters = z.infer<typeof parameters>;

export const crop: StepDefinition<CropParameters> = {
  name: STEP,
  parameters,
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectType(STEP, 'UINT8', [1, -1, -1, -1], input);
        const [, height = -1, width = -1, channels = -1] = input.shape;
        if (height >= 0 && width >= 0) placeOf(settings, height, width);
        return [{ datatype: 'UINT8', shape: [1, settings.height, settings.width, channels] }];
      },
      run: async (inputs) => [cropTensor(onlyInput(STEP, inputs), settings)],
    }),
};

function placeOf(settings: CropParameters, height: number, width: number): { top: number; left: number } {
  const top = settings.top ?? Math.floor((height - settings.height) / 2);
  const left = settings.left ?? Math.floor((width - settings.width) / 2);
  if (top >= 0 && left >= 0 && top + settings.height <= height && left + settings.width <= width) return { top, left };
  const asked = `${settings.height} x ${settings.width} (height x width)`;
  throw new StepError(STEP, `cuts ${asked}, which does not lie inside a picture of ${height} x ${width}`);
}

function cropTensor(input: Tensor, settings: CropParameters): Tensor {
  expectTensor(STEP, 'UINT8', [1, -1, -1, -1], input);
  const [, sourceHeight = 0, sourceWidth = 0, channels = 0] = input.shape;
  const { top, left } = placeOf(settings, sourceHeight, sourceWidth);
  const { height, width } = settings;
  const data = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y += 1) {
    const start = ((top + y) * sourceWidth + left) * channels;
    data.set(input.data.subarray(start, start + width * channels), y * width * channels);
  }
  return { datatype: 'UINT8', shape: [1, height, width, channels], data };
}
