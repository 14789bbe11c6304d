// The last word of a job that failed: what went wrong in words that tell what to change, and which part of the order is at fault, as the API
// names it. The hub says the same of a graph that it finds at fault before a job is queued.
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { TrainingDiverged } from '@tidegate/shared/training/train.js';
import { DataError } from '../../data/data-error.js';
import { GradientError } from '../gradients/gradient-error.js';
import { StepGraphError } from '../step-graph/step-graph-error.js';
import { OrderError } from './order-error.js';

interface Failure {
  readonly message: string;
  readonly field?: string;
}

const STEP_GRAPH_FIELDS: Readonly<Record<StepGraphError['code'], string>> = {
  'old-graph': 'graph',
  'bad-output': 'graph',
  'bad-values': 'graph',
  'wrong-type': 'graph',
  'nothing-to-train': 'parameters/freeze',
  'unmatched-pattern': 'parameters/freeze',
};

export function explainFailure(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof OrderError) return withField(message, error.field);
  if (error instanceof DataError) return withField(message, error.field === 'label' ? 'datasets' : error.field);
  if (error instanceof TrainingDiverged) return { message, field: 'parameters/learningRate' };
  if (error instanceof RuntimeError) return { message: `the engine: ${message}` };
  return explainUntrainable(error) ?? { message };
}

/** Of the parent's package, its graph, or what was asked of it; undefined for any other error. */
export function explainUntrainable(error: unknown): Required<Failure> | undefined {
  if (error instanceof GradientError) {
    return { message: `the graph can't be trained: ${error.message}`, field: 'graph' };
  }
  if (error instanceof StepGraphError) return { message: error.message, field: STEP_GRAPH_FIELDS[error.code] };
  if (error instanceof PackageError || error instanceof OnnxError) {
    return { message: `the parent's package can't be trained: ${error.message}`, field: 'graph' };
  }
  return undefined;
}

function withField(message: string, field: string | undefined): Failure {
  return field === undefined ? { message } : { message, field };
}
