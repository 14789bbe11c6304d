// Whether a version that has just been switched to may stay: a pure judgement over what the device itself saw of it, against
// what it saw of the version before. Only the device's own answers count; whether the hub can be reached has no part in it
// (field lesson B13: losing the hub right after the switch never causes a roll back). A quiet device passes by time alone,
// as the self-test has already passed; the fleet's gate on the hub is the stricter judge.

export interface ObservedVersion {
  /** Answered by the model on this device, or failed by it. Cache hits and the hub's answers are not the model's. */
  readonly requests: number;
  readonly errors: number;
  /** Sum over answers computed on the device. */
  readonly latencySumMs: number;
  /** Times that its executor died or was replaced for hanging. */
  readonly executorDeaths: number;
}

export const NOTHING_OBSERVED: ObservedVersion = { requests: 0, errors: 0, latencySumMs: 0, executorDeaths: 0 };

export interface ProbationPolicy {
  /** Fewer requests than this say nothing about rates. */
  readonly requestsMin: number;
  /** Error rate above the previous version's that is too much. */
  readonly errorRateMargin: number;
  /** Mean latency over the previous version's that is too much. */
  readonly latencyRatioMax: number;
  /** Executor deaths that are too many, whatever the rates. */
  readonly executorDeathsMax: number;
}

export const PROBATION_POLICY: ProbationPolicy = {
  requestsMin: 20,
  errorRateMargin: 0.1,
  latencyRatioMax: 3,
  executorDeathsMax: 2,
};

export type ProbationVerdict =
  | { readonly kind: 'watching'; readonly untilMs: number }
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly reason: string };

export interface ProbationInput {
  readonly now: ObservedVersion;
  /** Undefined where there is nothing to compare with. */
  readonly before: ObservedVersion | undefined;
  /** Monotonic. */
  readonly startedMs: number;
  readonly durationMs: number;
  readonly interruptions: number;
  readonly interruptionsMax: number;
  readonly nowMs: number;
}

export function judgeProbation(input: ProbationInput, policy: ProbationPolicy = PROBATION_POLICY): ProbationVerdict {
  const { now, before } = input;
  const failed = (reason: string): ProbationVerdict => ({ kind: 'failed', reason });
  if (input.interruptions >= input.interruptionsMax) {
    return failed(`the agent died ${input.interruptions} times while this version answered`);
  }
  if (now.executorDeaths > policy.executorDeathsMax) {
    return failed(`its executor died ${now.executorDeaths} times, at most ${policy.executorDeathsMax} allowed`);
  }
  if (now.requests >= policy.requestsMin) {
    const rate = now.errors / now.requests;
    const allowed =
      (before !== undefined && before.requests > 0 ? before.errors / before.requests : 0) + policy.errorRateMargin;
    if (rate > allowed)
      return failed(`error rate ${rate.toFixed(3)} over ${allowed.toFixed(3)} in ${now.requests} requests`);
  }
  const latency = meanLatencyMs(now, policy);
  const latencyBefore = before === undefined ? undefined : meanLatencyMs(before, policy);
  if (latency !== undefined && latencyBefore !== undefined && latency > latencyBefore * policy.latencyRatioMax) {
    return failed(
      `mean latency ${latency.toFixed(1)} ms over ${policy.latencyRatioMax} times the previous version's ${latencyBefore.toFixed(1)} ms`,
    );
  }
  const untilMs = input.startedMs + input.durationMs;
  return input.nowMs >= untilMs ? { kind: 'passed' } : { kind: 'watching', untilMs };
}

function meanLatencyMs(observed: ObservedVersion, policy: ProbationPolicy): number | undefined {
  const answers = observed.requests - observed.errors;
  return answers >= policy.requestsMin ? observed.latencySumMs / answers : undefined;
}
