// Resizes pixels, bilinear as OpenCV does (bilinear.ts). Input UINT8 [1, H, W, C], output UINT8 [1, h, w, C]. With
// `keepAspect` the width follows from the height; without it both are given.
import { z } from 'zod';
import type { Tensor } from '../tensor/tensor.js';
import { resizeBilinear } from './bilinear.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

const STEP = 'resize';
const LIMIT_SIDE = 16_384;
const side = z.int().min(1).max(LIMIT_SIDE);

const parameters = z
  .strictObject({
    height: side,
    /** Needed where keepAspect is false. */
    width: side.optional(),
    keepAspect: z.boolean().default(true),
    /** Stretches (above 1) or narrows the width that the aspect ratio gives: the scales of a multi-scale reading. */
    scale: z.number().min(0.1).max(10).default(1),
    /** A width that would be larger is cut to this one: the aspect ratio gives way. */
    maxWidth: side.default(4096),
    /** A width that is no whole number is rounded up; above this one it is rounded down (PaddleOCR's way, with 320). */
    roundDownAbove: side.default(LIMIT_SIDE),
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
        return [{ datatype: 'UINT8', shape: [1, settings.height, width, input.shape[3] ?? -1] }];
      },
      run: async (inputs) => [resizeTensor(onlyInput(STEP, inputs), settings)],
    }),
};

function resizeTensor(input: Tensor, settings: ResizeParameters): Tensor {
  expectTensor(STEP, 'UINT8', [1, -1, -1, -1], input);
  const [, height = 0, width = 0, channels = 0] = input.shape;
  if (height === 0 || width === 0 || channels === 0) throw new StepError(STEP, 'is given a picture without pixels');
  const target = { height: settings.height, width: targetWidth(settings, width, height) };
  const { data } = resizeBilinear({ width, height, channels, data: input.data }, target.width, target.height);
  return { datatype: 'UINT8', shape: [1, target.height, target.width, channels], data };
}

function targetWidth(settings: ResizeParameters, width: number, height: number): number {
  if (!settings.keepAspect) return settings.width ?? width;
  const exact = settings.height * (width / height) * settings.scale;
  const whole = exact > settings.roundDownAbove ? Math.floor(exact) : Math.ceil(exact);
  return Math.min(Math.max(whole, 1), settings.maxWidth);
}
