// Distinct inputs for examples/digits, and what the network answers to each: computed once per test run by asking one at a
// time, so that answers under load are compared with what the same model says in peace.
import { seededRandom } from '@tidegate/shared/system/random.js';
import { bytesOf, float32Of, tensor, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';

/** A reproducible picture of strokes and noise; each seed another. */
export function digitInput(seed: number, rows = 1): NamedTensor[] {
  const random = seededRandom(seed);
  const pixels = Float32Array.from({ length: rows * 784 }, (_, i) => {
    const stroke = Math.abs((i % 28) - 14 + 6 * Math.sin(seed + i / 40)) < 3 ? 1 : 0;
    return Math.min(1, stroke * random.next() + 0.2 * random.next());
  });
  return [tensor('image', 'FP32', [rows, 1, 28, 28], bytesOf(pixels))];
}

/** Are two logits equal but for the rounding that another batch size brings? */
export function closeTo(a: Tensor | undefined, b: Tensor | undefined): boolean {
  if (a === undefined || b === undefined || a.data.byteLength !== b.data.byteLength) return false;
  const [x, y] = [float32Of(a), float32Of(b)];
  return x.every((value, i) => Math.abs(value - (y[i] ?? Number.NaN)) < 1e-3);
}
