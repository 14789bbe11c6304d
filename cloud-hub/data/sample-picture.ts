// A sample's input as a picture for people. An encoded picture (a BYTES input of a package that begins with decode-image) is shown as
// it is; pixels become a PNG. What the numbers mean isn't declared anywhere, so it is told from shape and range:
//
// 1. Leading dimensions of 1 are rows of a batch and are dropped, down to three dimensions.
// 2. [H, W], [C, H, W] or [H, W, C] with 1, 3 or (last only) 4 channels is a picture, if both sides are between LIMITS; else nothing is.
// 3. UINT8 is taken as it is. Floats within 0..1 are scaled, within 0..255 taken; others (normalised pictures) are stretched from their
//    least to their largest value. What isn't finite is black.
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { pictureFormat, type PictureFormat } from '@tidegate/shared/tensor/picture-format.js';
import { encodePngAside } from '@tidegate/shared/tensor/png.js';
import { float32Of, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const LIMITS = { sideMin: 4, sideMax: 4096 } as const;

export interface SamplePicture {
  readonly type: `image/${PictureFormat}`;
  readonly bytes: Uint8Array;
}

/** Of the first input that is one; undefined where none is. */
export async function samplePicture(inputs: readonly NamedTensor[]): Promise<SamplePicture | undefined> {
  for (const input of inputs) {
    const picture = input.datatype === 'BYTES' ? encodedPicture(input) : await pixelPicture(input);
    if (picture !== undefined) return picture;
  }
  return undefined;
}

function encodedPicture({ data }: Tensor): SamplePicture | undefined {
  const elements = decodeBytes(data) ?? [];
  const [bytes] = elements;
  if (elements.length !== 1 || bytes === undefined) return undefined;
  const format = pictureFormat(bytes);
  return format && { type: `image/${format}`, bytes };
}

interface Layout {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3 | 4;
  /** Elements from one channel, column and row to the next. */
  readonly channelStep: number;
  readonly columnStep: number;
  readonly rowStep: number;
}

async function pixelPicture(input: Tensor): Promise<SamplePicture | undefined> {
  const layout = layoutOf(input.shape);
  const levels = layout && levelsOf(input);
  if (layout === undefined || levels === undefined) return undefined;
  const { width, height, channels, channelStep, columnStep, rowStep } = layout;
  const pixels = new Uint8Array(width * height * channels);
  let at = 0;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      for (let c = 0; c < channels; c += 1) {
        pixels[at++] = levels(y * rowStep + x * columnStep + c * channelStep);
      }
    }
  }
  return { type: 'image/png', bytes: await encodePngAside(width, height, channels, pixels) };
}

function layoutOf(shape: readonly number[]): Layout | undefined {
  let dimensions = shape;
  while (dimensions.length > 3 && dimensions[0] === 1) dimensions = dimensions.slice(1);
  const [a = 0, b = 0, c = 0] = dimensions;
  if (dimensions.length === 2) return planar(1, a, b);
  if (dimensions.length !== 3) return undefined;
  return a === 1 || a === 3 ? planar(a, b, c) : interleaved(a, b, c);
}

function planar(channels: 1 | 3, height: number, width: number): Layout | undefined {
  if (!isSide(width) || !isSide(height)) return undefined;
  return { width, height, channels, channelStep: width * height, columnStep: 1, rowStep: width };
}

function interleaved(height: number, width: number, channels: number): Layout | undefined {
  if (!isSide(width) || !isSide(height) || (channels !== 1 && channels !== 3 && channels !== 4)) return undefined;
  return { width, height, channels, channelStep: 1, columnStep: channels, rowStep: width * channels };
}

function isSide(length: number): boolean {
  return length >= LIMITS.sideMin && length <= LIMITS.sideMax;
}

/** From an element's place to its level, 0 to 255; undefined for datatypes that are no pixels. */
function levelsOf(input: Tensor): ((at: number) => number) | undefined {
  if (input.datatype === 'UINT8') return (at) => input.data[at] ?? 0;
  if (input.datatype !== 'FP32') return undefined;
  const values = float32Of(input);
  let least = Number.POSITIVE_INFINITY;
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  const [from, to] = least >= 0 && largest <= 1 ? [0, 1] : least >= 0 && largest <= 255 ? [0, 255] : [least, largest];
  const scale = to > from ? 255 / (to - from) : 0;
  return (at) => {
    const value = values[at] ?? 0;
    return Number.isFinite(value) ? Math.round((value - from) * scale) : 0;
  };
}
