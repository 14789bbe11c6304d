import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Regions, type Region } from '@tidegate/shared/runtime/regions.js';

const PAGE = 4096;

describe('regions', () => {
  it('takes the first stretch that is large enough, in whole pages', () => {
    const regions = new Regions(8 * PAGE);
    expect(regions.take(1)).toEqual({ at: 0, sizeBytes: PAGE });
    expect(regions.take(PAGE + 1)).toEqual({ at: PAGE, sizeBytes: 2 * PAGE });
    expect(regions.take(0)).toEqual({ at: 3 * PAGE, sizeBytes: PAGE });
    expect(regions.take(5 * PAGE)).toBeUndefined();
    expect(regions.take(4 * PAGE)).toEqual({ at: 4 * PAGE, sizeBytes: 4 * PAGE });
    expect(regions.take(1)).toBeUndefined();
  });

  it('uses the lowest pages again', () => {
    const regions = new Regions(8 * PAGE);
    const [first, second] = [regions.take(PAGE)!, regions.take(PAGE)!];
    regions.release(first);
    expect(regions.take(10)).toEqual(first);
    regions.release(second);
    expect(regions.take(10)).toEqual(second);
  });

  it('never gives a byte twice, and is whole again when everything came back, in any order', () => {
    const steps = fc.array(fc.record({ take: fc.boolean(), sizeBytes: fc.nat(9 * PAGE), pick: fc.nat() }), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(steps, (list) => {
        const regions = new Regions(32 * PAGE);
        const taken: Region[] = [];
        for (const { take, sizeBytes, pick } of list) {
          if (take || taken.length === 0) {
            const region = regions.take(sizeBytes);
            if (region === undefined) continue;
            expect(region.sizeBytes).toBeGreaterThanOrEqual(sizeBytes);
            for (const other of taken) {
              const apart = region.at + region.sizeBytes <= other.at || other.at + other.sizeBytes <= region.at;
              expect(apart).toBe(true);
            }
            taken.push(region);
          } else {
            regions.release(taken.splice(pick % taken.length, 1)[0]!);
          }
        }
        for (const region of taken) regions.release(region);
        expect(regions.take(32 * PAGE)).toEqual({ at: 0, sizeBytes: 32 * PAGE });
      }),
    );
  });
});
