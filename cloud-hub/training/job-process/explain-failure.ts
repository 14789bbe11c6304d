// The last word of a job that failed: what went wrong in words that tell what to change, and which part of the order is at fault.
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { TrainingDiverged } from '@tidegate/shared/training/train.js';
import { DataError } from '../../data/data-error.js';
import { GradientError } from '../gradients/gradient-error.js';
import { StepGraphError } from '../step-graph/step-graph-error.js';
import { JobError } from './job-error.js';

interface Failure {
  readonly message: string;
  readonly field?: string;
}

const STEP_GRAPH_FIELDS: Readonly<Record<StepGraphError['code'], string>> = {
  'old-graph': 'graph',
  'bad-output': 'graph',
  'bad-values': 'graph',
  'wrong-type': 'graph',
  'nothing-to-train': 'parameters.freeze',
  'unmatched-pattern': 'parameters.freeze',
};

export function explainFailure(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof JobError) return withField(message, error.field);
  if (error instanceof DataError) return withField(message, error.field === 'label' ? 'datasets' : error.field);
  if (error instanceof GradientError) return { message: `the graph can't be trained: ${message}`, field: 'graph' };
  if (error instanceof StepGraphError) return { message, field: STEP_GRAPH_FIELDS[error.code] };
  if (error instanceof TrainingDiverged) return { message, field: 'parameters.learningRate' };
  if (error instanceof PackageError || error instanceof OnnxError) return { message, field: 'graph' };
  if (error instanceof RuntimeError) return { message: `the engine: ${message}` };
  return { message };
}

function withField(message: string, field: string | undefined): Failure {
  return field === undefined ? { message } : { message, field };
}
