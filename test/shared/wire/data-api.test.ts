import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitOf } from '@tidegate/shared/wire/data-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';

describe('the split', () => {
  it('never moves a sample out of the held-out side when the share grows', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (text, a, b) => {
          const [small, large] = a < b ? [a, b] : [b, a];
          if (splitOf(sha256(text), small) === 'held-out') expect(splitOf(sha256(text), large)).toBe('held-out');
        },
      ),
    );
  });

  it('takes about the share that was asked for', () => {
    const held = Array.from({ length: 10_000 }, (_, i) => splitOf(sha256(String(i)), 0.2)).filter(
      (s) => s === 'held-out',
    );
    expect(held.length / 10_000).toBeCloseTo(0.2, 1);
    expect(splitOf(sha256('x'), 0)).toBe('train');
    expect(splitOf(sha256('x'), 1)).toBe('held-out');
  });
});
