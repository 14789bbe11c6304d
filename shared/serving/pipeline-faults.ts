// What is wrong with a pipeline is the package's fault: a PackageError that names the node in model.yaml.
import type { PlannedNode } from '../package/dataflow.js';
import { PackageError } from '../package/package-error.js';
import { StepError } from '../steps/step.js';

/** Turns the step's own StepError into one of the package. */
export function inNode<T>({ index }: PlannedNode, act: () => T | Promise<T>): Promise<T> {
  return inField(`pipeline.${index}`, act);
}

export async function inField<T>(field: string, act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (!(cause instanceof StepError)) throw cause;
    throw invalidModel(field, cause.message, cause);
  }
}

export function invalidModel(field: string, message: string, cause?: unknown): PackageError {
  return new PackageError(
    'invalid-model',
    message,
    { file: 'model.yaml', field },
    cause === undefined ? {} : { cause },
  );
}
