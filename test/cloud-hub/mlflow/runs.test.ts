// The life of a run, and the hub's limits: deleted runs make room for new ones.
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import { sql } from 'kysely';
import { afterEach, describe, expect, test } from 'vitest';
import { metric, openMlflow, type MlflowFixture } from './mlflow-fixture.js';

let mlflow: MlflowFixture;
afterEach(() => mlflow.db.destroy());

describe('a run', () => {
  test('is made with a name, a user, tags; ends; is renamed', async () => {
    mlflow = await openMlflow();
    const request = { user_id: 'ann', start_time: '5', tags: [{ key: 'a', value: '1' }] };
    const { info, data } = await mlflow.runs.create(requests.createRun.parse(request), 'token:ci');
    expect(info).toMatchObject({
      experiment_id: '0',
      user_id: 'ann',
      start_time: 5,
      status: 'RUNNING',
      lifecycle_stage: 'active',
    });
    expect(info['run_id']).toMatch(/^[0-9a-f]{32}$/);
    expect(data.tags).toEqual([
      { key: 'a', value: '1' },
      { key: 'mlflow.runName', value: info['run_name'] },
    ]);
    const update = requests.updateRun.parse({
      run_id: info['run_id'],
      status: 'FAILED',
      end_time: 9,
      run_name: 'other',
    });
    expect(await mlflow.runs.update(update)).toMatchObject({ status: 'FAILED', end_time: 9, run_name: 'other' });
    expect((await mlflow.runs.get(String(info['run_id']))).data.tags).toContainEqual({
      key: 'mlflow.runName',
      value: 'other',
    });
  });

  test('takes its name from the tag, and starts now where nothing is said', async () => {
    mlflow = await openMlflow();
    const id = await mlflow.run({ tags: [{ key: 'mlflow.runName', value: 'tagged' }] });
    expect((await mlflow.runs.get(id)).info).toMatchObject({ run_name: 'tagged', start_time: mlflow.clock.nowMs() });
  });

  test('is deleted and restored, twice as once, and each change is in the audit log', async () => {
    mlflow = await openMlflow();
    const id = await mlflow.run();
    for (const _ of [1, 2]) await mlflow.runs.delete(id, 'token:ci');
    expect(await mlflow.found('')).toEqual([]);
    expect(await mlflow.found('', { run_view_type: 'DELETED_ONLY' })).toEqual([id]);
    for (const _ of [1, 2]) await mlflow.runs.restore(id, 'token:ci');
    expect(await mlflow.found('')).toEqual([id]);
    expect(await mlflow.audited()).toEqual(['mlflow.run.create', 'mlflow.run.delete', 'mlflow.run.restore']);
  });

  test('needs an experiment that is there', async () => {
    mlflow = await openMlflow();
    await expect(mlflow.run({ experiment_id: '77' })).rejects.toThrow(/no experiment 77/);
    await expect(mlflow.run({ experiment_id: 'x' })).rejects.toThrow(/no experiment x/);
  });
});

describe('a hub that is full', () => {
  test('of runs: the longest deleted goes first, an active one never', async () => {
    mlflow = await openMlflow({ runs: 3 });
    const [a, b, c] = [await mlflow.run(), await mlflow.run(), await mlflow.run()];
    await expect(mlflow.run()).rejects.toThrow(/at most 3 runs/);
    await mlflow.runs.delete(b, 'token:ci');
    mlflow.clock.advance(1000);
    await mlflow.runs.delete(a, 'token:ci');
    const d = await mlflow.run();
    const left = await mlflow.found('', { run_view_type: 'ALL' });
    expect(left.toSorted()).toEqual([a, c, d].toSorted());
    await mlflow.runs.restore(a, 'token:ci');
    await expect(mlflow.run()).rejects.toThrow(expect.objectContaining({ code: 'RESOURCE_LIMIT_EXCEEDED' }));
  });

  test('of points: a deleted run’s points make room, with all that it had', async () => {
    mlflow = await openMlflow({ points: 10 });
    const [old, run] = [await mlflow.run(), await mlflow.run()];
    const points = (count: number, from = 0) => Array.from({ length: count }, (_, i) => metric('m', i, from + i));
    await mlflow.batch(old, {
      metrics: points(8),
      params: [{ key: 'p', value: '1' }],
      tags: [{ key: 't', value: '1' }],
    });
    await expect(mlflow.batch(run, { metrics: points(3) })).rejects.toThrow(/at most 10 points/);
    await mlflow.batch(run, { metrics: points(2) });
    await mlflow.runs.delete(old, 'token:ci');
    await mlflow.batch(run, { metrics: points(8, 2) });
    await expect(mlflow.runs.get(old)).rejects.toThrow(/no run/);
    for (const table of ['mlflow_metrics', 'mlflow_latest', 'mlflow_params', 'mlflow_tags'] as const) {
      const rows = await mlflow.db.selectFrom(table).selectAll().where('run', '=', old).execute();
      expect([table, rows]).toEqual([table, []]);
    }
    await expect(mlflow.batch(run, { metrics: points(1, 50) })).rejects.toThrow(/at most 10 points/);
  });

  test('of text; what it uses is counted from the database when it starts again', async () => {
    mlflow = await openMlflow({ textBytes: 200 });
    const run = await mlflow.run({ run_name: 'r' });
    await mlflow.batch(run, { params: [{ key: 'p', value: 'x'.repeat(150) }] });
    const again = await openMlflow({ textBytes: 200 }, mlflow.db);
    await expect(again.batch(run, { params: [{ key: 'q', value: 'x'.repeat(150) }] })).rejects.toThrow(
      /at most 200 bytes/,
    );
    await again.batch(run, { params: [{ key: 'q', value: '1' }] });
  });

  test('counts what it uses again where that failed', async () => {
    mlflow = await openMlflow();
    await sql`alter table mlflow_runs rename to elsewhere`.execute(mlflow.db);
    await expect(mlflow.run()).rejects.toThrow(/no such table/);
    await sql`alter table elsewhere rename to mlflow_runs`.execute(mlflow.db);
    expect(await mlflow.run()).toMatch(/^[0-9a-f]{32}$/);
  });

  test('of text: a longer name counts, and a shorter one gives its room back', async () => {
    mlflow = await openMlflow({ textBytes: 200 });
    const run = await mlflow.run({ run_name: 'r' });
    const rename = (run_name: string) => mlflow.runs.update(requests.updateRun.parse({ run_id: run, run_name }));
    const param = { key: 'p', value: 'x'.repeat(100) };
    await rename('n'.repeat(100));
    await expect(rename('n'.repeat(200))).rejects.toThrow(/at most 200 bytes/);
    await expect(mlflow.batch(run, { params: [param] })).rejects.toThrow(/at most 200 bytes/);
    await rename('r');
    await mlflow.batch(run, { params: [param] });
  });
});
