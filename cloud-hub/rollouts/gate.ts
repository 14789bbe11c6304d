// The gate: may a wave advance, must it halt, or is it too early to say? A pure function of evidence, policy and time
// (decisions.md, Rollout gate); rollout-service.ts acts on what it says.
//
// Rules, in this order:
//  1. Failed activations or rollbacks above `maxFailedShare` of the wave: halt.
//  2. Silent devices above `maxSilentShare`: halt (field lesson B14: silence is not success).
//  3. Worse behaviour than the control's beyond a margin *and* beyond chance, or beyond the margin with four times the
//     evidence asked for: halt. Not before 20 requests, or what the policy asks for where that is less.
//  4. Not every device that counts runs the new version, soak time not over, too few requests: wait.
//  5. Otherwise: advance.
// Without a control (a first version, or the last wave of a fleet whose old version was never measured) rule 3 has nothing
// to compare, and says so in the reason.
import type { GatePolicy } from '@tidegate/shared/wire/admin-api.js';
import type { DeviceProgress } from './device-progress.js';
import {
  confidenceIsLower,
  errorRate,
  errorRateIsHigher,
  latencyQuantileBoundsMs,
  latencyQuantileMs,
  meanConfidence,
  type VersionStats,
} from './statistics.js';

export interface GateEvidence {
  readonly waveStartedAtMs: number;
  /** Every device of this and the earlier waves. */
  readonly devices: readonly DeviceProgress[];
  /** The new version on the devices that run it, since this wave began. */
  readonly canary: VersionStats;
  /** The old version; undefined where there is none to compare with. */
  readonly control: VersionStats | undefined;
}

interface GateDecision {
  readonly action: 'wait' | 'advance' | 'halt';
  /** A sentence for people. */
  readonly reason: string;
}

/** Evidence, in multiples of `minRequests`, from which a margin counts even when chance could explain it. */
const LONG_EVIDENCE = 4;
/** Requests before behaviour is judged at all: a variance of three answers says nothing. */
const FEWEST_REQUESTS = 20;
/** A p99 that rises by less than this is not judged: timers and schedulers alone do that. */
const P99_NOISE_FLOOR_MS = 5;

const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;

function judgeDevices(evidence: GateEvidence, policy: GatePolicy): GateDecision | undefined {
  const { devices } = evidence;
  const failed = devices.filter((d) => d.state === 'failed' || d.state === 'rolled-back');
  if (failed.length > policy.maxFailedShare * devices.length) {
    const first = failed[0];
    const why = first?.detail === undefined ? '' : `: ${first.detail}`;
    return {
      action: 'halt',
      reason: `${failed.length} of ${devices.length} devices failed to activate or rolled back (${first?.id}${why})`,
    };
  }
  const silent = devices.filter((d) => d.state === 'silent');
  if (silent.length > policy.maxSilentShare * devices.length) {
    return {
      action: 'halt',
      reason: `${silent.length} of ${devices.length} devices silent for ${policy.silentAfterSeconds} s (${silent[0]?.id})`,
    };
  }
  return undefined;
}

function judgeErrors(
  canary: VersionStats,
  control: VersionStats,
  policy: GatePolicy,
  long: boolean,
): string | undefined {
  const increase = errorRate(canary) - errorRate(control);
  if (increase <= policy.maxErrorRateIncrease) return undefined;
  if (!long && !errorRateIsHigher(canary, control)) return undefined;
  return `error rate ${percent(errorRate(canary))} against the control's ${percent(errorRate(control))}`;
}

function judgeConfidence(
  canary: VersionStats,
  control: VersionStats,
  policy: GatePolicy,
  long: boolean,
): string | undefined {
  const a = meanConfidence(canary);
  const b = meanConfidence(control);
  if (a === undefined || b === undefined || b - a <= policy.maxConfidenceDrop) return undefined;
  if (!long && !confidenceIsLower(canary, control)) return undefined;
  return `mean confidence ${a.toFixed(3)} fell more than ${policy.maxConfidenceDrop} under the control's ${b.toFixed(3)}`;
}

function judgeLatency(
  canary: VersionStats,
  control: VersionStats,
  policy: GatePolicy,
  long: boolean,
): string | undefined {
  const a = latencyQuantileBoundsMs(canary, 0.99);
  const b = latencyQuantileBoundsMs(control, 0.99);
  if (a === undefined || b === undefined) return undefined;
  const aPoint = latencyQuantileMs(canary, 0.99) ?? 0;
  const bPoint = latencyQuantileMs(control, 0.99) ?? 0;
  if (aPoint - bPoint < P99_NOISE_FLOOR_MS || aPoint <= policy.maxP99Ratio * bPoint) return undefined;
  // Latency is noisy on shared machines: long evidence still has to clear the lower bound, only the control's is its point.
  if (a.lower <= policy.maxP99Ratio * (long ? bPoint : b.upper)) return undefined;
  return `p99 ${aPoint.toFixed(1)} ms is more than ${policy.maxP99Ratio} times the control's ${bPoint.toFixed(1)} ms`;
}

/** The decision and its reason. See the head of this file for the rules. */
export function judge(evidence: GateEvidence, policy: GatePolicy, nowMs: number): GateDecision {
  const { canary, control, devices } = evidence;
  const halt = judgeDevices(evidence, policy);
  if (halt) return halt;
  const tried = canary.requests + canary.errors;
  if (control !== undefined && tried >= Math.min(FEWEST_REQUESTS, Math.max(1, policy.minRequests))) {
    const long = tried >= LONG_EVIDENCE * Math.max(1, policy.minRequests);
    const worse =
      judgeErrors(canary, control, policy, long) ??
      judgeConfidence(canary, control, policy, long) ??
      judgeLatency(canary, control, policy, long);
    if (worse !== undefined) return { action: 'halt', reason: `${worse} (${tried} requests)` };
  }
  const counted = devices.filter((d) => d.state !== 'silent' && d.state !== 'failed' && d.state !== 'rolled-back');
  const running = counted.filter((d) => d.state === 'running').length;
  if (running < counted.length) return { action: 'wait', reason: `${running} of ${devices.length} devices run it` };
  const soakLeftMs = evidence.waveStartedAtMs + policy.soakSeconds * 1000 - nowMs;
  if (soakLeftMs > 0) return { action: 'wait', reason: `soaking, ${Math.ceil(soakLeftMs / 1000)} s left` };
  if (tried < policy.minRequests) {
    return { action: 'wait', reason: `${tried} of ${policy.minRequests} requests seen on the new version` };
  }
  const verdict =
    control === undefined
      ? `no control to compare with, ${tried} requests`
      : `no worse than the control over ${tried} requests`;
  return { action: 'advance', reason: verdict };
}
