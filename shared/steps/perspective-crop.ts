// Boxes in a picture -> a list of upright pictures, as RapidOCR cuts lines for its recogniser: each quadrangle is made a
// rectangle as wide and high as its longer sides, and one that is much higher than wide is laid on its side. Inputs pixels
// UINT8 [1, H, W, C] and boxes FP32 [N, 4, 2] (from the upper left clockwise); output a list of N pictures UINT8 [1, h, w, C].
import { z } from 'zod';
import { float32Of, type Tensor } from '../tensor/tensor.js';
import type { Point } from './minimum-rectangle.js';
import { distance } from './pixel-arithmetic.js';
import { turnPixels } from './rotate.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, twoInputs } from './step-types.js';
import { warpPerspective } from './warp-perspective.js';

const STEP = 'perspective-crop';
const INPUTS = 'pixels, boxes';

const parameters = z.strictObject({
  /** From this height / width on, a picture is turned by 90 degrees counter-clockwise. */
  turnFrom: z.number().min(0.1).max(1000).default(1.5),
  maxBoxes: z.int().min(1).max(1000).default(1000),
  /** Pixels of all pictures together: boxes may overlap. */
  maxPixels: z
    .int()
    .min(1)
    .max(268_435_456)
    .default(16 * 1024 * 1024),
});
type CropParameters = z.infer<typeof parameters>;
type Corners = readonly [Point, Point, Point, Point];

export const perspectiveCrop: StepDefinition<CropParameters> = {
  name: STEP,
  parameters,
  lists: 'makes',
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const [pixels, boxes] = twoInputs(STEP, INPUTS, inputs);
        expectType(STEP, 'UINT8', [1, -1, -1, -1], pixels);
        expectType(STEP, 'FP32', [-1, 4, 2], boxes);
        return [{ datatype: 'UINT8', shape: [1, -1, -1, pixels.shape[3] ?? -1] }];
      },
      run: async (inputs) => {
        const [pixels, boxes] = twoInputs(STEP, INPUTS, inputs);
        expectTensor(STEP, 'UINT8', [1, -1, -1, -1], pixels);
        expectTensor(STEP, 'FP32', [-1, 4, 2], boxes);
        return cropAll(pixels, cornersOf(boxes), settings);
      },
    }),
};

function cornersOf(boxes: Tensor): Corners[] {
  const values = float32Of(boxes);
  return Array.from({ length: boxes.shape[0] ?? 0 }, (_, at) => {
    const corner = (which: number): Point => [values[at * 8 + which * 2]!, values[at * 8 + which * 2 + 1]!];
    return [corner(0), corner(1), corner(2), corner(3)];
  });
}

function cropAll(
  pixels: Tensor,
  boxes: readonly Corners[],
  { turnFrom, maxBoxes, maxPixels }: CropParameters,
): Tensor[] {
  if (boxes.length > maxBoxes) {
    throw new StepError(STEP, `is given ${boxes.length} boxes; at most ${maxBoxes} are allowed`);
  }
  const sizes = boxes.map((box, at) => sizeOf(box, at));
  const area = sizes.reduce((sum, { width, height }) => sum + width * height, 0);
  if (area > maxPixels) throw new StepError(STEP, `would cut ${area} pixels; at most ${maxPixels} are allowed`);
  const [, height = 0, width = 0, channels = 0] = pixels.shape;
  if (boxes.length > 0 && height * width * channels === 0)
    throw new StepError(STEP, 'is given a picture without pixels');
  const source = { width, height, channels, data: pixels.data };
  return boxes.map((box, at) => {
    const size = sizes[at]!;
    const cut = warpPerspective(source, box, size.width, size.height);
    if (cut === undefined) throw new StepError(STEP, `box ${at} is no quadrangle`);
    return cut.height / cut.width >= turnFrom
      ? asTensor(turnPixels(cut.data, cut.height, cut.width, channels, 90), cut.width, cut.height, channels)
      : asTensor(cut.data, cut.height, cut.width, channels);
  });
}

function asTensor(data: Uint8Array, height: number, width: number, channels: number): Tensor {
  return { datatype: 'UINT8', shape: [1, height, width, channels], data };
}

/** Whole pixels of the longer of two opposite sides. */
function sizeOf([topLeft, topRight, bottomRight, bottomLeft]: Corners, at: number): { width: number; height: number } {
  const width = Math.trunc(Math.max(distance(topLeft, topRight), distance(bottomRight, bottomLeft)));
  const height = Math.trunc(Math.max(distance(topLeft, bottomLeft), distance(topRight, bottomRight)));
  if (width >= 1 && height >= 1) return { width, height };
  throw new StepError(STEP, `box ${at} is ${width} x ${height} pixels (width x height)`);
}
