import { describe, expect, it } from 'vitest';
import { DiskAdmission } from '@tidegate/edge-agent/cache/disk-admission.js';
import { RecentKeys } from '@tidegate/shared/cache/recent-keys.js';

const DAY_MS = 86_400_000;

describe('what is worth a write', () => {
  it('is what is asked for twice, or was slow', () => {
    const admission = new DiskAdmission({ limitBytes: 1e6, nowMs: 0 });
    expect(admission.computed('a', 20_000)).toBe(false);
    expect(admission.computed('b', 20_000)).toBe(false);
    expect(admission.computed('a', 20_000)).toBe(true);
    expect(admission.computed('slow', 900_000)).toBe(true);
  });

  it('is never more in a day than four times the limit, and half of it at once', () => {
    const admission = new DiskAdmission({ limitBytes: 1000, nowMs: 0 });
    let written = 0;
    for (let ms = 0; ms <= 10 * DAY_MS; ms += DAY_MS / 1000) {
      while (admission.mayWrite(7, ms)) written += 7;
    }
    expect(written).toBeGreaterThan(39_000);
    expect(written).toBeLessThanOrEqual(40_500);
  });
});

describe('RecentKeys', () => {
  it('remembers at least its limit and at most twice', () => {
    const keys = new RecentKeys(10);
    for (let i = 0; i < 100; i += 1) keys.add(`k${i}`);
    const held = Array.from({ length: 100 }, (_, i) => i).filter((i) => keys.has(`k${i}`));
    expect(held.length).toBeGreaterThanOrEqual(10);
    expect(held.length).toBeLessThanOrEqual(20);
    expect(held.at(-1)).toBe(99);
    expect(keys.delete('k99')).toBe(true);
    expect(keys.has('k99')).toBe(false);
  });
});
