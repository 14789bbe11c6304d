// A network's step graph and the one batch that it is trained on, for the measurements of this folder.
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { buildStepGraph } from '../../cloud-hub/dist/training/step-graph/build-step-graph.js';
import { TRAINING_MODELS, trainingModel } from './models.mjs';

/** Small, so that the batch is not learned by heart: what nearly vanishes is slow to compute with. */
export const LEARNING_RATE = 1e-5;

export function preparedStep(name) {
  const spec = TRAINING_MODELS.find((one) => one.name === name);
  if (spec === undefined) throw new Error(`no network ${name}; ${TRAINING_MODELS.map((one) => one.name).join(', ')}`);
  const step = buildStepGraph(trainingModel(spec), {
    ...{ loss: 'cross-entropy', optimizer: 'adamw', momentum: 0.9, weightDecay: 0.01, clipNorm: 0, accumulate: 1 },
    ...{ freeze: [], rates: [], batchNormalization: 'batch' },
  });
  const shape = [spec.batch, ...spec.sample];
  const pixels = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * i));
  const classes = BigInt64Array.from({ length: spec.batch }, (_, i) => BigInt(i % 10));
  const batch = {
    feeds: [tensor('x', 'FP32', shape, bytesOf(pixels))],
    labels: tensor('labels', 'INT64', [spec.batch], bytesOf(classes)),
    count: spec.batch,
  };
  return { step, batch };
}
