// Weights to integers, in the two layouts that the engine's kernels read.
import type { Matrix } from './linear-layers.js';

interface PerChannelWeights {
  /** [k, n], row-major. */
  readonly quantized: Uint8Array;
  /** One for each of the n columns. */
  readonly scales: Float32Array;
  readonly zeroPoints: Uint8Array;
}

/**
 * Unsigned 8 bits, asymmetric, a scale and a zero point for each column (output channel). Unsigned because U8S8 saturates on AVX2
 * without VNNI. The range includes 0, so that 0 stays exact.
 */
export function quantizePerChannel({ k, n, values, strideK, strideN, scale }: Matrix): PerChannelWeights {
  const quantized = new Uint8Array(k * n);
  const scales = new Float32Array(n);
  const zeroPoints = new Uint8Array(n);
  for (let j = 0; j < n; j += 1) {
    let low = 0;
    let high = 0;
    for (let i = 0; i < k; i += 1) {
      const value = (values[i * strideK + j * strideN] ?? 0) * scale;
      if (value < low) low = value;
      else if (value > high) high = value;
    }
    const step = high > low ? (high - low) / 255 : 1;
    const zero = clamp(Math.round(-low / step), 255);
    scales[j] = step;
    zeroPoints[j] = zero;
    for (let i = 0; i < k; i += 1) {
      const value = (values[i * strideK + j * strideN] ?? 0) * scale;
      quantized[i * n + j] = clamp(Math.round(value / step) + zero, 255);
    }
  }
  return { quantized, scales, zeroPoints };
}

export interface BlockWeights {
  /** [n, blocks, blockSize * bits / 8]; 4 bits: the low nibble first along k. */
  readonly quantized: Uint8Array;
  /** [n, blocks]. */
  readonly scales: Float32Array;
  /** [n, ceil(blocks * bits / 8)], 4 bits: the low nibble first along the blocks. Absent: 2^(bits - 1) for all. */
  readonly zeroPoints?: Uint8Array;
}

/** Blocks of `blockSize` along k, symmetric around 128: what 8 bits need to lose next to nothing. */
export function quantizeBlocks8(weights: Matrix, blockSize: number): BlockWeights {
  const { k, n } = weights;
  const blocks = Math.ceil(k / blockSize);
  const quantized = new Uint8Array(n * blocks * blockSize).fill(128);
  const scales = new Float32Array(n * blocks);
  const block = new Float32Array(blockSize);
  for (let j = 0; j < n; j += 1) {
    for (let b = 0; b < blocks; b += 1) {
      const size = readBlock(weights, j, b * blockSize, block);
      let largest = 0;
      for (let i = 0; i < size; i += 1) largest = Math.max(largest, Math.abs(block[i] ?? 0));
      const step = largest > 0 ? largest / 127 : 1;
      scales[j * blocks + b] = step;
      const at = (j * blocks + b) * blockSize;
      for (let i = 0; i < size; i += 1) quantized[at + i] = clamp(Math.round((block[i] ?? 0) / step) + 128, 255);
    }
  }
  return { quantized, scales };
}

/** Shares of a block's range that are tried: clipping outliers can cost less than a coarse step for all others. */
const RANGE_SHARES = [1, 0.95, 0.9, 0.85, 0.8];

/** Blocks of `blockSize` along k, 4 bits, asymmetric, of several ranges the one with the least squared error. */
export function quantizeBlocks4(weights: Matrix, blockSize: number): BlockWeights {
  const { k, n } = weights;
  const blocks = Math.ceil(k / blockSize);
  const zeroBytes = Math.ceil(blocks / 2);
  const quantized = new Uint8Array((n * blocks * blockSize) / 2);
  const scales = new Float32Array(n * blocks);
  const zeroPoints = new Uint8Array(n * zeroBytes);
  const block = new Float32Array(blockSize);
  for (let j = 0; j < n; j += 1) {
    for (let b = 0; b < blocks; b += 1) {
      const size = readBlock(weights, j, b * blockSize, block);
      const { step, zero } = bestRange4(block, size);
      scales[j * blocks + b] = step;
      setNibble(zeroPoints, j * zeroBytes * 2 + b, zero);
      const at = (j * blocks + b) * blockSize;
      for (let i = 0; i < blockSize; i += 1) {
        setNibble(quantized, at + i, i < size ? clamp(Math.round((block[i] ?? 0) / step) + zero, 15) : zero);
      }
    }
  }
  return { quantized, scales, zeroPoints };
}

function bestRange4(block: Float32Array, size: number): { step: number; zero: number } {
  let low = 0;
  let high = 0;
  for (let i = 0; i < size; i += 1) {
    low = Math.min(low, block[i] ?? 0);
    high = Math.max(high, block[i] ?? 0);
  }
  let best = { step: 1, zero: 8 };
  if (high === low) return best;
  let least = Infinity;
  for (const share of RANGE_SHARES) {
    const step = Math.fround(((high - low) * share) / 15);
    const zero = clamp(Math.round((-low * share) / step), 15);
    let error = 0;
    for (let i = 0; i < size; i += 1) {
      const value = block[i] ?? 0;
      const lost = value - (clamp(Math.round(value / step) + zero, 15) - zero) * step;
      error += lost * lost;
    }
    if (error < least) [least, best] = [error, { step, zero }];
  }
  return best;
}

/** Reads the block of column j that begins at row `from`; returns how many elements it has. */
function readBlock(
  { k, values, strideK, strideN, scale }: Matrix,
  j: number,
  from: number,
  into: Float32Array,
): number {
  const size = Math.min(into.length, k - from);
  for (let i = 0; i < size; i += 1) into[i] = (values[(from + i) * strideK + j * strideN] ?? 0) * scale;
  return size;
}

function setNibble(bytes: Uint8Array, at: number, value: number): void {
  const index = at >> 1;
  bytes[index] = (bytes[index] ?? 0) | (at % 2 === 0 ? value : value << 4);
}

function clamp(value: number, max: number): number {
  return value < 0 ? 0 : value > max ? max : value;
}
