import { describe, expect, it } from 'vitest';
import { RecentEmbeddings } from '@tidegate/edge-agent/cache/recent-embeddings.js';

const vector = (...values: number[]): Float32Array => Float32Array.from(values);
const all = (): boolean => true;

describe('RecentEmbeddings', () => {
  it('finds the nearest within the threshold, by direction', () => {
    const index = new RecentEmbeddings<string>({ distance: 'cosine', entriesMax: 8 });
    index.add(vector(1, 0), 'right');
    index.add(vector(0, 2), 'up');
    index.add(vector(1, 1), 'between');
    expect(index.nearest(vector(10, 1), 0.1, all)).toMatchObject({ value: 'right' });
    expect(index.nearest(vector(10, 1), 0.1, all)?.distance).toBeCloseTo(1 - 10 / Math.sqrt(101), 6);
    expect(index.nearest(vector(10, 1), 0.3, (value) => value !== 'right')).toMatchObject({ value: 'between' });
    expect(index.nearest(vector(-1, 0), 0.5, all)).toBeUndefined();
    expect(index.nearest(vector(1, 0, 0), 2, all)).toBeUndefined(); // another length
  });

  it('or by the mean difference', () => {
    const index = new RecentEmbeddings<string>({ distance: 'mean-abs', entriesMax: 8 });
    index.add(vector(0, 0), 'dark');
    index.add(vector(1, 1), 'bright');
    expect(index.nearest(vector(0.25, 0), 0.125, all)).toEqual({
      value: 'dark',
      distance: expect.closeTo(0.125, 6) as number,
    });
    expect(index.nearest(vector(0.5, 0.5), 0.4, all)).toBeUndefined();
  });

  it('takes no vector without a direction, and finds nothing near to one', () => {
    const index = new RecentEmbeddings<string>({ distance: 'cosine', entriesMax: 8 });
    expect([index.add(vector(0, 0), 'zero'), index.add(vector(NaN, 1), 'nan')]).toEqual([false, false]);
    index.add(vector(1, 0), 'right');
    expect(index.nearest(vector(0, 0), 2, all)).toBeUndefined();
    expect(index.values).toEqual(['right']);
  });

  it('is not changed by what becomes of the vector that it was given', () => {
    const index = new RecentEmbeddings<string>({ distance: 'mean-abs', entriesMax: 2 });
    const given = vector(1, 1);
    index.add(given, 'a');
    given.fill(9);
    expect(index.nearest(vector(1, 1), 0, all)?.value).toBe('a');
    index.add(given, 'b');
    expect(index.isFull).toBe(true);
    expect(index.removeOldest()).toBe('a');
  });
});
