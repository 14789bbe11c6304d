import { expect, it } from 'vitest';
import { DataError } from '@tidegate/cloud-hub/data/data-error.js';
import { GradientError } from '@tidegate/cloud-hub/training/gradients/gradient-error.js';
import { explainFailure } from '@tidegate/cloud-hub/training/job-process/explain-failure.js';
import { OrderError } from '@tidegate/cloud-hub/training/job-process/order-error.js';
import { StepGraphError } from '@tidegate/cloud-hub/training/step-graph/step-graph-error.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { TrainingDiverged } from '@tidegate/shared/training/train.js';

it.each([
  [new OrderError('no-held-out', 'm', { field: 'slices' }), 'slices', /^m$/],
  [new OrderError('bad-order', 'm'), undefined, /^m$/],
  [new DataError('invalid', 'sample x: its label is odd', { field: 'label' }), 'datasets', /sample x/],
  [new DataError('not-found', 'm', { field: 'dataset' }), 'dataset', /^m$/],
  [new GradientError('no-gradient', 'm', 'node n (Round)'), 'graph', /can't be trained: node n \(Round\): m/],
  [new StepGraphError('unmatched-pattern', 'm'), 'parameters/freeze', /^m$/],
  [new StepGraphError('old-graph', 'm'), 'graph', /^m$/],
  [new PackageError('not-found', 'm', { file: 'f' }), 'graph', /^the parent's package can't be trained: .*m/],
  [new TrainingDiverged(7), 'parameters/learningRate', /update 7 .* smaller learning rate/],
  [new RuntimeError('run-failed', 'm'), undefined, /^the engine: m$/],
  [Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }), undefined, /no space left/],
  ['a text', undefined, /a text/],
])('tells what %s is about', (error, field, words) => {
  const failure = explainFailure(error);
  expect(failure.field).toBe(field);
  expect(failure.message).toMatch(words);
  expect('field' in failure).toBe(field !== undefined);
});
