import { diffItems } from '@tidegate/cloud-hub/data/dataset-diff.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const version = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.constantFrom<string[]>('1', '2'))
  .map((labels) => Object.entries(labels).map(([name, label]) => ({ id: sha256(name), label })));

test('the changes lead from one version to the other, and nothing is named twice', () => {
  fc.assert(
    fc.property(version, version, (from, to) => {
      const { added, removed, relabelled } = diffItems(from, to);
      const now = new Map(from.map(({ id, label }) => [id, label]));
      for (const id of removed) expect(now.delete(id)).toBe(true);
      for (const { id, before, after } of relabelled) {
        expect([now.get(id), before === after]).toEqual([before, false]);
        now.set(id, after);
      }
      for (const id of added) {
        expect(now.has(id)).toBe(false);
        now.set(id, to.find((item) => item.id === id)!.label);
      }
      expect(now).toEqual(new Map(to.map(({ id, label }) => [id, label])));
    }),
  );
});
