// Bilinear resizing of 8-bit pixels, equal to OpenCV's cv::resize with INTER_LINEAR (imgproc/src/resize.cpp): weights in
// 11-bit fixed point, the horizontal pass first, the vertical one in the arithmetic of its vectorised form
// ((w0 * (a >> 4)) >> 16) + ((w1 * (b >> 4)) >> 16) + 2 >> 2. Its special case of exactly half, the mean of four pixels,
// comes out the same. Models are trained on what OpenCV makes; a pixel that differs by one moves a blurred reading.
import { roundHalfEven } from './pixel-arithmetic.js';

const COEFFICIENT_BITS = 11;
const ONE = 1 << COEFFICIENT_BITS;

interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Row-major, channels interleaved. */
  readonly data: Uint8Array;
}

interface Taps {
  /** For each target position: the two source positions and their weights. */
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly weightFirst: Int32Array;
  readonly weightSecond: Int32Array;
}

export function resizeBilinear(source: Pixels, width: number, height: number): Pixels {
  const { channels } = source;
  if (source.width === width && source.height === height) return source;
  const columns = tapsOf(source.width, width);
  const rows = tapsOf(source.height, height);
  const data = new Uint8Array(width * height * channels);
  const stretched = new Map<number, Int32Array>();
  const rowOf = (y: number): Int32Array => {
    const held = stretched.get(y);
    if (held !== undefined) return held;
    const row = stretchRow(source, y, width, columns);
    stretched.set(y, row);
    return row;
  };
  for (let y = 0; y < height; y += 1) {
    const [y0, y1] = [rows.first[y] ?? 0, rows.second[y] ?? 0];
    for (const held of stretched.keys()) if (held < y0) stretched.delete(held);
    const [above, below] = [rowOf(y0), rowOf(y1)];
    const [w0, w1] = [rows.weightFirst[y] ?? 0, rows.weightSecond[y] ?? 0];
    const start = y * width * channels;
    for (let i = 0; i < above.length; i += 1) {
      const sum = ((w0 * (above[i]! >> 4)) >> 16) + ((w1 * (below[i]! >> 4)) >> 16);
      data[start + i] = (sum + 2) >> 2;
    }
  }
  return { width, height, channels, data };
}

function stretchRow(source: Pixels, y: number, width: number, columns: Taps): Int32Array {
  const { channels, data } = source;
  const row = new Int32Array(width * channels);
  const start = y * source.width * channels;
  for (let x = 0; x < width; x += 1) {
    const first = start + columns.first[x]! * channels;
    const second = start + columns.second[x]! * channels;
    const [w0, w1] = [columns.weightFirst[x]!, columns.weightSecond[x]!];
    for (let c = 0; c < channels; c += 1) row[x * channels + c] = data[first + c]! * w0 + data[second + c]! * w1;
  }
  return row;
}

/** Beyond the border both taps are the border's own pixel. */
function tapsOf(from: number, to: number): Taps {
  const scale = 1 / (to / from);
  const taps: Taps = {
    first: new Int32Array(to),
    second: new Int32Array(to),
    weightFirst: new Int32Array(to),
    weightSecond: new Int32Array(to),
  };
  for (let i = 0; i < to; i += 1) {
    const position = Math.fround((i + 0.5) * scale - 0.5);
    const at = Math.floor(position);
    const fraction = Math.fround(position - at);
    taps.first[i] = Math.min(Math.max(at, 0), from - 1);
    taps.second[i] = Math.min(Math.max(at + 1, 0), from - 1);
    taps.weightFirst[i] = roundHalfEven(Math.fround(Math.fround(1 - fraction) * ONE));
    taps.weightSecond[i] = roundHalfEven(Math.fround(fraction * ONE));
  }
  return taps;
}
