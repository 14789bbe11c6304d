import { describe, expect, it } from 'vitest';
import { SelfBypass } from '@tidegate/shared/cache/self-bypass.js';

interface Traffic {
  readonly lookupMs: number;
  readonly runMs: number;
  readonly hitShare: number;
}

/** Requests of a model, as the cache tells of them. Returns how many of them looked up. */
function ask(bypass: SelfBypass, count: number, { lookupMs, runMs, hitShare }: Traffic): number {
  let lookups = 0;
  for (let i = 0; i < count; i += 1) {
    if (bypass.stepsAside('m')) continue;
    lookups += 1;
    const hit = lookups % 100 < hitShare * 100;
    bypass.looked('m', lookupMs, hit);
    if (!hit) bypass.computed('m', runMs, false);
  }
  return lookups;
}

describe('SelfBypass', () => {
  const wasteful: Traffic = { lookupMs: 0.1, runMs: 1, hitShare: 0 };

  it('stands aside where nothing repeats and looking up is felt, and tries now and then', () => {
    const bypass = new SelfBypass();
    expect(ask(bypass, 512, wasteful)).toBe(512);
    expect(bypass.isAside('m')).toBe(true);
    expect(bypass.isAside('other')).toBe(false);
    expect(ask(bypass, 8192, wasteful)).toBe(0);
    expect(ask(bypass, 512, wasteful)).toBe(512); // one window more
    expect(ask(bypass, 16_384, wasteful)).toBe(0); // and twice the pause
    expect(ask(bypass, 1_000_000, wasteful) / 1_000_000).toBeLessThan(0.01);
  });

  it('comes back when hits do', () => {
    const bypass = new SelfBypass();
    ask(bypass, 512 + 8192, wasteful);
    expect(ask(bypass, 10_000, { ...wasteful, hitShare: 0.5 })).toBe(10_000);
    expect(ask(bypass, 512 + 8192 + 1, wasteful)).toBeLessThan(1024); // and its pause is the short one again
  });

  it('stays where hits save more than lookups cost, or where these are not felt', () => {
    expect(ask(new SelfBypass(), 5000, { lookupMs: 0.1, runMs: 1, hitShare: 0.2 })).toBe(5000);
    expect(ask(new SelfBypass(), 5000, { lookupMs: 0.1, runMs: 50, hitShare: 0 })).toBe(5000);
  });

  it('counts a joined run as a saving', () => {
    const bypass = new SelfBypass();
    for (let i = 0; i < 2000; i += 1) {
      if (bypass.stepsAside('m')) break;
      bypass.looked('m', 0.1, false);
      bypass.computed('m', 1, i % 2 === 0);
    }
    expect(bypass.isAside('m')).toBe(false);
  });
});
