import { chooseImported } from '@tidegate/cloud-hub/data/imported-items.js';
import { splitOf, type Split } from '@tidegate/shared/wire/data-api.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const held = (names: readonly string[]) =>
  new Map(names.map((name) => [sha256(name), { inputsDigest: sha256(name[0] ?? ''), sizeBytes: 1 }]));
const item = (name: string, label: string, split?: Split) => {
  return { id: sha256(name), label, ...(split === undefined ? {} : { split }) };
};

test('sides follow from the inputs, unless they are stated; equal inputs are on one', () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 12 });
  const sides = fc.array(fc.constantFrom(undefined, 'train', 'held-out') as fc.Arbitrary<Split | undefined>, {
    minLength: 12,
    maxLength: 12,
  });
  fc.assert(
    fc.property(names, sides, fc.double({ min: 0, max: 1, noNaN: true }), (all, stated, heldOut) => {
      const chosen = chooseImported(
        all.map((name, at) => item(name, 'same', stated[at])),
        held(all),
        heldOut,
      );
      expect(chosen.map(({ id }) => id)).toEqual(all.map((name) => sha256(name)).toSorted());
      const side = new Map<Digest, Split>();
      for (const { inputsDigest, split } of chosen) {
        expect(side.get(inputsDigest) ?? split).toBe(split);
        side.set(inputsDigest, split);
      }
      for (const [at, name] of all.entries()) {
        const inputs = sha256(name[0] ?? '');
        if ((stated[at] ?? splitOf(inputs, heldOut)) === 'held-out') expect(side.get(inputs)).toBe('held-out');
      }
    }),
  );
});

test('a sample that is named twice is one; under two labels it is none', () => {
  const twice = [item('a', '1'), item('a', '1')];
  expect(chooseImported(twice, held(['a']), 0)).toMatchObject([{ id: sha256('a'), label: '1' }]);
  expect(() => chooseImported([item('a', '1'), item('a', '2')], held(['a']), 0)).toThrow("labelled '1' and '2'");
  expect(() => chooseImported([item('b', '1')], held(['a']), 0)).toThrow('the hub has no sample');
});
