// Whose fault it is. What is wrong with a pipeline is the package's: a PackageError that names the node in model.yaml. What a step refuses of a
// request is the caller's, if only steps lie between, and the model's behind a graph.
import type { DataflowPlan, PlannedNode } from '../package/dataflow.js';
import { PackageError } from '../package/package-error.js';
import { StepError } from '../steps/step.js';
import { ServingError } from './serving-error.js';

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

/** What a step that refused says to the caller. `given`: by name, what the request gives. */
export function faultAt(
  plan: DataflowPlan,
  given: ReadonlyMap<string, unknown>,
  node: PlannedNode,
  cause: StepError,
): ServingError {
  const fed = feeding(plan, given, node);
  if (fed === undefined) return new ServingError('failed', cause.message, { cause });
  const field = fed[0] ?? 'inputs';
  return new ServingError('invalid-argument', `input '${field}': ${cause.message}`, { cause, field });
}

/** The given inputs that reach a node through steps alone; undefined where a graph lies between. */
function feeding(
  { makerOf }: DataflowPlan,
  given: ReadonlyMap<string, unknown>,
  node: PlannedNode,
): string[] | undefined {
  const found: string[] = [];
  const open = [node];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if ('graph' in next.node) return undefined;
    for (const { value } of next.inputs) {
      const maker = makerOf.get(value);
      if (given.has(value) || maker === undefined) found.push(value);
      else open.push(maker);
    }
  }
  return found;
}
