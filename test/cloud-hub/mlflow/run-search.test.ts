// Searches over runs: by the database, against the same search over the same runs in memory.
import { searchList } from '@tidegate/cloud-hub/mlflow/match-clause.js';
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import type { ShownRun } from '@tidegate/cloud-hub/mlflow/run-rows.js';
import { searchRuns } from '@tidegate/cloud-hub/mlflow/run-search.js';
import { parseFilter, parseOrder, type Name, type Searchable } from '@tidegate/cloud-hub/mlflow/search-language.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { metric, openMlflow, type MlflowFixture } from './mlflow-fixture.js';

const ATTRIBUTES: Searchable = {
  entities: ['metric', 'param', 'tag', 'attribute'],
  attributes: {
    run_id: 'text',
    run_name: 'text',
    user_id: 'text',
    status: 'text',
    start_time: 'number',
    end_time: 'number',
  },
  lists: ['run_id'],
};
let mlflow: MlflowFixture;
let runs: ShownRun[];

beforeAll(async () => {
  mlflow = await openMlflow();
  for (let i = 0; i < 40; i++) {
    const run = await mlflow.run({ start_time: 100 + (i % 7), run_name: `r${i % 11}`, user_id: i % 2 ? 'Ann' : 'bob' });
    await mlflow.batch(run, {
      metrics: i % 3 === 0 ? [] : [metric('acc', (i * 7) % 10)],
      params: i % 4 === 0 ? [] : [{ key: 'model', value: ['cnn', 'CNN', 'm_p', 'a*[b]?'][i % 4] }],
      tags: i % 5 === 0 ? [] : [{ key: 'a b', value: ['x', 'X%', ''][i % 3] }],
    });
    const ended = requests.updateRun.parse({ run_id: run, status: 'FINISHED', end_time: 200 + (i % 9) });
    if (i % 6 !== 0) await mlflow.runs.update(ended);
  }
  runs = [...(await searchRuns(mlflow.db, requests.searchRuns.parse({ experiment_ids: ['0'] }))).runs];
});
afterAll(() => mlflow.db.destroy());

function valueOf({ info, data }: ShownRun, { entity, key }: Name): string | number | undefined {
  if (entity === 'attribute') return info[key];
  const list = entity === 'metric' ? data.metrics : entity === 'param' ? data.params : data.tags;
  return list.find((one) => one.key === key)?.value;
}

const number = fc.integer({ min: -1, max: 210 }).map(String);
const text = fc
  .constantFrom(
    'x',
    'X%',
    '',
    'cnn',
    'CNN',
    'm_p',
    'a*[b]?',
    'r1',
    'r10',
    'Ann',
    'FINISHED',
    '%',
    '_',
    'c%',
    '%N',
    'a*%',
    '%]_',
  )
  .map((t) => `'${t}'`);
const ordered = fc.constantFrom('=', '!=', '<', '<=', '>', '>=');
const textual = fc.constantFrom('=', '!=', 'LIKE', 'ILIKE');
const clause = fc.oneof(
  fc.tuple(fc.constantFrom('metrics.acc', 'start_time', 'attributes.end_time', 'metrics.nosuch'), ordered, number),
  fc.tuple(fc.constantFrom('params.model', 'tags.`a b`', 'run_name', 'user_id', 'status'), textual, text),
  fc.tuple(
    fc.constantFrom('params.model', 'tags."a b"', 'tags.nosuch'),
    fc.constantFrom('IS', 'IS NOT'),
    fc.constant('NULL'),
  ),
);
const filter = fc
  .array(clause, { maxLength: 3 })
  .map((clauses) => clauses.map((parts) => parts.join(' ')).join(' and '));
const key = fc.tuple(
  fc.constantFrom('metrics.acc', 'params.model', 'tags.`a b`', 'start_time', 'end_time', 'run_name'),
  fc.constantFrom('', ' ASC', ' DESC'),
);
const orderBy = fc.array(key, { maxLength: 3 }).map((keys) => keys.map((parts) => parts.join('')));

test('the database finds what a look at each run finds, in the same order, page by page', async () => {
  await fc.assert(
    fc.asyncProperty(filter, orderBy, fc.integer({ min: 1, max: 15 }), async (asked, order, most) => {
      const expected = searchList(runs, parseFilter(asked, ATTRIBUTES), parseOrder(order, ATTRIBUTES), valueOf);
      const found: string[] = [];
      let token: string | undefined;
      do {
        const request = { experiment_ids: ['0'], filter: asked, order_by: order, max_results: most, page_token: token };
        const page = await searchRuns(mlflow.db, requests.searchRuns.parse(request));
        found.push(...page.runs.map(({ info }) => String(info['run_id'])));
        token = page.next_page_token;
      } while (token !== undefined);
      expect(found).toEqual(expected.map(({ info }) => info['run_id']));
    }),
    { numRuns: 400, seed: 7 },
  );
});

describe('at its edges', () => {
  test('a list of ids, no experiments, experiments that aren’t there', async () => {
    const ids = runs.slice(0, 2).map(({ info }) => info['run_id']);
    expect(await mlflow.found(`run_id IN ('${ids.join(`','`)}')`)).toEqual(ids);
    expect(await mlflow.found(`run_id NOT IN ('${ids.join(`','`)}')`)).toHaveLength(38);
    expect(await mlflow.found('', { experiment_ids: [] })).toEqual([]);
    expect(await mlflow.found('', { experiment_ids: ['99', 'x'] })).toEqual([]);
  });

  test('NaN is no number but is not equal to one; in an order it comes between numbers and nothing', async () => {
    const own = await openMlflow();
    const [nan, none, low, high] = [await own.run(), await own.run(), await own.run(), await own.run()];
    await own.batch(nan, { metrics: [metric('m', 'NaN')] });
    await own.batch(low, { metrics: [metric('m', '-Infinity')] });
    await own.batch(high, { metrics: [metric('m', 5)] });
    expect(await own.found('metrics.m < 10')).toHaveLength(2);
    expect(await own.found('metrics.m != 5')).toHaveLength(2);
    expect(await own.found('', { order_by: ['metrics.m'] })).toEqual([low, high, nan, none]);
    expect(await own.found('', { order_by: ['metrics.m DESC'] })).toEqual([high, low, nan, none]);
    await own.db.destroy();
  });

  test('a page is cut where its answer would get too large, and goes on', async () => {
    const own = await openMlflow();
    for (let i = 0; i < 4; i++) {
      const run = await own.run();
      for (const part of [0, 1, 2, 3, 4, 5, 6]) {
        await own.batch(run, {
          tags: Array.from({ length: 100 }, (_, j) => ({ key: `t${part}.${j}`, value: 'x'.repeat(8000) })),
        });
      }
    }
    const sizes: number[] = [];
    let token: string | undefined;
    do {
      const page = await searchRuns(own.db, requests.searchRuns.parse({ experiment_ids: ['0'], page_token: token }));
      sizes.push(page.runs.length);
      token = page.next_page_token;
    } while (token !== undefined);
    expect(sizes).toEqual([2, 2]);
    await own.db.destroy();
  });
});
