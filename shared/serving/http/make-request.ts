// A parsed request -> what the service is asked. Any front may use it: how long a request may take is decided here, once.
import type { RequestTrace } from '../../tracing/span.js';
import type { InferRequest } from '../inference-service.js';
import type { RequestOptions } from './request-options.js';

interface RequestParts {
  readonly model: string;
  readonly version: string | undefined;
  readonly id: string | undefined;
  readonly inputs: InferRequest['inputs'];
  readonly outputs: readonly string[];
  readonly options: RequestOptions;
  /** Who calls, as token or certificate say, whose share its tenants divide; undefined = nobody known, and the tenant is the caller. */
  readonly identity: string | undefined;
  /** Monotonic time at which the request began to arrive. */
  readonly arrivedMs: number;
  /** What the protocol itself grants from `arrivedMs` on, beside the request's own `timeout`; absent where it says nothing. */
  readonly grantedMs?: number;
  /** Whose the ids of sequences are; absent = everybody's. */
  readonly scope?: string | undefined;
  readonly trace?: RequestTrace | undefined;
}

interface TimeLimits {
  readonly defaultTimeoutMs: number;
  readonly timeoutMsMax: number;
}

/** The default timeout holds only where neither the request nor its protocol states one. */
export function makeInferRequest(parts: RequestParts, limits: TimeLimits): InferRequest {
  const {
    model,
    version,
    id,
    inputs,
    outputs,
    options,
    identity,
    arrivedMs,
    grantedMs = Number.POSITIVE_INFINITY,
    scope,
    trace,
  } = parts;
  const { timeoutUs, priority, tenant, placement, cache, maxStalenessMs, cacheTags, sequence, parameters } = options;
  const statedMs = Math.min(timeoutUs === 0 ? Number.POSITIVE_INFINITY : timeoutUs / 1000, grantedMs);
  const timeoutMs = Number.isFinite(statedMs) ? Math.min(statedMs, limits.timeoutMsMax) : limits.defaultTimeoutMs;
  const deadlineMs = arrivedMs + timeoutMs;
  const caller = identity ?? tenant;
  return {
    model,
    version,
    id,
    inputs,
    outputs,
    deadlineMs,
    priority,
    ...(caller === undefined ? {} : { caller }),
    ...(identity === undefined || tenant === undefined ? {} : { tenant }),
    placement,
    cache,
    maxStalenessMs,
    ...(cacheTags === undefined ? {} : { cacheTags }),
    ...(sequence === undefined ? {} : { sequence: scope === undefined ? sequence : { ...sequence, scope } }),
    ...(trace === undefined ? {} : { trace }),
    parameters,
  };
}
