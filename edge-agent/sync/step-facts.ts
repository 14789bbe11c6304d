// What the shell needs to know of a planned step: how long it may take, and how it reads in a log.
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { ModelSlots } from '../engine/model-slots.js';
import type { StepTimeouts } from './limits.js';
import type { SyncStep } from './plan.js';

export type Performed = Exclude<SyncStep, { kind: 'wait' }>;

/** Variant digest that each slot answers with. */
export function loadedIn(slots: ModelSlots): Map<string, Digest> {
  const loaded = new Map<string, Digest>();
  for (const name of slots.names()) {
    const active = slots.active(name);
    if (active !== undefined) loaded.set(name, active.source.variantDigest);
  }
  return loaded;
}

export function timeoutOf(step: Performed, timeouts: StepTimeouts): number {
  switch (step.kind) {
    case 'download':
      return timeouts.downloadMs;
    case 'verify':
      return timeouts.verifyMs;
    case 'load':
      return timeouts.loadMs;
    case 'start':
    case 'roll-back':
      return timeouts.verifyMs + timeouts.loadMs;
    case 'self-test':
      return timeouts.selfTestMs;
    default:
      return timeouts.switchMs;
  }
}

/** Fields of a log line. */
export function describe(step: Performed): Record<string, unknown> {
  if ('target' in step) {
    const { name, version, variant, variantDigest } = step.target;
    return {
      step: step.kind,
      model: name,
      version,
      variant,
      variantDigest,
      ...('attempt' in step && { attempt: step.attempt }),
    };
  }
  if ('model' in step) return { step: step.kind, model: step.model, ...('reason' in step && { reason: step.reason }) };
  if ('record' in step) return { step: step.kind, model: step.record.target.name };
  return { step: step.kind };
}
