// Why the memory layer evicts by SIEVE: hit rates over simulated traces, against LRU and W-TinyLFU.
import { describe, expect, it } from 'vitest';
import { seededRandom } from '@tidegate/shared/system/random.js';
import {
  Lru,
  SieveOfKeys,
  WTinyLfu,
  zipfWithScans,
  type CachePolicyModel,
  type TraceOptions,
} from '../../support/cache-policies.js';

const LIMIT = 500;
const base: TraceOptions = { requests: 100_000, keys: 10_000, skew: 0.9, scanLength: 0, scanEvery: 0 };

function hitRates(options: TraceOptions): { lru: number; sieve: number; tinyLfu: number } {
  const random = seededRandom(11);
  const policies: Record<string, CachePolicyModel> = {
    lru: new Lru(LIMIT),
    sieve: new SieveOfKeys(LIMIT),
    tinyLfu: new WTinyLfu(LIMIT),
  };
  const hits: Record<string, number> = { lru: 0, sieve: 0, tinyLfu: 0 };
  for (const key of zipfWithScans(options, () => random.next())) {
    for (const [name, policy] of Object.entries(policies)) {
      if (policy.ask(key) && !key.startsWith('scan')) hits[name] = (hits[name] ?? 0) + 1;
    }
  }
  const rate = (name: string): number => (hits[name] ?? 0) / options.requests;
  const rates = { lru: rate('lru'), sieve: rate('sieve'), tinyLfu: rate('tinyLfu') };
  if (process.env['SHOW_RATES'] !== undefined) console.log(JSON.stringify(options), rates);
  return rates;
}

describe('the eviction of the memory layer', () => {
  it('beats LRU on skewed requests', () => {
    const { lru, sieve } = hitRates(base);
    expect(sieve).toBeGreaterThan(lru + 0.03);
  });

  it('is not emptied by scans, as LRU is, and stays near W-TinyLFU', () => {
    for (const scanLength of [LIMIT, 4 * LIMIT]) {
      const { lru, sieve, tinyLfu } = hitRates({ ...base, scanLength, scanEvery: 1000 });
      expect(sieve).toBeGreaterThan(1.3 * lru);
      expect(sieve).toBeGreaterThan(0.8 * tinyLfu);
    }
  });
});
