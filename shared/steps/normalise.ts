// 8-bit pixels -> the numbers a network was trained on: (pixel * scale - mean) / std for each channel, in single
// precision and in this order, as numpy does. Input UINT8 [1, H, W, C], output FP32 [1, C, H, W] or [1, H, W, C].
import { z } from 'zod';
import { bytesOf, type Tensor } from '../tensor/tensor.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

const STEP = 'normalise';
const LIMIT_CHANNELS = 16;
const perChannel = z.array(z.number()).min(1).max(LIMIT_CHANNELS);

const parameters = z.strictObject({
  /** What a pixel is divided by first. */
  divisor: z.number().positive().default(255),
  /** One for all channels, or one for each. */
  mean: perChannel.default([0]),
  std: z
    .array(z.number().refine((value) => value !== 0, 'must not be 0'))
    .min(1)
    .max(LIMIT_CHANNELS)
    .default([1]),
  layout: z.enum(['NCHW', 'NHWC']).default('NCHW'),
});
type NormaliseParameters = z.infer<typeof parameters>;

export const normalise: StepDefinition<NormaliseParameters> = {
  name: STEP,
  parameters,
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectType(STEP, 'UINT8', [1, -1, -1, -1], input);
        const [, height = -1, width = -1, channels = -1] = input.shape;
        if (channels >= 0) checkChannels(settings, channels);
        const shape = settings.layout === 'NCHW' ? [1, channels, height, width] : [1, height, width, channels];
        return [{ datatype: 'FP32', shape }];
      },
      run: async (inputs) => [normaliseTensor(onlyInput(STEP, inputs), settings)],
    }),
};

function checkChannels({ mean, std }: NormaliseParameters, channels: number): void {
  for (const [name, values] of Object.entries({ mean, std })) {
    if (values.length === 1 || values.length === channels) continue;
    throw new StepError(STEP, `with.${name}: has ${values.length} values for ${channels} channels`);
  }
}

function normaliseTensor(input: Tensor, settings: NormaliseParameters): Tensor {
  expectTensor(STEP, 'UINT8', [1, -1, -1, -1], input);
  const [, height = 0, width = 0, channels = 0] = input.shape;
  checkChannels(settings, channels);
  const { data } = input;
  const area = height * width;
  const out = new Float32Array(area * channels);
  const planar = settings.layout === 'NCHW';
  for (let c = 0; c < channels; c += 1) {
    const table = tableOf(settings, c);
    for (let i = 0; i < area; i += 1) {
      out[planar ? c * area + i : i * channels + c] = table[data[i * channels + c]!]!;
    }
  }
  const shape = planar ? [1, channels, height, width] : [1, height, width, channels];
  return { datatype: 'FP32', shape, data: bytesOf(out) };
}

/** All 256 results of one channel: the arithmetic is done once, rounded to single precision after every operation. */
function tableOf({ divisor, mean, std }: NormaliseParameters, channel: number): Float32Array {
  const [m, s] = [mean, std].map((values) => Math.fround(values[values.length === 1 ? 0 : channel] ?? 0));
  const table = new Float32Array(256);
  for (let pixel = 0; pixel < 256; pixel += 1) {
    const divided = Math.fround(pixel / Math.fround(divisor));
    table[pixel] = Math.fround(divided - (m ?? 0)) / (s ?? 1);
  }
  return table;
}
