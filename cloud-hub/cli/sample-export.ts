// A sample's inputs as files that people and programs can open. Nothing is lost: what a picture file can't hold exactly is written as an
// array, so that importing the files again gives the same inputs.
//
// - BYTES of one element: the element, as .png, .jpg or .webp where it is such a picture, else .bin.
// - UINT8, or FP32 whose every element is level / 255, in the shape of a picture: .png.
// - Other numbers: .npy; what numpy has no type for: .bin, the raw little-endian elements.
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { encodeNpy } from '@tidegate/shared/tensor/npy.js';
import { pictureFormat } from '@tidegate/shared/tensor/picture-format.js';
import { encodePng } from '@tidegate/shared/tensor/png.js';
import { float32Of, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';

interface ExportedFile {
  /** Behind the sample's name: `.png`, or `.INPUT.png` where there are several inputs. */
  readonly suffix: string;
  readonly bytes: Uint8Array;
}

/** One for each input, in their order. */
export function exportedFiles(inputs: readonly NamedTensor[]): ExportedFile[] {
  return inputs.map((input) => {
    const { extension, bytes } = exportedInput(input);
    const name = inputs.length === 1 ? '' : `.${safeName(input.name)}`;
    return { suffix: `${name}.${extension}`, bytes };
  });
}

/** A label or a name as part of a path, whatever it holds. */
export function safeName(text: string): string {
  const safe = text
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{N}._-]+/gu, '_')
    .slice(0, 60);
  return /^\.*$/.test(safe) ? '_' : safe;
}

function exportedInput(input: Tensor): { extension: string; bytes: Uint8Array } {
  if (input.datatype === 'BYTES') {
    const elements = decodeBytes(input.data) ?? [];
    const [only] = elements;
    return only === undefined || elements.length > 1
      ? { extension: 'bin', bytes: input.data }
      : { extension: pictureExtension(only) ?? 'bin', bytes: only };
  }
  const png = asPng(input);
  if (png !== undefined) return { extension: 'png', bytes: png };
  const npy = encodeNpy(input);
  return npy === undefined ? { extension: 'bin', bytes: input.data } : { extension: 'npy', bytes: npy };
}

function pictureExtension(bytes: Uint8Array): string | undefined {
  const format = pictureFormat(bytes);
  return format === 'jpeg' ? 'jpg' : format;
}

/** Undefined where the elements are no levels, or the shape is no picture's. */
function asPng(input: Tensor): Uint8Array | undefined {
  const { shape } = input;
  const [a = 0, b = 0, c = 0, d = 0] = shape;
  const levels = levelsOf(input);
  if (levels === undefined) return undefined;
  if (shape.length === 3 && a === 1) return png(b, c, 1, levels);
  if (shape.length !== 4 || a !== 1) return undefined;
  if (b === 1) return png(c, d, 1, levels);
  if (b === 3) return png(c, d, 3, interleaved(levels, c * d));
  return d === 1 || d === 3 ? png(b, c, d, levels) : undefined;
}

function png(height: number, width: number, channels: 1 | 3, levels: Uint8Array): Uint8Array | undefined {
  return height < 2 || width < 2 ? undefined : encodePng(width, height, channels, levels);
}

function levelsOf(input: Tensor): Uint8Array | undefined {
  if (input.datatype === 'UINT8') return input.data;
  if (input.datatype !== 'FP32') return undefined;
  const values = float32Of(input);
  const levels = Uint8Array.from(values, (value) => Math.round(value * 255));
  return values.every((value, at) => Object.is(Math.fround(levels[at]! / 255), value)) ? levels : undefined;
}

function interleaved(planes: Uint8Array, area: number): Uint8Array {
  return Uint8Array.from(planes, (_, i) => planes[(i % 3) * area + Math.floor(i / 3)]!);
}
