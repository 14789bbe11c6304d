// Encoded pictures -> pixels. The only file that imports sharp, and all that sharp does is decode: resizing is our own
// (resize.ts), so that results equal the references'. Input BYTES [1], output UINT8 [1, H, W, 3].
//
// A picture is untrusted. Its format is told by its first bytes, so that only the JPEG, PNG and WebP decoders are ever
// reached; sharp holds the header's dimensions against the limit before it decodes a pixel (picture bombs). EXIF
// orientation is applied; transparency is laid on white; 16 bits, greys and CMYK become 8-bit sRGB.
import type Sharp from 'sharp';
import { z } from 'zod';
import { decodeBytes } from '../tensor/bytes.js';
import { pictureFormat } from '../tensor/picture-format.js';
import type { Tensor } from '../tensor/tensor.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

export const LIMIT_PICTURE_BYTES = 32 * 1024 * 1024;

/** Loaded with the first package that decodes pictures: a process that serves none does without its 18 MB. */
async function loadSharp(): Promise<typeof Sharp> {
  const { default: sharp } = await import('sharp');
  // Pictures come one by one through several requests at once: parallel within one would only contend, and a cache of
  // operations would keep callers' pictures in memory.
  sharp.concurrency(1);
  sharp.cache(false);
  return sharp;
}

const STEP = 'decode-image';

const parameters = z.strictObject({
  /** Order of the three channels; OpenCV's and so PaddleOCR's is bgr. */
  channels: z.enum(['bgr', 'rgb']).default('bgr'),
  /** A picture of more pixels is refused before it is decoded. */
  maxPixels: z
    .int()
    .min(1)
    .max(268_435_456)
    .default(16 * 1024 * 1024),
});

export const decodeImage: StepDefinition<z.infer<typeof parameters>> = {
  name: STEP,
  parameters,
  takesItems: true,
  prepare: async ({ channels, maxPixels }) => {
    const sharp = await loadSharp();
    return {
      inferTypes: (inputs) => {
        expectType(STEP, 'BYTES', [-1], onlyInput(STEP, inputs));
        return [{ datatype: 'UINT8', shape: [1, -1, -1, 3] }];
      },
      run: async (inputs, signal) => {
        const input = onlyInput(STEP, inputs);
        expectTensor(STEP, 'BYTES', [1], input);
        const [encoded] = decodeBytes(input.data) ?? [];
        if (encoded === undefined) throw new StepError(STEP, 'is given no element');
        checkFormat(encoded);
        signal.throwIfAborted();
        return [await decode(sharp, encoded, channels, maxPixels)];
      },
    };
  },
};

function checkFormat(encoded: Uint8Array): void {
  if (encoded.byteLength === 0) throw new StepError(STEP, 'the picture is empty');
  if (encoded.byteLength > LIMIT_PICTURE_BYTES) {
    throw new StepError(
      STEP,
      `the picture has ${encoded.byteLength} bytes; at most ${LIMIT_PICTURE_BYTES} are allowed`,
    );
  }
  if (pictureFormat(encoded) === undefined) throw new StepError(STEP, 'is given no JPEG, PNG or WebP picture');
}

async function decode(
  sharp: typeof Sharp,
  encoded: Uint8Array,
  channels: 'bgr' | 'rgb',
  maxPixels: number,
): Promise<Tensor> {
  const picture = sharp(encoded, { limitInputPixels: maxPixels, pages: 1, failOn: 'error' })
    .rotate()
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' });
  const { data, info } = await picture.toBuffer({ resolveWithObject: true }).catch(async (cause: unknown) => {
    throw new StepError(STEP, `the picture ${await faultOf(sharp, encoded, maxPixels, cause)}`, { cause });
  });
  const pixels = asThreeChannels(data, info.channels, channels === 'bgr');
  return { datatype: 'UINT8', shape: [1, info.height, info.width, 3], data: pixels };
}

/** Why it could not be decoded: beyond the limit, by its header, or what libvips says. */
async function faultOf(sharp: typeof Sharp, encoded: Uint8Array, maxPixels: number, cause: unknown): Promise<string> {
  try {
    const { width, height } = await sharp(encoded, { limitInputPixels: false, pages: 1 }).metadata();
    if (width * height > maxPixels) return `is ${width} x ${height}; at most ${maxPixels} pixels are allowed`;
    return `can't be decoded (${messageOf(cause)})`;
  } catch (headerCause) {
    return `has no header that can be read (${messageOf(headerCause)})`;
  }
}

function asThreeChannels(data: Uint8Array, channels: number, swap: boolean): Uint8Array {
  if (channels === 3) {
    if (swap) swapRedAndBlue(data);
    return data;
  }
  if (channels !== 1) throw new StepError(STEP, `the picture decodes to ${channels} channels`);
  const pixels = new Uint8Array(data.byteLength * 3);
  for (let i = 0; i < data.byteLength; i += 1) pixels.fill(data[i] ?? 0, i * 3, i * 3 + 3);
  return pixels;
}

function swapRedAndBlue(pixels: Uint8Array): void {
  for (let i = 0; i + 2 < pixels.length; i += 3) {
    const red = pixels[i] ?? 0;
    pixels[i] = pixels[i + 2] ?? 0;
    pixels[i + 2] = red;
  }
}

/** libvips repeats itself over several lines; the first says it. */
function messageOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.split('\n')[0] ?? message;
}
