// What is logged stays: once, whole or not at all, the latest by step. A real database; orders by fast-check.
import { metricHistory } from '@tidegate/cloud-hub/mlflow/metric-history.js';
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { metric, openMlflow, type MlflowFixture } from './mlflow-fixture.js';

let mlflow: MlflowFixture;
beforeEach(async () => {
  mlflow = await openMlflow();
});
afterEach(() => mlflow.db.destroy());

const history = (run: string, key: string, more: object = {}) =>
  metricHistory(mlflow.db, requests.getHistory.parse({ run_id: run, metric_key: key, ...more }));
const row = (run: string) =>
  mlflow.db.selectFrom('mlflow_runs').selectAll().where('id', '=', run).executeTakeFirstOrThrow();

describe('metrics', () => {
  test('a point that is sent again is there once, and counted once', async () => {
    const run = await mlflow.run();
    const metrics = [metric('m', 1, 0), metric('m', 1, 0), metric('m', 2, 1), metric('n', 'NaN', 0)];
    await mlflow.batch(run, { metrics });
    const before = await row(run);
    await mlflow.batch(run, { metrics });
    expect(await row(run)).toEqual(before);
    expect(before.points).toBe(3);
    expect((await history(run, 'm')).metrics.map(({ value }) => value)).toEqual([1, 2]);
    expect((await history(run, 'n')).metrics).toEqual([
      { key: 'n', value: 'NaN', timestamp: 1_700_000_000_000, step: 0 },
    ]);
  });

  test('the latest is the largest step, then time, then value, in whatever order and batches they come', async () => {
    const point = fc.record({
      value: fc.integer({ min: 0, max: 3 }),
      step: fc.integer({ min: -2, max: 2 }),
      at: fc.integer({ min: 0, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(point, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 12 }),
        async (points, size) => {
          const run = await mlflow.run();
          for (let i = 0; i < points.length; i += size) {
            await mlflow.batch(run, {
              metrics: points.slice(i, i + size).map(({ value, step, at }) => metric('m', value, step, at)),
            });
          }
          const [last] = points.toSorted((a, b) => b.step - a.step || b.at - a.at || b.value - a.value);
          const shown = await mlflow.runs.get(run);
          expect(shown.data.metrics).toEqual([{ key: 'm', value: last?.value, step: last?.step, timestamp: last?.at }]);
          expect((await row(run)).points).toBe(new Set(points.map((one) => JSON.stringify(one))).size);
        },
      ),
      { numRuns: 60, seed: 7 },
    );
  });

  test('infinities are values', async () => {
    const run = await mlflow.run();
    await mlflow.batch(run, { metrics: [metric('up', 'Infinity'), metric('down', '-Infinity')] });
    expect((await mlflow.runs.get(run)).data.metrics.map(({ value }) => value)).toEqual(['-Infinity', 'Infinity']);
  });

  test('a history in pages', async () => {
    const run = await mlflow.run();
    await mlflow.batch(run, { metrics: Array.from({ length: 10 }, (_, i) => metric('m', i, i, i)) });
    const first = await history(run, 'm', { max_results: 4 });
    expect(first.metrics.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
    const second = await history(run, 'm', { max_results: 6, page_token: first.next_page_token });
    expect(second.metrics.map(({ step }) => step)).toEqual([4, 5, 6, 7, 8, 9]);
    expect(second.next_page_token).toBeUndefined();
    expect((await history(run, 'other')).metrics).toEqual([]);
    await expect(history('nosuch', 'm')).rejects.toThrow(/no run nosuch/);
  });
});

describe('params', () => {
  test('are logged once: the same value again is accepted, another is refused with nothing of its batch', async () => {
    const run = await mlflow.run();
    await mlflow.batch(run, { params: [{ key: 'p', value: '1' }] });
    await mlflow.batch(run, { params: [{ key: 'p', value: '1' }] });
    const before = await row(run);
    const bad = {
      metrics: [metric('m', 1)],
      tags: [{ key: 't', value: 'x' }],
      params: [
        { key: 'q', value: '1' },
        { key: 'p', value: '2' },
      ],
    };
    await expect(mlflow.batch(run, bad)).rejects.toThrow(/p of run \w+ is "1" and can't be changed to "2"/);
    expect(await row(run)).toEqual(before);
    expect((await mlflow.runs.get(run)).data).toMatchObject({ metrics: [], params: [{ key: 'p', value: '1' }] });
    expect(await mlflow.found(`tags.t = 'x'`)).toEqual([]);
  });

  test('a key given twice in one batch is refused', async () => {
    const run = await mlflow.run();
    const params = [
      { key: 'p', value: '1' },
      { key: 'p', value: '1' },
    ];
    await expect(mlflow.batch(run, { params })).rejects.toThrow(/p is given twice/);
  });
});

describe('tags', () => {
  test('change, and go; what they weigh is kept up', async () => {
    const run = await mlflow.run();
    const before = await row(run);
    await mlflow.batch(run, { tags: [{ key: 't', value: 'long value' }] });
    await mlflow.batch(run, {
      tags: [
        { key: 't', value: 'a' },
        { key: 't', value: 'bc' },
      ],
    });
    expect((await mlflow.runs.get(run)).data.tags).toContainEqual({ key: 't', value: 'bc' });
    expect((await row(run)).text_bytes).toBe(before.text_bytes + 3);
    await mlflow.log.deleteTag(run, 't');
    expect(await row(run)).toEqual(before);
    await expect(mlflow.log.deleteTag(run, 't')).rejects.toThrow(/has no tag t/);
  });

  test('mlflow.runName renames the run', async () => {
    const run = await mlflow.run({ run_name: 'one' });
    await mlflow.batch(run, { tags: [{ key: 'mlflow.runName', value: 'two' }] });
    expect((await mlflow.runs.get(run)).info['run_name']).toBe('two');
  });
});

describe('datasets', () => {
  const input = {
    dataset: { name: 'd', digest: 'x', schema: '{}' },
    tags: [{ key: 'mlflow.data.context', value: 'eval' }],
  };

  test('are kept once with their tags', async () => {
    const run = await mlflow.run();
    const request = requests.logInputs.parse({ run_id: run, datasets: [input] });
    await mlflow.log.logInputs(request);
    const before = await row(run);
    await mlflow.log.logInputs(request);
    expect(await row(run)).toEqual(before);
    expect((await mlflow.runs.get(run)).inputs.dataset_inputs).toEqual([
      { dataset: { name: 'd', digest: 'x', source: '', source_type: '', schema: '{}' }, tags: input.tags },
    ]);
    expect(await mlflow.found(`datasets.context = 'eval' and dataset.name LIKE 'd%'`)).toEqual([run]);
  });
});

describe('a run that is full', () => {
  test('takes no more text, and still ends', async () => {
    const run = await mlflow.run();
    const big = (i: number) => ({ key: `k${i}`, value: 'x'.repeat(8000) });
    const fill = async () => {
      for (let batch = 0; batch < 11; batch++) {
        await mlflow.batch(run, { tags: Array.from({ length: 100 }, (_, i) => big(batch * 100 + i)) });
      }
    };
    await expect(fill()).rejects.toThrow(expect.objectContaining({ code: 'RESOURCE_LIMIT_EXCEEDED' }));
    expect((await row(run)).text_bytes).toBeLessThanOrEqual(8 * 1024 ** 2);
    await mlflow.runs.update(requests.updateRun.parse({ run_id: run, status: 'FINISHED' }));
    await mlflow.log.deleteTag(run, 'k0');
  });
});

test('no run, a deleted run', async () => {
  const run = await mlflow.run();
  await mlflow.runs.delete(run, 'token:ci');
  await expect(mlflow.batch(run, { metrics: [metric('m', 1)] })).rejects.toThrow(/is deleted/);
  await expect(mlflow.batch('nosuch', { metrics: [metric('m', 1)] })).rejects.toThrow(
    expect.objectContaining({ code: 'RESOURCE_DOES_NOT_EXIST' }),
  );
});
