import { expect, it } from 'vitest';
import { jobDigest } from '@tidegate/cloud-hub/training/job-process/job-digest.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { trainingParametersSchema } from '@tidegate/shared/wire/training-api.js';

const order = {
  datasets: [{ spec: 'a@1', digest: sha256('a') }],
  slices: [],
  parameters: trainingParametersSchema.parse({ epochs: 2 }),
  threads: 1,
};
const facts = { order, versionDigest: sha256('v'), builds: ['0.1.0', 'engine 1'] };

it('is the same for the same job, however its datasets are called and its fields are ordered', () => {
  const { epochs, ...rest } = order.parameters;
  const renamed = { ...order, datasets: [{ spec: 'b@9', digest: sha256('a') }], parameters: { ...rest, epochs } };
  expect(jobDigest({ ...facts, order: renamed })).toBe(jobDigest(facts));
});

it('differs with whatever the weights depend on', () => {
  const others = [
    { ...facts, versionDigest: sha256('w') },
    { ...facts, builds: ['0.1.0', 'engine 2'] },
    { ...facts, order: { ...order, threads: 2 } },
    { ...facts, order: { ...order, graph: 'other.onnx' } },
    { ...facts, order: { ...order, datasets: [{ spec: 'a@1', digest: sha256('b') }] } },
    { ...facts, order: { ...order, slices: order.datasets } },
    { ...facts, order: { ...order, parameters: { ...order.parameters, seed: 8 } } },
    { ...facts, order: { ...order, parameters: { ...order.parameters, maxSteps: 10 } } },
  ];
  const digests = new Set([facts, ...others].map((one) => jobDigest(one)));
  expect(digests.size).toBe(others.length + 1);
});
