import { describe, expect, it } from 'vitest';
import { ProbationWatch } from '@tidegate/edge-agent/sync/probation-watch.js';

const request = { model: 'digits', versionDigest: 'v', variantDigest: 'a', totalMs: 4, edgeConfidence: undefined };

describe('what probation sees', () => {
  it("counts the model's own answers and failures; cache, hub and refusals are not its doing (B13)", () => {
    const watch = new ProbationWatch();
    for (const outcome of ['edge', 'edge', 'model-error', 'cache', 'hub', 'refused'] as const)
      watch.finished({ ...request, outcome });
    expect(watch.of('a')).toEqual({ requests: 3, errors: 1, latencySumMs: 8, executorDeaths: 0 });
    watch.reset('a');
    expect(watch.of('a')).toBeUndefined();
  });

  it('halves what is old, and bounds how many versions it counts', () => {
    const watch = new ProbationWatch();
    for (let i = 0; i < 10_001; i += 1) watch.finished({ ...request, outcome: 'edge' });
    expect(watch.of('a')?.requests).toBe(5001);
    for (let i = 0; i < 1100; i += 1) watch.finished({ ...request, variantDigest: `d${i}`, outcome: 'edge' });
    expect(watch.of('a')).toBeUndefined();
    expect(watch.of('d1099')?.requests).toBe(1);
  });
});
