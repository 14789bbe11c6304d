// Training jobs as runs: read like any other, brought up to date while the job goes on, changed by nobody.
import { metricHistory } from '@tidegate/cloud-hub/mlflow/metric-history.js';
import { jobRunId, refreshJobRuns } from '@tidegate/cloud-hub/mlflow/job-runs.js';
import { RegisteredModels } from '@tidegate/cloud-hub/mlflow/registered-models.js';
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import { recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import {
  changeJob,
  insertJob,
  writeProgress,
  type JobChange,
  type JobRecord,
} from '@tidegate/cloud-hub/training/jobs/job-store.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { createJobSchema, JOB_STATES, type JobPoint, type JobState } from '@tidegate/shared/wire/training-api.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openMlflow, type MlflowFixture } from './mlflow-fixture.js';

const CREATED = '2026-01-01T00:00:00.000Z';
const STARTED = '2026-01-01T00:00:05.000Z';
const ENDED = '2026-01-01T00:01:00.000Z';
let mlflow: MlflowFixture;
beforeEach(async () => {
  mlflow = await openMlflow();
});
afterEach(() => mlflow.db.destroy());

async function job(id: string, model = 'digits'): Promise<string> {
  const request = createJobSchema.parse({
    model,
    parent: '1',
    datasets: ['hard@1'],
    slices: ['thick@2'],
    parameters: { epochs: 2 },
  });
  const record: JobRecord = {
    id,
    model,
    parent: 1,
    parentDigest: sha256('parent'),
    request: { ...request, threads: 2, memoryLimitBytes: 1024 ** 3 },
    datasets: [{ spec: 'hard@1', digest: sha256('hard') }],
    slices: [{ spec: 'thick@2', digest: sha256('thick') }],
    priority: 0,
    state: 'queued',
    detail: undefined,
    progress: undefined,
    evaluation: undefined,
    version: undefined,
    createdBy: 'token:ci',
    createdAt: CREATED,
    startedAt: undefined,
    endedAt: undefined,
  };
  await mlflow.db.transaction().execute((trx) => insertJob(trx, record));
  return jobRunId(id);
}

const change = (id: string, changed: JobChange) =>
  changeJob({ db: mlflow.db, audit: recordAudit }, { id, from: JOB_STATES, change: changed }, 0);
const points = (id: string, list: JobPoint[]) => writeProgress(mlflow.db, id, {}, list);

async function shown(run: string) {
  await refreshJobRuns(mlflow.db);
  const { info, data, inputs } = await mlflow.runs.get(run);
  const of = (list: readonly { key: string; value: unknown }[]) =>
    Object.fromEntries(list.map(({ key, value }) => [key, value]));
  return {
    info,
    params: of(data.params),
    tags: of(data.tags),
    metrics: of(data.metrics),
    inputs: inputs.dataset_inputs,
  };
}

test('a job from its queue to its version', async () => {
  const run = await job('j1');
  expect(await shown(run)).toMatchObject({
    info: { status: 'SCHEDULED', run_name: 'j1', user_id: 'token:ci', start_time: Date.parse(CREATED) },
    params: { model: 'digits', parent: '1', epochs: '2', optimizer: 'adamw', threads: '2', freeze: '[]' },
    tags: {
      'tidegate.state': 'queued',
      'tidegate.dataset.hard@1': sha256('hard'),
      'tidegate.parent.digest': sha256('parent'),
    },
    metrics: {},
  });
  await change('j1', { state: 'running', startedAt: STARTED });
  await points('j1', [
    { step: 1, loss: 2, learningRate: 0.1 },
    { step: 2, loss: 1, metric: 0.5, learningRate: 0.2 },
  ]);
  expect(await shown(run)).toMatchObject({
    info: { status: 'RUNNING', start_time: Date.parse(STARTED) },
    metrics: { loss: 1, accuracy: 0.5, learning_rate: 0.2 },
  });
  const sets = [
    { dataset: 'hard@1', role: 'held-out' as const, metric: 'accuracy' as const, count: 9, parent: 0.6, result: 0.9 },
  ];
  await change('j1', {
    state: 'succeeded',
    endedAt: ENDED,
    version: 2,
    evaluation: { sets, passed: true, reason: 'better' },
  });
  expect(await shown(run)).toMatchObject({
    info: { status: 'FINISHED', end_time: Date.parse(ENDED) },
    tags: { 'tidegate.version': 'digits@2', 'tidegate.evaluation.passed': 'true' },
    metrics: { 'held-out/hard.v1/accuracy': 0.9, 'held-out/hard.v1/parent_accuracy': 0.6, loss: 1 },
    inputs: [
      {
        dataset: { name: 'hard@1', digest: sha256('hard') },
        tags: [{ key: 'mlflow.data.context', value: 'training' }],
      },
      { dataset: { name: 'thick@2' }, tags: [{ key: 'mlflow.data.context', value: 'evaluation' }] },
    ],
  });
  const asked = { run_id: run, metric_key: 'held-out/hard.v1/accuracy' };
  const { metrics } = await metricHistory(mlflow.db, requests.getHistory.parse(asked));
  expect(metrics).toEqual([{ key: asked.metric_key, value: 0.9, step: 2, timestamp: Date.parse(ENDED) }]);
});

test.each([
  ['preempted', 'SCHEDULED'],
  ['publishing', 'RUNNING'],
  ['failed', 'FAILED'],
  ['cancelled', 'KILLED'],
] as const)('a job that is %s is %s', async (state: JobState, status) => {
  const run = await job('j1');
  await change('j1', { state });
  expect((await shown(run)).info).toMatchObject({ status });
});

test('the history is the job’s chart', async () => {
  const run = await job('j1');
  await points(
    'j1',
    Array.from({ length: 5 }, (_, step) => ({
      step,
      loss: 5 - step,
      learningRate: 1,
      ...(step === 3 ? { metric: 0.5 } : {}),
    })),
  );
  await refreshJobRuns(mlflow.db);
  const history = async (key: string, more: object = {}) =>
    metricHistory(mlflow.db, requests.getHistory.parse({ run_id: run, metric_key: key, ...more }));
  expect((await history('loss')).metrics.map(({ step, value }) => [step, value])).toEqual(
    [0, 1, 2, 3, 4].map((step) => [step, 5 - step]),
  );
  expect((await history('accuracy')).metrics).toMatchObject([{ step: 3, value: 0.5 }]);
  const first = await history('loss', { max_results: 3 });
  expect((await history('loss', { page_token: first.next_page_token })).metrics.map(({ step }) => step)).toEqual([
    3, 4,
  ]);
  expect((await history('constructor')).metrics).toEqual([]);
});

test('one experiment for each model; searches find jobs beside clients’ runs', async () => {
  const [a, b, c] = [await job('a'), await job('b'), await job('c', 'other')];
  await change('b', { state: 'failed' });
  const own = await mlflow.run();
  await refreshJobRuns(mlflow.db);
  const digits = await mlflow.experiments.getByName('tidegate/digits');
  const other = await mlflow.experiments.getByName('tidegate/other');
  const experiment_ids = ['0', digits.experiment_id, other.experiment_id];
  expect((await mlflow.found('', { experiment_ids })).toSorted()).toEqual([a, b, c, own].toSorted());
  expect(await mlflow.found(`status = 'FAILED'`, { experiment_ids })).toEqual([b]);
  expect(await mlflow.found(`datasets.name = 'hard@1'`, { experiment_ids: [other.experiment_id] })).toEqual([c]);
});

test('nobody changes them, and they take none of the hub’s limits', async () => {
  const limited = await openMlflow({ runs: 1 }, mlflow.db);
  const run = await job('j1');
  await refreshJobRuns(mlflow.db);
  const { experiment_id } = await mlflow.experiments.getByName('tidegate/digits');
  const denied = expect.objectContaining({ code: 'PERMISSION_DENIED' });
  const log = { run_id: run, tags: [{ key: 'k', value: 'v' }] };
  await expect(mlflow.log.log(requests.logBatch.parse(log))).rejects.toThrow(denied);
  await expect(mlflow.runs.update(requests.updateRun.parse({ run_id: run, status: 'FAILED' }))).rejects.toThrow(denied);
  await expect(mlflow.runs.delete(run, 'token:ci')).rejects.toThrow(denied);
  await expect(mlflow.run({ experiment_id })).rejects.toThrow(denied);
  await expect(mlflow.experiments.delete(experiment_id, 'token:ci')).rejects.toThrow(denied);
  await expect(mlflow.experiments.setTag(experiment_id, 'k', 'v')).rejects.toThrow(denied);
  await limited.run();
});

test('a version names the run that made it', async () => {
  const run = await job('j1');
  await mlflow.db.insertInto('models').values({ name: 'digits', description: null, created_at: CREATED }).execute();
  const version = {
    model: 'digits',
    version: 2,
    digest: sha256('2'),
    label: null,
    licence: 'MIT',
    privacy: '{}',
    state: 'ready' as const,
    detail: null,
  };
  await mlflow.db
    .insertInto('versions')
    .values({ ...version, size_bytes: 1, manifest: '{}', created_at: CREATED })
    .execute();
  const origin = {
    model: 'digits',
    version: 2,
    job: 'j1',
    parent: 1,
    parent_digest: sha256('1'),
    datasets: '[]',
    parameters: '{}',
  };
  await mlflow.db
    .insertInto('lineage')
    .values({ ...origin, code_version: '0', evaluation: '{}' })
    .execute();
  const models = new RegisteredModels(mlflow.db);
  expect((await models.version('digits', '2')).run_id).toBe(run);
  const found = await models.searchVersions(requests.searchRegistry.parse({ filter: `run_id = '${run}'` }));
  expect(found.model_versions.map(({ version: number }) => number)).toEqual(['2']);
});
