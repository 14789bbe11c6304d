import { describe, expect, it } from 'vitest';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { cacheEntry } from '../../support/cache-entries.js';
import { ManualClock } from '../../support/manual-clock.js';

function layer(limitBytes: number): { clock: ManualClock; memory: MemoryLayer } {
  const clock = new ManualClock();
  return { clock, memory: new MemoryLayer({ limitBytes }, { clock }) };
}

describe('MemoryLayer', () => {
  it('gives back the same bytes with their age, and a copy of what was a view', () => {
    const { clock, memory } = layer(1e6);
    const batch = Uint8Array.from([9, 1, 2, 3, 9]);
    memory.put('k', cacheEntry(batch.subarray(1, 4)));
    batch.fill(0);
    clock.advance(70);
    const hit = memory.get('k', 100);
    expect(hit?.ageMs).toBe(70);
    expect([...(hit?.answer.outputs[0]?.data ?? [])]).toEqual([1, 2, 3]);
    expect(hit?.answer.outputs[0]?.data.buffer.byteLength).toBe(3);
  });

  it('keeps within its bytes and keeps what is asked for', () => {
    const { memory } = layer(10_000);
    for (let i = 0; i < 20; i += 1) {
      memory.put(`k${i}`, cacheEntry(new Uint8Array(1000)));
      memory.get('k0', Infinity);
      expect(memory.counts.sizeBytes).toBeLessThanOrEqual(10_000);
    }
    expect(memory.get('k0', Infinity)).toBeDefined();
    expect(memory.get('k1', Infinity)).toBeUndefined();
    expect(memory.get('k19', Infinity)).toBeDefined();
    expect(memory.counts.evictions).toBeGreaterThan(10);
  });

  it('does not let one large answer push all others out', () => {
    const { memory } = layer(10_000);
    memory.put('small', cacheEntry(new Uint8Array(10)));
    memory.put('large', cacheEntry(new Uint8Array(6000)));
    expect(memory.get('large', Infinity)).toBeUndefined();
    expect(memory.get('small', Infinity)).toBeDefined();
  });

  it('counts hits, misses and stale lookups, and keeps a stale entry for who allows more age', () => {
    const { clock, memory } = layer(1e6);
    memory.put('k', cacheEntry(new Uint8Array(1)));
    clock.advance(50);
    expect(memory.get('k', 10)).toBeUndefined();
    expect(memory.get('k', 60)).toBeDefined();
    expect(memory.get('other', 60)).toBeUndefined();
    expect(memory.counts).toMatchObject({ hits: 1, misses: 1, stale: 1, entries: 1 });
  });

  it('ages by the monotonic clock: a wall clock that jumps changes nothing (B1)', () => {
    const { clock, memory } = layer(1e6);
    memory.put('k', cacheEntry(new Uint8Array(1)));
    clock.setWall(0);
    expect(memory.get('k', 10)?.ageMs).toBe(0);
    clock.setWall(Date.UTC(2040, 0, 1));
    expect(memory.get('k', 10)?.ageMs).toBe(0);
  });

  it('knows how old an answer is that another layer had', () => {
    const { clock, memory } = layer(1e6);
    memory.put('k', cacheEntry(new Uint8Array(1), { ageMs: 40 }));
    clock.advance(20);
    expect(memory.get('k', 50)).toBeUndefined();
    expect(memory.get('k', 60)?.ageMs).toBe(60);
  });

  it('drops by model, by tag, by both, and all', () => {
    const { memory } = layer(1e6);
    const put = (key: string, model: string, ...tags: string[]): void =>
      memory.put(key, cacheEntry(new Uint8Array(1), { labels: { model, tags } }));
    const fill = (): void => {
      put('1', 'a', 'x');
      put('2', 'a', 'x', 'y');
      put('3', 'b', 'y');
    };
    const left = (): string[] => ['1', '2', '3'].filter((key) => memory.get(key, Infinity) !== undefined);
    fill();
    expect(memory.models().get('a')?.entries).toBe(2);
    expect(memory.drop({ model: 'a', tag: 'y' })).toBe(1);
    expect(left()).toEqual(['1', '3']);
    fill();
    expect(memory.drop({ tag: 'y' })).toBe(2);
    expect(left()).toEqual(['1']);
    fill();
    expect(memory.drop({ model: 'a' })).toBe(2);
    expect(left()).toEqual(['3']);
    fill();
    expect(memory.drop({})).toBe(3);
    expect(memory.counts).toMatchObject({ entries: 0, sizeBytes: 0 });
  });
});
