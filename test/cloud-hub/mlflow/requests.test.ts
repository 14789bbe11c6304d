// What clients send, at its edges: MLflow's limits, numbers as text, lists of one.
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import { describe, expect, test } from 'vitest';

const metric = { key: 'm', value: 1, timestamp: 5, step: 0 };
const run = { run_id: 'r' };

test('numbers may come as text, NaN and infinities do', () => {
  const read = requests.logMetric.parse({ ...run, key: 'm', value: 'NaN', timestamp: '1700000000000', step: '-4' });
  expect(read).toEqual({ run_id: 'r', key: 'm', value: Number.NaN, timestamp: 1_700_000_000_000, step: -4 });
  expect(requests.logMetric.parse({ ...run, ...metric, value: '-Infinity' }).value).toBe(-Infinity);
  expect(requests.logMetric.parse({ ...run, ...metric, value: '1.5e3' }).value).toBe(1500);
  expect(requests.logMetric.parse({ ...run, key: 'm', value: 0, timestamp: 1 }).step).toBe(0);
});

test('a query string: lists of one, enums by name or number, what is left out', () => {
  expect(requests.latestVersions.parse({ name: 'm', stages: 'None' }).stages).toEqual(['None']);
  expect(requests.searchExperiments.parse({ max_results: '5', view_type: '3' })).toMatchObject({
    max_results: 5,
    view_type: 'ALL',
  });
  expect(requests.searchExperiments.parse({})).toMatchObject({
    max_results: 1000,
    view_type: 'ACTIVE_ONLY',
    filter: '',
    order_by: [],
  });
  expect(requests.updateRun.parse({ ...run, status: 3 })).toMatchObject({ status: 'FINISHED', run_name: '' });
});

test('unknown fields are left out, as MLflow’s server does', () => {
  expect(requests.logParam.parse({ run_id: 'r', run_uuid: 'r', key: 'k', value: 'v' })).toEqual({
    run_id: 'r',
    key: 'k',
    value: 'v',
  });
});

describe('keys', () => {
  test.each(['a', 'train/acc', 'a.b-c_d e:f', 'größe', 'k'.repeat(250)])('%j', (key) => {
    expect(requests.logParam.parse({ ...run, key, value: '' }).key).toBe(key);
  });
  test.each(['', '/a', 'a/', 'a//b', '..', 'a/../b', './a', 'a@b', 'a\nb', 'k'.repeat(251)])('%j is refused', (key) => {
    expect(requests.logParam.safeParse({ ...run, key, value: '' }).success).toBe(false);
    expect(requests.logMetric.safeParse({ ...run, ...metric, key }).success).toBe(false);
    expect(requests.setTag.safeParse({ ...run, key, value: '' }).success).toBe(false);
  });
});

describe('limits', () => {
  const many = (count: number, item: object = metric): object[] => Array.from({ length: count }, () => item);
  const text = { key: 'k', value: 'v' };
  test.each([
    ['1000 metrics', { metrics: many(1000) }, true],
    ['1001 metrics', { metrics: many(1001) }, false],
    ['100 params and 100 tags', { params: many(100, text), tags: many(100, text) }, true],
    ['101 params', { params: many(101, text) }, false],
    ['101 tags', { tags: many(101, text) }, false],
    ['1000 in all', { metrics: many(900), params: many(100, text) }, true],
    ['1001 in all', { metrics: many(901), params: many(100, text) }, false],
    ['a param of 6000', { params: [{ key: 'k', value: 'x'.repeat(6000) }] }, true],
    ['a param of 6001', { params: [{ key: 'k', value: 'x'.repeat(6001) }] }, false],
    ['a tag of 8000', { tags: [{ key: 'k', value: 'x'.repeat(8000) }] }, true],
    ['a tag of 8001', { tags: [{ key: 'k', value: 'x'.repeat(8001) }] }, false],
    ['a time before 1970', { metrics: [{ ...metric, timestamp: -1 }] }, false],
    ['a step past 2^53', { metrics: [{ ...metric, step: '9223372036854775807' }] }, false],
    ['a value that is no number', { metrics: [{ ...metric, value: 'high' }] }, false],
    ['a value that is missing', { metrics: [{ key: 'm', timestamp: 1 }] }, false],
  ])('%s', (_, batch, fits) => {
    expect(requests.logBatch.safeParse({ ...run, ...batch }).success).toBe(fits);
  });

  test('a dataset’s digest, an experiment’s name, models', () => {
    const dataset = { name: 'd', digest: 'x'.repeat(37) };
    expect(requests.logInputs.safeParse({ ...run, datasets: [{ dataset }] }).success).toBe(false);
    expect(requests.createExperiment.safeParse({ name: 'x'.repeat(501) }).success).toBe(false);
    expect(requests.createExperiment.safeParse({ name: '' }).success).toBe(false);
    expect(requests.logInputs.safeParse({ ...run, models: [{ model_id: 'm' }] }).success).toBe(false);
  });
});
