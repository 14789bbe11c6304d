// Turns a picture where a label says so: the branch behind an angle classifier. Inputs pixels UINT8 [1, H, W, C], and the
// classifier's label BYTES [1] and confidence FP32 [1]; output UINT8 [1, h, w, C]. Without the two it always turns.
import { z } from 'zod';
import { decodeBytes } from '../tensor/bytes.js';
import { float32Of, type Tensor } from '../tensor/tensor.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType } from './step-types.js';

const STEP = 'rotate';

const parameters = z.strictObject({
  /** Counter-clockwise. */
  degrees: z.union([z.literal(90), z.literal(180), z.literal(270)]),
  /** The label that asks for it. */
  where: z.string().min(1).max(256).optional(),
  /** The label's confidence has to be larger than this. */
  above: z.number().default(0),
});
type RotateParameters = z.infer<typeof parameters>;

export const rotate: StepDefinition<RotateParameters> = {
  name: STEP,
  parameters,
  prepare: (settings) =>
    Promise.resolve({
      inferTypes: (inputs) => {
        const [pixels, ...branch] = inputs;
        checkCount(inputs.length, settings);
        expectType(STEP, 'UINT8', [1, -1, -1, -1], pixels!);
        if (branch[0] !== undefined) expectType(STEP, 'BYTES', [1], branch[0]);
        if (branch[1] !== undefined) expectType(STEP, 'FP32', [1], branch[1]);
        const [, height = -1, width = -1, channels = -1] = pixels!.shape;
        const sides =
          settings.degrees === 180 ? [height, width] : settings.where === undefined ? [width, height] : [-1, -1];
        return [{ datatype: 'UINT8', shape: [1, ...sides, channels] }];
      },
      run: async (inputs) => {
        const [pixels, label, confidence] = inputs;
        checkCount(inputs.length, settings);
        expectTensor(STEP, 'UINT8', [1, -1, -1, -1], pixels!);
        return [asksFor(settings, label, confidence) ? turn(pixels!, settings.degrees) : pixels!];
      },
    }),
};

function checkCount(given: number, { where }: RotateParameters): void {
  const expected = where === undefined ? 1 : 3;
  if (given === expected) return;
  const said =
    where === undefined
      ? '1 input (pixels) without with.where'
      : '3 inputs (pixels, label, confidence) with with.where';
  throw new StepError(STEP, `takes ${said}, but ${given} are given`);
}

function asksFor(
  { where, above }: RotateParameters,
  label: Tensor | undefined,
  confidence: Tensor | undefined,
): boolean {
  if (where === undefined || label === undefined || confidence === undefined) return where === undefined;
  expectTensor(STEP, 'BYTES', [1], label);
  expectTensor(STEP, 'FP32', [1], confidence);
  const [text] = decodeBytes(label.data) ?? [];
  return new TextDecoder().decode(text) === where && float32Of(confidence)[0]! > above;
}

function turn(pixels: Tensor, degrees: RotateParameters['degrees']): Tensor {
  const [, height = 0, width = 0, channels = 0] = pixels.shape;
  const data = turnPixels(pixels.data, height, width, channels, degrees);
  const sides = degrees === 180 ? [height, width] : [width, height];
  return { datatype: 'UINT8', shape: [1, ...sides, channels], data };
}

/** Row-major pixels, channels interleaved, turned counter-clockwise; 90 and 270 swap height and width. */
export function turnPixels(
  from: Uint8Array,
  height: number,
  width: number,
  channels: number,
  degrees: 90 | 180 | 270,
): Uint8Array {
  const out = new Uint8Array(from.byteLength);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const to =
        degrees === 180
          ? (height - 1 - y) * width + (width - 1 - x)
          : degrees === 90
            ? (width - 1 - x) * height + y
            : x * height + (height - 1 - y);
      for (let c = 0; c < channels; c += 1) out[to * channels + c] = from[(y * width + x) * channels + c]!;
    }
  }
  return out;
}
