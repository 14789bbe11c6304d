// What is wrong with a request is said before anything is queued, with its field: over a real registry and real graphs.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { openTrainingDesk, trainableGraph, trainableYaml, type TrainingDesk } from '../../../support/training-desk.js';

const folder = temporaryFolders('resolve-request');
let desk: TrainingDesk;

beforeAll(async () => {
  desk = await openTrainingDesk(folder(), { trainingJobs: '0', trainingMemory: '1GiB' });
  await desk.publish({ 'model.yaml': trainableYaml('odd'), 'm.onnx': oddGraph() }, 'odd');
  await desk.addDataset('odd', 1, { model: 'odd' });
});
afterAll(() => desk.closing.run());

/** An operator without a gradient between the layers. */
function oddGraph(): Buffer {
  return trainableGraph([makeNode('Round', ['h'], ['g'], { name: 'middle' })]);
}

test('fills in what was left out, and pins versions and digests', async () => {
  const job = await desk.create(1, { datasets: ['hard', 'hard@1'], slices: ['slice'] });
  expect(job).toMatchObject({
    state: 'queued',
    detail: 'this hub runs no training jobs (--training-jobs 0)',
    parent: 1,
    datasets: [{ spec: 'hard@2' }, { spec: 'hard@1' }],
    slices: [{ spec: 'slice@1', digest: expect.stringMatching(/^sha256:/) }],
    memoryLimitBytes: 2 ** 30,
    maxDrop: 0.01,
  });
  expect(job.threads).toBeGreaterThanOrEqual(1);
  expect(await desk.create(1, { threads: 3, memoryLimitBytes: 2 ** 27 })).toMatchObject({
    threads: 3,
    memoryLimitBytes: 2 ** 27,
  });
});

describe('refuses', () => {
  const count = async (): Promise<number> => (await desk.training.jobs.list({ limit: 100 })).length;

  test.each([
    ['a model that is not there', { model: 'nobody' }, 'not-found', 'model'],
    ['a parent that is not there', { parent: '9' }, 'not-found', 'parent'],
    ['a dataset that is not there', { datasets: ['hard@1', 'soft'] }, 'not-found', 'datasets/1'],
    ['a dataset named twice', { datasets: ['hard', 'hard@2'] }, 'invalid', 'datasets/1'],
    ['a dataset of another model', { datasets: ['odd'] }, 'invalid', 'datasets/0'],
    ['a slice that is not there', { slices: ['nobody'] }, 'not-found', 'slices/0'],
    ['a slice that holds nothing out', { slices: ['all-train'] }, 'invalid', 'slices/0'],
    ['data that nothing can judge', { datasets: ['all-train'] }, 'invalid', 'datasets'],
    ['a label that is a number', { label: '7' }, 'invalid', 'label'],
    ['a label that is taken', { label: '1.0' }, 'conflict', 'label'],
    ['a graph that is not there', { graph: 'other.onnx' }, 'invalid', 'graph'],
  ])('%s', async (_what, change, code, field) => {
    const before = await count();
    await expect(desk.create(1, change)).rejects.toMatchObject({ name: 'JobError', code, field });
    expect(await count()).toBe(before);
  });

  test('an operator without a gradient, by its name and place', async () => {
    await expect(desk.create(1, { model: 'odd', datasets: ['odd'] })).rejects.toMatchObject({
      code: 'invalid',
      field: 'graph',
      message: expect.stringMatching(/can't be trained: .*middle.*Round.*no gradient/),
    });
  });

  test('a pattern that names nothing, with what there is', async () => {
    await expect(desk.create(1, {}, { freeze: ['conv*'] })).rejects.toMatchObject({
      code: 'invalid',
      field: 'parameters/freeze',
      message: expect.stringContaining('fc1.weight'),
    });
  });

  test('a dataset without a sample to train on', async () => {
    await desk.addDataset('test-only', 1, { train: 0 });
    await expect(desk.create(1, { datasets: ['test-only'] })).rejects.toMatchObject({ field: 'datasets/0' });
  });
});
