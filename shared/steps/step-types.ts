// What steps say about the types and shapes that they take, in one wording.
import type { Datatype } from '../tensor/datatype.js';
import { shapeMatches, sizeBytes, type Tensor } from '../tensor/tensor.js';
import { StepError, type ValueType } from './step.js';

/** The step's only input; throws StepError where there are more or none. */
export function onlyInput<T>(step: string, inputs: readonly T[]): T {
  const [first] = inputs;
  if (first === undefined || inputs.length !== 1) {
    throw new StepError(step, `takes 1 input, but ${inputs.length} are given`);
  }
  return first;
}

/** The step's two inputs, which `names` tells in their order; throws StepError where there are more or less. */
export function twoInputs<T>(step: string, names: string, inputs: readonly T[]): [T, T] {
  const [first, second] = inputs;
  if (first === undefined || second === undefined || inputs.length !== 2) {
    throw new StepError(step, `takes 2 inputs (${names}), but ${inputs.length} are given`);
  }
  return [first, second];
}

/** Throws StepError where a type can't be `datatype` of `shape`; a -1 on either side is any size. */
export function expectType(step: string, datatype: Datatype, shape: readonly number[], actual: ValueType): void {
  const fits =
    actual.datatype === datatype &&
    actual.shape.length === shape.length &&
    shape.every((size, at) => size < 0 || (actual.shape[at] ?? -1) < 0 || size === actual.shape[at]);
  if (!fits) {
    throw new StepError(step, `takes ${typeName({ datatype, shape })}, but is given ${typeName(actual)}`);
  }
}

/** As expectType for a tensor in the hand, whose bytes must be there too. */
export function expectTensor(step: string, datatype: Datatype, shape: readonly number[], actual: Tensor): void {
  if (actual.datatype !== datatype || !shapeMatches(shape, actual.shape)) {
    throw new StepError(step, `takes ${typeName({ datatype, shape })}, but is given ${typeName(actual)}`);
  }
  const size = sizeBytes(datatype, actual.shape);
  if (size !== undefined && size !== actual.data.byteLength) {
    throw new StepError(step, `is given ${actual.data.byteLength} bytes for ${typeName(actual)}, which takes ${size}`);
  }
}

/** `FP32 [1, 3, 48, -1]`. */
export function typeName({ datatype, shape }: ValueType): string {
  return `${datatype} [${shape.join(', ')}]`;
}
