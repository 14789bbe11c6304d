import { after, type ListSource } from '@tidegate/cloud-hub/console/live-items.js';
import { expect, test } from 'vitest';

const source: ListSource<{ id: string; n: number }> = {
  read: () => Promise.resolve([]),
  pick: (event) => (event.kind === 'version' ? ({ id: 'a', n: 2 } as never) : undefined),
  key: ({ id }) => id,
  gone: (event) => (event.kind === 'dataset-deleted' ? event.name : undefined),
};
const items = [
  { id: 'a', n: 1 },
  { id: 'b', n: 1 },
];

test('a list is what events say: changed in its place, without what is gone, else as it was', () => {
  expect(after(items, { kind: 'version' } as never, source)).toEqual([{ id: 'a', n: 2 }, items[1]]);
  expect(after(items, { kind: 'dataset-deleted', name: 'a', version: 1 }, source)).toEqual([items[1]]);
  expect(after(items, { kind: 'dataset-deleted', name: 'c', version: 1 }, source)).toEqual(items);
  expect(after(items, { kind: 'device' } as never, source)).toBe(items);
});
