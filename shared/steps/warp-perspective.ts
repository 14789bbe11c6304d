// A quadrangle of a picture made upright, equal to OpenCV 5's getPerspectiveTransform and warpPerspective with INTER_CUBIC and
// BORDER_REPLICATE: each pixel from 4 x 4 source pixels at its exact position. (OpenCV 4 rounds positions to 1/32 pixel, which
// moves single values by a few levels.)
import type { Point } from './minimum-rectangle.js';
import { clamp } from './pixel-arithmetic.js';

const TAPS = 4;
/** A position so near to a whole one is that. */
const NEARLY = 1e-6;

interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Row-major, channels interleaved. */
  readonly data: Uint8Array;
}

/**
 * `corners` from the upper left clockwise become the corners of a picture of `width` x `height`. Undefined where they make no
 * quadrangle (three on one line).
 */
export function warpPerspective(
  source: Pixels,
  corners: readonly [Point, Point, Point, Point],
  width: number,
  height: number,
): Pixels | undefined {
  const matrix = perspective(
    [
      [0, 0],
      [width, 0],
      [width, height],
      [0, height],
    ],
    corners,
  );
  if (matrix === undefined) return undefined;
  const { channels } = source;
  const data = new Uint8Array(width * height * channels);
  const [a, b, c, d, e, f, g, h] = matrix;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const w = g * x + h * y + 1;
      const scale = w === 0 ? 0 : 1 / w;
      sample(source, (a * x + b * y + c) * scale, (d * x + e * y + f) * scale, data, (y * width + x) * channels);
    }
  }
  return { width, height, channels, data };
}

const weightsX = new Float64Array(TAPS);
const weightsY = new Float64Array(TAPS);
const columns = new Int32Array(TAPS);

/** One pixel from around (x, y). Nearly whole positions are copies: most boxes of a scan stand upright. */
function sample({ width, height, channels, data }: Pixels, x: number, y: number, out: Uint8Array, to: number): void {
  const [nearX, nearY] = [Math.round(x), Math.round(y)];
  if (Math.abs(x - nearX) < NEARLY && Math.abs(y - nearY) < NEARLY) {
    const at = (clamp(nearY, height - 1) * width + clamp(nearX, width - 1)) * channels;
    for (let c = 0; c < channels; c += 1) out[to + c] = data[at + c]!;
    return;
  }
  const [left, top] = [Math.floor(x), Math.floor(y)];
  cubic(x - left, weightsX);
  cubic(y - top, weightsY);
  for (let column = 0; column < TAPS; column += 1) columns[column] = clamp(left - 1 + column, width - 1) * channels;
  for (let c = 0; c < channels; c += 1) {
    let sum = 0;
    for (let row = 0; row < TAPS; row += 1) {
      const start = clamp(top - 1 + row, height - 1) * width * channels + c;
      let across = 0;
      for (let column = 0; column < TAPS; column += 1) across += data[start + columns[column]!]! * weightsX[column]!;
      sum += across * weightsY[row]!;
    }
    out[to + c] = clamp(Math.round(sum), 255);
  }
}

/** Keys' kernel with a = -0.75, OpenCV's. */
function cubic(t: number, weights: Float64Array): void {
  const A = -0.75;
  const rest = 1 - t;
  weights[0] = ((A * (t + 1) - 5 * A) * (t + 1) + 8 * A) * (t + 1) - 4 * A;
  weights[1] = ((A + 2) * t - (A + 3)) * t * t + 1;
  weights[2] = ((A + 2) * rest - (A + 3)) * rest * rest + 1;
  weights[3] = 1 - weights[0]! - weights[1]! - weights[2]!;
}

type Matrix = readonly [number, number, number, number, number, number, number, number];

/** The eight coefficients (the ninth is 1) that map `from` on `to`: Gauss with pivots. */
function perspective(from: readonly Point[], to: readonly Point[]): Matrix | undefined {
  const rows = from.flatMap(([x, y], at) => {
    const [u, v] = to[at]!;
    return [
      [x, y, 1, 0, 0, 0, -x * u, -y * u, u],
      [0, 0, 0, x, y, 1, -x * v, -y * v, v],
    ];
  });
  for (let column = 0; column < 8; column += 1) {
    const pivot = rows.reduce(
      (best, row, at) => (at >= column && Math.abs(row[column]!) > Math.abs(rows[best]![column]!) ? at : best),
      column,
    );
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const head = rows[column]!;
    if (Math.abs(head[column]!) < 1e-12) return undefined;
    for (const [at, row] of rows.entries()) {
      if (at === column) continue;
      const factor = row[column]! / head[column]!;
      for (let i = column; i < 9; i += 1) row[i] = row[i]! - factor * head[i]!;
    }
  }
  const solved = rows.map((row, at) => row[8]! / row[at]!);
  return solved as unknown as Matrix;
}
