import { describe, expect, it } from 'vitest';
import { loadWarnings, observeLoad } from '@tidegate/edge-agent/profile/machine-load.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';

const quiet = { cores: 4, loadAverage: 0.2, busyShare: 0.01, quotaCores: undefined };

describe('machine load', () => {
  it('warns of others, of a recent load, and of a quota under the cores', () => {
    expect(loadWarnings(quiet)).toEqual([]);
    expect(loadWarnings({ ...quiet, quotaCores: 4 })).toEqual([]);
    expect(loadWarnings({ ...quiet, busyShare: 0.5, loadAverage: 3 })).toEqual([
      expect.stringContaining('used 50 % of the CPU'),
    ]);
    expect(loadWarnings({ ...quiet, loadAverage: 2.5 })).toEqual([expect.stringContaining('load average is 2.5')]);
    expect(loadWarnings({ ...quiet, quotaCores: 1.5 })).toEqual([expect.stringContaining('1.50 of 4 cores')]);
  });

  it('sees this machine', async () => {
    const load = await observeLoad({ files: systemFiles, clock: systemClock }, new AbortController().signal);
    expect(load.cores).toBeGreaterThan(0);
    expect(load.busyShare).toBeGreaterThanOrEqual(0);
    expect(load.busyShare).toBeLessThanOrEqual(1);
  });
});
