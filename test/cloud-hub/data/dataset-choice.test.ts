import { chooseItems, type Candidate } from '@tidegate/cloud-hub/data/dataset-choice.js';
import { splitOf } from '@tidegate/shared/wire/data-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const candidate = (name: string, label: string, inputs: string, receivedAtMs: number): Candidate => {
  return { id: sha256(name), inputsDigest: sha256(inputs), label, sizeBytes: 10, receivedAtMs };
};
const shown = (candidates: readonly Candidate[]) => {
  const { items, contradicted } = chooseItems(candidates, 0);
  return { items: items.map(({ id, label }) => [id, label]), contradicted };
};

describe('the choice of items', () => {
  test('of equal inputs under different labels the one that came last decides; those that agree with it stay', () => {
    const all = [
      candidate('old', '1', 'x', 1),
      candidate('middle', '7', 'x', 2),
      candidate('new', '1', 'x', 3),
      candidate('other', '7', 'y', 0),
    ];
    const { items, contradicted } = shown(all);
    expect(new Map(items as [string, string][])).toEqual(
      new Map([
        [sha256('old'), '1'],
        [sha256('new'), '1'],
        [sha256('other'), '7'],
      ]),
    );
    expect(contradicted).toBe(1);
  });

  test('hangs on nothing but the samples: not on their order, also where two came at the same time', () => {
    const some = fc.array(
      fc.record({
        name: fc.string(),
        label: fc.constantFrom('1', '2', '3'),
        inputs: fc.constantFrom('x', 'y', 'z'),
        receivedAtMs: fc.nat(3),
      }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(some, fc.double({ min: 0, max: 1, noNaN: true }), (made, heldOut) => {
        const all = [...new Map(made.map((one) => [one.name, one])).values()].map((one) =>
          candidate(one.name, one.label, one.inputs, one.receivedAtMs),
        );
        const choice = chooseItems(all, heldOut);
        expect(chooseItems(all.toReversed(), heldOut)).toEqual(choice);
        const ids = choice.items.map(({ id }) => id);
        expect(ids).toEqual(ids.toSorted());
        for (const { inputsDigest, split } of choice.items) expect(split).toBe(splitOf(inputsDigest, heldOut));
        expect(choice.items.length + choice.contradicted).toBe(all.length);
      }),
    );
  });
});
