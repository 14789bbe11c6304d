// Resizes pixels, bilinear as OpenCV does (bilinear.ts). Input UINT8 [1, H, W, C], output UINT8 [1, h, w, C]. With
// `keepAspect` the width follows from the height; without it both are given. With `minSide` the picture grows until its shorter
// side is that long (it never shrinks by it), and both sides go to the nearest `multiple`: a text detector's way.
import { z } from 'zod';
import type { Tensor } from '../tensor/tensor.js';
import { resizeBilinear } from './bilinear.js';
import { roundHalfEven } from './pixel-arithmetic.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

const STEP = 'resize';
const LIMIT_SIDE = 16_384;
const side = z.int().min(1).max(LIMIT_SIDE);

const parameters = z
  .strictObject({
    /** Needed where minSide is not given. */
    height: side.optional(),
    /** Needed where keepAspect is false. */
    width: side.optional(),
    keepAspect: z.boolean().default(true),
    /** Stretches (above 1) or narrows the width that the aspect ratio gives: the scales of a multi-scale reading. */
    scale: z.number().min(0.1).max(10).default(1),
    /** A width that would be larger is cut to this one: the aspect ratio gives way. */
    maxWidth: side.default(4096),
    /** A width that is no whole number is rounded up; above this one it is rounded down (PaddleOCR's way, with 320). */
    roundDownAbove: side.default(LIMIT_SIDE),
    /** Least length of the shorter side. */
    minSide: side.optional(),
    /** With minSide: most length of the longer side, which goes before minSide. */
    maxSide: side.default(4096),
    /** With minSide: both sides become a multiple of this, at least one. */
    multiple: z.int().min(1).max(1024).default(1),
  })
  .refine(({ height, minSide }) => (height === undefined) !== (minSide === undefined), {
    path: ['height'],
    error: 'is needed, or minSide in its place',
  })
  .refine(({ width, minSide }) => minSide === undefined || width === undefined, {
    path: ['width'],
    error: 'follows from minSide',
  })
  .refine(({ keepAspect, width }) => keepAspect || width !== undefined, {
    path: ['width'],
    error: 'is needed where keepAspect is false',
  })
  .refine(({ keepAspect, width }) => !keepAspect || width === undefined, {
    path: ['width'],
    error: 'follows from the height where keepAspect is true',
  });
type ResizeParameters = z.infer<typeof parameters>;

export const resize: StepDefinition<ResizeParameters> = {
  name: STEP,
  parameters,
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectType(STEP, 'UINT8', [1, -1, -1, -1], input);
        const width = settings.keepAspect ? -1 : (settings.width ?? -1);
        return [{ datatype: 'UINT8', shape: [1, settings.height ?? -1, width, input.shape[3] ?? -1] }];
      },
      run: async (inputs) => [resizeTensor(onlyInput(STEP, inputs), settings)],
    }),
};

function resizeTensor(input: Tensor, settings: ResizeParameters): Tensor {
  expectTensor(STEP, 'UINT8', [1, -1, -1, -1], input);
  const [, height = 0, width = 0, channels = 0] = input.shape;
  if (height === 0 || width === 0 || channels === 0) throw new StepError(STEP, 'is given a picture without pixels');
  const target = targetSize(settings, width, height);
  const { data } = resizeBilinear({ width, height, channels, data: input.data }, target.width, target.height);
  return { datatype: 'UINT8', shape: [1, target.height, target.width, channels], data };
}

function targetSize(settings: ResizeParameters, width: number, height: number): { width: number; height: number } {
  if (settings.height === undefined) return grownSize(settings, width, height);
  if (!settings.keepAspect) return { width: settings.width ?? width, height: settings.height };
  const exact = settings.height * (width / height) * settings.scale;
  const whole = exact > settings.roundDownAbove ? Math.floor(exact) : Math.ceil(exact);
  return { width: Math.min(Math.max(whole, 1), settings.maxWidth), height: settings.height };
}

function grownSize(
  { minSide = 1, maxSide, multiple }: ResizeParameters,
  width: number,
  height: number,
): { width: number; height: number } {
  const ratio = Math.min(Math.max(1, minSide / Math.min(width, height)), maxSide / Math.max(width, height));
  const whole = (length: number): number =>
    Math.max(roundHalfEven(Math.trunc(length * ratio) / multiple), 1) * multiple;
  return { width: whole(width), height: whole(height) };
}
