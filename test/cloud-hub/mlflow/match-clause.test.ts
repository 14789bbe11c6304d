// Searches in memory: comparisons, LIKE against a regular expression of the same meaning, order with what is missing.
import { searchList } from '@tidegate/cloud-hub/mlflow/match-clause.js';
import type { Comparator, Name } from '@tidegate/cloud-hub/mlflow/search-language.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

type Item = Readonly<Record<string, string | number | undefined>>;
const valueOf = (item: Item, { key }: Name): string | number | undefined => item[key];

function holds(
  actual: string | number | undefined,
  comparator: Comparator,
  value?: string | number | readonly string[],
): boolean {
  const clause = { entity: 'tag' as const, key: 'k', comparator, value };
  return searchList([{ k: actual }], [clause], [], valueOf).length === 1;
}

test.each([
  [2, '<', 3, true],
  [3, '<', 3, false],
  [3, '<=', 3, true],
  [3, '>=', 3, true],
  [10, '>', 9, true],
  ['a', '=', 'a', true],
  ['a', '!=', 'a', false],
  ['a', 'IN', ['b', 'a'], true],
  ['a', 'NOT IN', ['b', 'a'], false],
  [undefined, '!=', 'a', false],
  [undefined, 'IS NULL', undefined, true],
  ['a', 'IS NOT NULL', undefined, true],
  ['Abc', 'LIKE', 'a%', false],
  ['Abc', 'ILIKE', 'a%', true],
] as const)('%j %s %j is %j', (actual, comparator, value, expected) => {
  expect(holds(actual, comparator, value)).toBe(expected);
});

test('LIKE is what a regular expression would say', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '%', '_', '\n'), maxLength: 8 });
  fc.assert(
    fc.property(letters, letters, (text, pattern) => {
      const source = pattern.replaceAll('.', '\\.').replaceAll('%', '.*').replaceAll('_', '.');
      expect(holds(text, 'LIKE', pattern)).toBe(new RegExp(`^${source}$`, 's').test(text));
    }),
    { numRuns: 2000, seed: 7 },
  );
});

test('a pattern made to be slow is answered at once', () => {
  const startMs = performance.now();
  expect(holds('a'.repeat(20_000), 'LIKE', '%a'.repeat(200) + 'b')).toBe(false);
  expect(performance.now() - startMs).toBeLessThan(2000);
});

describe('order', () => {
  const items: Item[] = [{ k: 2, n: 'x' }, { n: 'none' }, { k: 10, n: 'y' }, { k: 2, n: 'z' }];
  const order = (ascending: boolean) => [{ entity: 'tag' as const, key: 'k', ascending }];

  test('what lacks the key comes last in either; equal ones stay', () => {
    expect(searchList(items, [], order(true), valueOf).map(({ n }) => n)).toEqual(['x', 'z', 'y', 'none']);
    expect(searchList(items, [], order(false), valueOf).map(({ n }) => n)).toEqual(['y', 'x', 'z', 'none']);
  });
});

test('a model is no prompt, whatever the tag would say', () => {
  const ask = (comparator: Comparator, value: string) =>
    searchList([{}], [{ entity: 'tag', key: 'mlflow.prompt.is_prompt', comparator, value }], [], () => undefined)
      .length;
  expect([ask('!=', 'true'), ask('=', 'false'), ask('=', 'true'), ask('!=', 'false')]).toEqual([1, 1, 0, 0]);
});
