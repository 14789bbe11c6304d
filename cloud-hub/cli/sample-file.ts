// A file as the input of a model, for an import. Deterministic: the same file and the same model give the same bytes, so that importing
// it again is importing it once.
//
// - A BYTES input takes the file as it is: the package's own steps decode it, at training as at the edge.
// - A numeric input takes a .npy of its datatype and shape, or a picture (PNG, JPEG, WebP) where its shape is a picture's: [N, C, H, W],
//   [N, H, W, C], [N, H, W] or [H, W] with C 1 (grey) or 3 (red, green, blue). Levels 0..255 become 0..1 as FP32 (level / 255 in single
//   precision) and stay as they are as UINT8. Grey is 0.299 R + 0.587 G + 0.114 B, rounded; what is grey already stays exact.
// - A picture of another size is an error, unless it may be resized: bilinear as OpenCV, without keeping the aspect.
import { extname } from 'node:path';
import { decodeImage } from '@tidegate/shared/steps/decode-image.js';
import { resize } from '@tidegate/shared/steps/resize.js';
import { StepError, type PreparedStep, type StepAssets } from '@tidegate/shared/steps/step.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { decodeNpy } from '@tidegate/shared/tensor/npy.js';
import { bytesOf, shapeMatches, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import type { ImportTarget } from '@tidegate/shared/wire/data-api.js';
import { CliError, wrongUsage } from './cli-error.js';

type Input = ImportTarget['inputs'][number];

interface Pixels {
  readonly height: number;
  readonly width: number;
  /** Rows from the top, red, green, blue interleaved. */
  readonly data: Uint8Array;
}

interface PictureShape {
  readonly channels: 1 | 3;
  readonly planar: boolean;
  /** Pixels that the model takes; -1 where it takes any height. */
  readonly height: number;
  /** As `height`. */
  readonly width: number;
  /** Of a picture of this size. */
  readonly shapeOf: (height: number, width: number) => readonly number[];
}

const NO_ASSETS: StepAssets = { read: (path) => Promise.reject(new Error(`no step here reads ${path}`)) };
const NEVER = new AbortController().signal;

export class SampleFiles {
  readonly #input: Input;
  readonly #model: string;
  readonly #mayResize: boolean;
  #decoder: Promise<PreparedStep> | undefined;

  /** Throws CliError for a model that one file can't be a sample of. */
  constructor({ model, inputs }: ImportTarget, options: { readonly mayResize: boolean }) {
    const [input] = inputs;
    if (input === undefined || inputs.length > 1) {
      throw wrongUsage(`${model} takes ${inputs.length} inputs; a file can be a sample of a model with one`);
    }
    this.#input = input;
    this.#model = model;
    this.#mayResize = options.mayResize;
  }

  /** The model's input. Rejects with CliError that names the path. */
  async read(path: string, file: Uint8Array): Promise<NamedTensor> {
    const { name, datatype, shape } = this.#input;
    if (file.byteLength === 0) throw new CliError(`${path} is empty`);
    if (datatype === 'BYTES') return { name, datatype, shape: shape.map(() => 1), data: encodeBytes([file]) };
    const value = extname(path).toLowerCase() === '.npy' ? this.#array(path, file) : await this.#picture(path, file);
    return { name, ...value };
  }

  #array(path: string, file: Uint8Array): Tensor {
    const { datatype, shape } = this.#input;
    const value = said(path, () => decodeNpy(file));
    const row = value.shape.length === shape.length - 1 ? { ...value, shape: [1, ...value.shape] } : value;
    if (row.datatype === datatype && shapeMatches(shape, row.shape)) return row;
    const found = `${value.datatype} [${value.shape.join(', ')}]`;
    throw new CliError(`${path} is ${found}, but ${this.#model} takes ${datatype} [${shape.join(', ')}]`);
  }

  async #picture(path: string, file: Uint8Array): Promise<Tensor> {
    const { datatype, shape } = this.#input;
    const wanted = pictureShape(shape);
    if (wanted === undefined || (datatype !== 'FP32' && datatype !== 'UINT8')) {
      throw new CliError(
        `${this.#model} takes ${datatype} [${shape.join(', ')}], which is no picture; import .npy files`,
      );
    }
    const pixels = await this.#sized(path, await this.#decoded(path, file), wanted);
    const levels = wanted.channels === 1 ? grey(pixels) : wanted.planar ? planes(pixels) : pixels.data;
    const data = datatype === 'UINT8' ? levels : bytesOf(Float32Array.from(levels, (level) => level / 255));
    return { datatype, shape: wanted.shapeOf(pixels.height, pixels.width), data };
  }

  async #decoded(path: string, file: Uint8Array): Promise<Pixels> {
    this.#decoder ??= decodeImage.prepare(decodeImage.parameters.parse({ channels: 'rgb' }), NO_ASSETS);
    const encoded: Tensor = { datatype: 'BYTES', shape: [1], data: encodeBytes([file]) };
    return pixelsOf(await running(path, (await this.#decoder).run([encoded], NEVER)));
  }

  async #sized(path: string, pixels: Pixels, { height, width }: PictureShape): Promise<Pixels> {
    const target = { height: height < 0 ? pixels.height : height, width: width < 0 ? pixels.width : width };
    if (target.height === pixels.height && target.width === pixels.width) return pixels;
    const sizes = `${pixels.width} x ${pixels.height}, but ${this.#model} takes ${target.width} x ${target.height}`;
    if (!this.#mayResize) throw new CliError(`${path} is ${sizes}; --resize scales it`);
    const step = await resize.prepare(resize.parameters.parse({ ...target, keepAspect: false }), NO_ASSETS);
    const picture: Tensor = { datatype: 'UINT8', shape: [1, pixels.height, pixels.width, 3], data: pixels.data };
    return pixelsOf(await running(path, step.run([picture], NEVER)));
  }
}

/** Undefined for shapes that are no picture's, and for those of several rows. */
function pictureShape(shape: readonly number[]): PictureShape | undefined {
  const [a = 0, b = 0, c = 0, d = 0] = shape;
  const isOneRow = a === -1 || a === 1;
  if (shape.length === 2) return { channels: 1, planar: true, height: a, width: b, shapeOf: (h, w) => [h, w] };
  if (shape.length === 3 && isOneRow) {
    return { channels: 1, planar: true, height: b, width: c, shapeOf: (h, w) => [1, h, w] };
  }
  if (shape.length !== 4 || !isOneRow) return undefined;
  if (b === 1 || b === 3) return { channels: b, planar: true, height: c, width: d, shapeOf: (h, w) => [1, b, h, w] };
  if (d === 1 || d === 3) return { channels: d, planar: false, height: b, width: c, shapeOf: (h, w) => [1, h, w, d] };
  return undefined;
}

function pixelsOf([picture]: readonly Tensor[]): Pixels {
  const [, height = 0, width = 0] = picture?.shape ?? [];
  return { height, width, data: picture?.data ?? new Uint8Array() };
}

function grey({ height, width, data }: Pixels): Uint8Array {
  return Uint8Array.from({ length: height * width }, (_, i) => {
    const weighted = 299 * data[3 * i]! + 587 * data[3 * i + 1]! + 114 * data[3 * i + 2]!;
    return Math.floor((weighted + 500) / 1000);
  });
}

function planes({ height, width, data }: Pixels): Uint8Array {
  const area = height * width;
  return Uint8Array.from({ length: 3 * area }, (_, i) => data[3 * (i % area) + Math.floor(i / area)]!);
}

function said<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof RangeError) throw new CliError(`${path} ${cause.message}`, { cause });
    throw cause;
  }
}

async function running<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof StepError) throw new CliError(`${path}: ${cause.message}`, { cause });
    throw cause;
  }
}
