import { describe, expect, it } from 'vitest';
import { cacheReport, dropFromCache } from '@tidegate/edge-agent/api/cache-routes.js';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { cacheEntry } from '../../support/cache-entries.js';
import { ManualClock } from '../../support/manual-clock.js';

function setUp(): DeviceCache {
  const clock = new ManualClock();
  const memory = new MemoryLayer({ limitBytes: 1e6 }, { clock });
  for (const [key, model, tag] of [
    ['1', 'a', 'x'],
    ['2', 'a', 'y'],
    ['3', 'b', 'y'],
  ] as const) {
    memory.put(key, cacheEntry(new Uint8Array(10), { labels: { model, tags: [tag] } }));
  }
  return new DeviceCache({ layers: [memory], clock });
}

describe('/agent/v1/cache', () => {
  it('says what it holds by model', () => {
    expect(cacheReport(setUp())).toMatchObject({
      layers: { memory: { entries: 3 } },
      models: [
        { model: 'a', layers: { memory: { entries: 2, sizeBytes: 1420 } } },
        { model: 'b', layers: { memory: { entries: 1 } } },
      ],
    });
  });

  it.each([
    ['?model=a', 2],
    ['?tag=y', 2],
    ['?model=a&tag=y', 1],
    ['', 3],
  ])('drops by %s', (search, memory) => {
    expect(dropFromCache(search, setUp())).toEqual({ status: 200, body: { removed: { memory } } });
  });

  it.each(['?modle=a', '?model=', '?tag=x&tag=y', '?model=a&all=1'])('drops nothing by %s', (search) => {
    const cache = setUp();
    expect(dropFromCache(search, cache)).toMatchObject({
      status: 400,
      body: { error: expect.stringMatching(/^query /) },
    });
    expect(cache.counts.layers['memory']?.entries).toBe(3);
  });
});
