// What one dataset version has that another hasn't. Pure.
import type { DatasetDiff, DatasetItem } from '@tidegate/shared/wire/data-api.js';

type Items = readonly Pick<DatasetItem, 'id' | 'label'>[];

/** Each list in the order of the version that has the samples: by id. */
export function diffItems(from: Items, to: Items): Pick<DatasetDiff, 'added' | 'removed' | 'relabelled'> {
  const before = new Map(from.map(({ id, label }) => [id, label]));
  const after = new Set(to.map(({ id }) => id));
  return {
    added: to.flatMap(({ id }) => (before.has(id) ? [] : [id])),
    removed: from.flatMap(({ id }) => (after.has(id) ? [] : [id])),
    relabelled: to.flatMap(({ id, label }) => {
      const old = before.get(id);
      return old === undefined || old === label ? [] : [{ id, before: old, after: label }];
    }),
  };
}
