import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sieve } from '@tidegate/shared/cache/sieve.js';

describe('Sieve', () => {
  it('evicts the oldest that was not used since the hand passed', () => {
    const sieve = new Sieve<string>({ limitBytes: 3 });
    for (const key of ['a', 'b', 'c']) sieve.set(key, key, 1);
    sieve.markUsed('a');
    sieve.set('d', 'd', 1); // the hand clears a and takes b
    expect(['a', 'b', 'c', 'd'].map((key) => sieve.peek(key))).toEqual(['a', undefined, 'c', 'd']);
    sieve.set('e', 'e', 1); // it goes on from there
    expect(['a', 'c', 'd', 'e'].map((key) => sieve.peek(key))).toEqual(['a', undefined, 'd', 'e']);
  });

  it('holds its limit and its sums through any calls, and gives each key its own value', () => {
    const call = fc.record({
      does: fc.constantFrom('set', 'use', 'remove'),
      key: fc.nat(12),
      size: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 200 }), (calls) => {
        const sieve = new Sieve<{ key: number; size: number }>({ limitBytes: 100 });
        const latest = new Map<number, number>();
        for (const { does, key, size } of calls) {
          if (does === 'use') sieve.markUsed(String(key));
          else if (does === 'remove') sieve.removeWhere((value) => value.key === key);
          else {
            sieve.set(String(key), { key, size }, size);
            latest.set(key, size);
          }
          const held = [...sieve];
          expect(sieve.sizeBytes).toBeLessThanOrEqual(100);
          expect(sieve.sizeBytes).toBe(held.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
          expect(sieve.entries).toBe(held.length);
          for (let k = 0; k <= 12; k += 1) {
            const found = sieve.peek(String(k));
            if (found !== undefined) expect(found).toEqual({ key: k, size: latest.get(k) });
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
