import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { gatePolicySchema } from '@tidegate/shared/wire/admin-api.js';
import { LATENCY_BOUNDS_MS } from '@tidegate/shared/wire/telemetry.js';
import { seededRandom, type Random } from '@tidegate/shared/system/random.js';
import type { DeviceProgress } from '@tidegate/cloud-hub/rollouts/device-progress.js';
import { judge, type GateEvidence } from '@tidegate/cloud-hub/rollouts/gate.js';
import { NO_STATS, type VersionStats } from '@tidegate/cloud-hub/rollouts/statistics.js';

const policy = gatePolicySchema.parse({ soakSeconds: 10, minRequests: 100 });
const running = (n: number): DeviceProgress[] =>
  Array.from({ length: n }, (_, i) => ({ id: `d${i}`, state: 'running' }));

interface Behaviour {
  readonly confidence: number;
  readonly errorRate: number;
  readonly latencyMs: number;
}
const good: Behaviour = { confidence: 0.9, errorRate: 0.01, latencyMs: 20 };

/** Evidence of `n` requests drawn from a behaviour: noisy confidence, exponential-tailed latency. */
function observe(n: number, behaviour: Behaviour, random: Random): VersionStats {
  const buckets = [...NO_STATS.latencyBuckets];
  let errors = 0;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < n; i += 1) {
    if (random.next() < behaviour.errorRate) errors += 1;
    const confidence = Math.min(1, Math.max(0, behaviour.confidence + (random.next() - 0.5) * 0.4));
    sum += confidence;
    squares += confidence * confidence;
    const latency = behaviour.latencyMs * (1 - 0.3 * Math.log(1 - random.next()));
    const bucket = LATENCY_BOUNDS_MS.findIndex((bound) => latency <= bound);
    const at = bucket < 0 ? buckets.length - 1 : bucket;
    buckets[at] = (buckets[at] ?? 0) + 1;
  }
  return {
    requests: n - errors,
    errors,
    latencyBuckets: buckets,
    confidenceCount: n,
    confidenceSum: sum,
    confidenceSumOfSquares: squares,
  };
}

const evidence = (change: Partial<GateEvidence>): GateEvidence => ({
  waveStartedAtMs: 0,
  devices: running(4),
  canary: NO_STATS,
  control: NO_STATS,
  ...change,
});

/** A wave that runs for `seconds`, judged every second with evidence that grows: what the gate says at last. */
function runWave(
  canary: Behaviour,
  control: Behaviour,
  seed: number,
  seconds = 30,
): { action: string; reason: string } {
  const random = seededRandom(seed);
  for (let second = 1; second <= seconds; second += 1) {
    const decision = judge(
      evidence({ canary: observe(second * 20, canary, random), control: observe(second * 40, control, random) }),
      policy,
      second * 1000,
    );
    if (decision.action !== 'wait') return decision;
  }
  return { action: 'wait', reason: 'never decided' };
}

describe('the gate', () => {
  it('waits for soak time, then for requests, then advances', () => {
    const random = seededRandom(1);
    const enough = { canary: observe(200, good, random), control: observe(200, good, random) };
    expect(judge(evidence(enough), policy, 4_000)).toEqual({ action: 'wait', reason: 'soaking, 6 s left' });
    expect(judge(evidence({ ...enough, canary: observe(5, good, random) }), policy, 11_000).reason).toBe(
      '5 of 100 requests seen on the new version',
    );
    expect(judge(evidence(enough), policy, 11_000).action).toBe('advance');
  });

  it('advances 200 of 200 A/A waves', () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const { action, reason } = runWave(good, good, seed);
      expect(`${action}: ${reason}`, `seed ${seed}`).toMatch(/^advance/);
    }
  });

  it.each([
    ['confidence falls', { ...good, confidence: 0.6 }, /mean confidence/],
    ['errors rise', { ...good, errorRate: 0.3 }, /error rate/],
    ['p99 doubles and more', { ...good, latencyMs: 80 }, /p99/],
  ])('halts 50 of 50 waves when %s', (_what, worse, reason) => {
    for (let seed = 0; seed < 50; seed += 1) {
      const decision = runWave(worse, good, seed);
      expect(decision.action, `seed ${seed}: ${decision.reason}`).toBe('halt');
      expect(decision.reason).toMatch(reason);
    }
  });

  it('halts on a failed activation and says which device and why', () => {
    const devices: DeviceProgress[] = [
      ...running(3),
      { id: 'cam-7', state: 'rolled-back', detail: 'self-test 0.2 < 0.9' },
    ];
    expect(judge(evidence({ devices }), policy, 1)).toEqual({
      action: 'halt',
      reason: '1 of 4 devices failed to activate or rolled back (cam-7: self-test 0.2 < 0.9)',
    });
  });

  it('counts silent devices against the rollout (B14)', () => {
    const devices: DeviceProgress[] = [...running(18), { id: 'a', state: 'silent' }, { id: 'b', state: 'silent' }];
    expect(judge(evidence({ devices }), policy, 1).action).toBe('halt');
    const tolerant = { ...policy, maxSilentShare: 0.2 };
    expect(judge(evidence({ devices }), tolerant, 1).action).toBe('wait');
  });

  it('does not judge behaviour by a handful of answers, however much alike they are', () => {
    const few = { ...NO_STATS, requests: 3, confidenceCount: 3, confidenceSum: 1.5, confidenceSumOfSquares: 0.75 };
    const control = observe(500, good, seededRandom(4));
    expect(judge(evidence({ canary: few, control }), policy, 1).action).toBe('wait');
    const many = { ...few, requests: 30, confidenceCount: 30, confidenceSum: 15, confidenceSumOfSquares: 7.5 };
    expect(judge(evidence({ canary: many, control }), policy, 1).action).toBe('halt');
  });

  it('says so when there is no control', () => {
    const decision = judge(
      evidence({ canary: observe(150, good, seededRandom(3)), control: undefined }),
      policy,
      20_000,
    );
    expect(decision).toEqual({ action: 'advance', reason: 'no control to compare with, 150 requests' });
  });

  it('never advances before the soak time or while a device is still activating', () => {
    fc.assert(
      fc.property(fc.nat(60_000), fc.integer({ min: 0, max: 3 }), fc.nat(1000), (nowMs, activating, n) => {
        const devices: DeviceProgress[] = [
          ...running(4 - activating),
          ...Array.from({ length: activating }, (_, i) => ({ id: `a${i}`, state: 'activating' as const })),
        ];
        const random = seededRandom(n);
        const decision = judge(
          evidence({ devices, canary: observe(n, good, random), control: observe(200, good, random) }),
          policy,
          nowMs,
        );
        return decision.action !== 'advance' || (nowMs >= 10_000 && activating === 0 && n >= 100);
      }),
      { seed: 7, numRuns: 300 },
    );
  });
});
