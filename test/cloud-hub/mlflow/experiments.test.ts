// Experiments: names, tags, deleting with runs, limits, and that nobody makes one that is the hub's.
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openMlflow, type MlflowFixture } from './mlflow-fixture.js';

let mlflow: MlflowFixture;
beforeEach(async () => {
  mlflow = await openMlflow({ experiments: 4, experimentTags: 2 });
});
afterEach(() => mlflow.db.destroy());

const create = (name: string, tags: object[] = []) =>
  mlflow.experiments.create(requests.createExperiment.parse({ name, tags }), 'token:ci');
const names = async (request: object): Promise<string[]> =>
  (await mlflow.experiments.search(requests.searchExperiments.parse(request))).experiments.map(({ name }) => name);

test('Default is there from the beginning, and stays', async () => {
  expect(await mlflow.experiments.get('0')).toMatchObject({
    experiment_id: '0',
    name: 'Default',
    lifecycle_stage: 'active',
  });
  await expect(mlflow.experiments.delete('0', 'token:ci')).rejects.toThrow(/stays/);
  expect(await create('one')).toBe('1');
});

test('a name is there once, in any state', async () => {
  const id = await create('one');
  await expect(create('one')).rejects.toThrow(expect.objectContaining({ code: 'RESOURCE_ALREADY_EXISTS' }));
  await mlflow.experiments.delete(id, 'token:ci');
  await expect(create('one')).rejects.toThrow(/is deleted; restore it/);
  const two = await create('two');
  await expect(mlflow.experiments.rename(two, 'one', 'token:ci')).rejects.toThrow(/exists/);
  await mlflow.experiments.rename(two, 'two', 'token:ci');
  await mlflow.experiments.rename(two, 'three', 'token:ci');
  expect((await mlflow.experiments.getByName('three')).experiment_id).toBe(two);
  await expect(mlflow.experiments.getByName('two')).rejects.toThrow(
    expect.objectContaining({ code: 'RESOURCE_DOES_NOT_EXIST' }),
  );
});

test('goes and comes back with its runs; twice as once; each change is in the audit log', async () => {
  const id = await create('one');
  const run = await mlflow.run({ experiment_id: id });
  for (const _ of [1, 2]) await mlflow.experiments.delete(id, 'token:ci');
  expect((await mlflow.runs.get(run)).info['lifecycle_stage']).toBe('deleted');
  await expect(mlflow.run({ experiment_id: id })).rejects.toThrow(/is deleted/);
  await expect(mlflow.experiments.setTag(id, 'k', 'v')).rejects.toThrow(/is deleted/);
  for (const _ of [1, 2]) await mlflow.experiments.restore(id, 'token:ci');
  expect((await mlflow.runs.get(run)).info['lifecycle_stage']).toBe('active');
  const changes = [
    'mlflow.experiment.create',
    'mlflow.run.create',
    'mlflow.experiment.delete',
    'mlflow.experiment.restore',
  ];
  expect(await mlflow.audited()).toEqual(changes);
});

describe('limits', () => {
  test('of experiments, deleted ones counted', async () => {
    const id = await create('1');
    await create('2');
    await create('3');
    await mlflow.experiments.delete(id, 'token:ci');
    await expect(create('4')).rejects.toThrow(expect.objectContaining({ code: 'RESOURCE_LIMIT_EXCEEDED' }));
  });

  test('of tags', async () => {
    const id = await create('1', [{ key: 'a', value: '1' }]);
    await mlflow.experiments.setTag(id, 'b', '2');
    await expect(mlflow.experiments.setTag(id, 'c', '3')).rejects.toThrow(/at most 2 tags/);
    await mlflow.experiments.setTag(id, 'b', '3');
    await mlflow.experiments.deleteTag(id, 'a');
    await expect(mlflow.experiments.deleteTag(id, 'a')).rejects.toThrow(/no tag a/);
    expect((await mlflow.experiments.get(id)).tags).toEqual([{ key: 'b', value: '3' }]);
  });
});

test('a search by name, tag, time; ordered, in pages', async () => {
  await create('vision/a', [{ key: 'owner', value: 'Ann' }]);
  mlflow.clock.advance(10);
  await create('vision/b', [{ key: 'owner', value: 'bob' }]);
  mlflow.clock.advance(10);
  await create('audio');
  expect(await names({})).toEqual(['audio', 'vision/b', 'vision/a', 'Default']);
  expect(await names({ filter: `name LIKE 'vision/%'`, order_by: ['name ASC'] })).toEqual(['vision/a', 'vision/b']);
  expect(await names({ filter: `tags.owner ILIKE 'A%'` })).toEqual(['vision/a']);
  expect(await names({ filter: `tags.owner IS NULL and creation_time > 0` })).toEqual(['audio']);
  const first = await mlflow.experiments.search(
    requests.searchExperiments.parse({ max_results: 3, order_by: ['name'] }),
  );
  expect(first.experiments.map(({ name }) => name)).toEqual(['Default', 'audio', 'vision/a']);
  expect(await names({ max_results: 3, order_by: ['name'], page_token: first.next_page_token })).toEqual(['vision/b']);
  await expect(names({ filter: 'metrics.a > 1' })).rejects.toThrow(/there are attribute, tag/);
});

test('names that begin with tidegate/ are the hub’s', async () => {
  await expect(create('tidegate/mine')).rejects.toThrow(/this hub's own/);
  const id = await create('one');
  await expect(mlflow.experiments.rename(id, 'tidegate/mine', 'token:ci')).rejects.toThrow(/this hub's own/);
});
