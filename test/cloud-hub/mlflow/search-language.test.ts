// MLflow's search language: what is read, and that what isn't is refused at its place.
import { parseFilter, parseOrder, type Searchable } from '@tidegate/cloud-hub/mlflow/search-language.js';
import { describe, expect, test } from 'vitest';

const RUNS: Searchable = {
  entities: ['metric', 'param', 'tag', 'attribute', 'dataset'],
  attributes: { run_id: 'text', run_name: 'text', status: 'text', start_time: 'number' },
  lists: ['run_id'],
};

describe('a comparison', () => {
  test.each([
    ['metrics.acc > 0.5', 'metric', 'acc', '>', 0.5],
    ['metric.acc<=-1e-3', 'metric', 'acc', '<=', -0.001],
    ['metrics.train/loss.total != 2', 'metric', 'train/loss.total', '!=', 2],
    ['metrics.`a b` = .5', 'metric', 'a b', '=', 0.5],
    ['metrics."a b" = 5.', 'metric', 'a b', '=', 5],
    [`params.model = 'cnn'`, 'param', 'model', '=', 'cnn'],
    [`params.model = "cnn"`, 'param', 'model', '=', 'cnn'],
    [`parameters.q != 'it''s'`, 'param', 'q', '!=', "it's"],
    [`params.empty = ''`, 'param', 'empty', '=', ''],
    [`tags.mlflow.user ILIKE 'a%'`, 'tag', 'mlflow.user', 'ILIKE', 'a%'],
    [`tag.x like '%'`, 'tag', 'x', 'LIKE', '%'],
    [`tags.größe = 'ä'`, 'tag', 'größe', '=', 'ä'],
    [`status = 'FINISHED'`, 'attribute', 'status', '=', 'FINISHED'],
    [`attr.status != 'AND'`, 'attribute', 'status', '!=', 'AND'],
    ['attributes.start_time >= 1700000000000', 'attribute', 'start_time', '>=', 1_700_000_000_000],
    ['attributes.created < 5', 'attribute', 'start_time', '<', 5],
    [`attributes.\`Run name\` = 'a'`, 'attribute', 'run_name', '=', 'a'],
    [`run_id IN ('a', "b" ,'c')`, 'attribute', 'run_id', 'IN', ['a', 'b', 'c']],
    [`run_id not in ('a')`, 'attribute', 'run_id', 'NOT IN', ['a']],
    [`datasets.digest IN ('a')`, 'dataset', 'digest', 'IN', ['a']],
    ['params.x IS NULL', 'param', 'x', 'IS NULL', undefined],
    ['tags.x is not null', 'tag', 'x', 'IS NOT NULL', undefined],
  ])('%s', (filter, entity, key, comparator, value) => {
    expect(parseFilter(filter, RUNS)).toEqual([{ entity, key, comparator, value }]);
  });

  test('several are joined by AND, in any case', () => {
    expect(parseFilter(`metrics.a > 1 and params.b = 'x' AND tags.and = 'y'`, RUNS).map(({ key }) => key)).toEqual([
      'a',
      'b',
      'and',
    ]);
    expect(parseFilter('  ', RUNS)).toEqual([]);
  });
});

describe('refused, with the place', () => {
  test.each([
    ['metrics.a', /a comparison .* is expected, not its end/],
    ['metrics.a >', /a number for metric a is expected, not its end/],
    [`metrics.a > 'x'`, /a number for metric a is expected, not "'x'" at 11/],
    ['params.a = 5', /a quoted text for param a is expected, not "5"/],
    ['params.a = b', /a quoted text for param a is expected, not "b"/],
    [`params.a > 'x'`, /> is no comparison for param a; there are =, !=, LIKE, ILIKE/],
    [`metrics.a LIKE 'x'`, /LIKE is no comparison for metric a/],
    [`metrics.a RLIKE 'x'`, /"RLIKE"/],
    [`metrics.a > 1 or metrics.b > 1`, /AND or the end is expected, not "or" at 13/],
    [`(metrics.a > 1)`, /a name is expected, not "\("/],
    [`metrics.a > 1 and`, /a name is expected, not its end/],
    [`things.a = 'x'`, /things\.a is of no kind/],
    [`attributes.colour = 'x'`, /no attribute colour; there are run_id, run_name, status, start_time/],
    [`datasets.colour = 'x'`, /no dataset colour/],
    [`status IN ('a')`, /IN may be asked of run_id only/],
    [`run_id IN ()`, /a quoted text for a list/],
    [`run_id IN ('a'`, /"\)" is expected, not its end/],
    ['metrics.a IS NULL', /IS NULL may be asked of tags and params only/],
    [`params.a = 'open`, /nothing that can be read at 10/],
    ['metrics.a > 1; drop table', /nothing that can be read at 13: "; drop table"/],
    [`tags.a LIKE '${'%a'.repeat(300)}'`, /a pattern for tag a is longer than 500/],
    [Array(33).fill('metrics.a > 1').join(' and '), /more than 32/],
  ])('%s', (filter, message) => {
    expect(() => parseFilter(filter, RUNS)).toThrow(message);
    expect(() => parseFilter(filter, RUNS)).toThrow(expect.objectContaining({ code: 'INVALID_PARAMETER_VALUE' }));
  });

  test('an entity that the thing searched for lacks', () => {
    expect(() => parseFilter('metrics.a > 1', { ...RUNS, entities: ['attribute', 'tag'] })).toThrow(
      /there are attribute, tag/,
    );
  });
});

describe('an order', () => {
  test('ascending unless it says otherwise', () => {
    expect(parseOrder(['metrics.acc DESC', 'start_time', 'params.`a b` asc'], RUNS)).toEqual([
      { entity: 'metric', key: 'acc', ascending: false },
      { entity: 'attribute', key: 'start_time', ascending: true },
      { entity: 'param', key: 'a b', ascending: true },
    ]);
  });

  test.each([
    [['metrics.acc sideways'], /ASC, DESC or the end is expected, not "sideways"/],
    [[''], /a name is expected, not its end/],
    [['colour'], /no attribute colour/],
    [Array(17).fill('start_time'), /more than 16/],
  ])('%j is refused', (keys, message) => {
    expect(() => parseOrder(keys, RUNS)).toThrow(message);
  });
});
