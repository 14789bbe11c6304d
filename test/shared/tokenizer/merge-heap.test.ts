import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MergeHeap } from '@tidegate/shared/tokenizer/merge-heap.js';

it('gives the smallest rank first, of equal ones the leftmost, whatever was pushed and popped before', () => {
  const offer = fc.record({ rank: fc.nat(1_048_575), at: fc.nat(16_777_215) });
  fc.assert(
    fc.property(fc.array(fc.option(offer, { nil: undefined }), { maxLength: 60 }), (steps) => {
      const heap = new MergeHeap();
      const held: { rank: number; at: number }[] = [];
      for (const step of steps) {
        if (step === undefined) {
          held.sort((a, b) => a.rank - b.rank || a.at - b.at);
          expect(heap.pop()).toEqual(held.shift());
        } else {
          heap.push(step.rank, step.at);
          held.push(step);
        }
      }
    }),
  );
});
