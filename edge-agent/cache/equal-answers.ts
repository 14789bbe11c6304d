// Do two answers to one question say the same? For audits: of a cached answer against one computed anyway. Floats may differ in their
// last digits from run to run (rows that shared a batch, other kernels); everything else must be equal.
import { float32Of, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const TOLERANCE = 1e-3;

/** By name, datatype, shape and values; FP32 within 0.001 of the larger of 1 and the value. */
export function areEqualAnswers(one: readonly NamedTensor[], other: readonly NamedTensor[]): boolean {
  return one.length === other.length && one.every((output, at) => areEqual(output, other[at]));
}

function areEqual(one: NamedTensor, other: NamedTensor | undefined): boolean {
  if (other === undefined || one.name !== other.name || one.datatype !== other.datatype) return false;
  if (one.shape.length !== other.shape.length || one.shape.some((size, at) => size !== other.shape[at])) return false;
  if (one.datatype !== 'FP32') return Buffer.compare(one.data, other.data) === 0;
  const [values, others] = [float32Of(one), float32Of(other)];
  return values.length === others.length && values.every((value, at) => areClose(value, others[at] ?? NaN));
}

function areClose(value: number, other: number): boolean {
  return Object.is(value, other) || Math.abs(value - other) <= TOLERANCE * Math.max(1, Math.abs(value));
}
