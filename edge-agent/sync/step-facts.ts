// What the shell needs to know of a planned step: what it is about, how long it may take, and how it reads in a log.
import type { DesiredModel } from '@tidegate/shared/wire/desired-state.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { ModelSlots } from '../engine/model-slots.js';
import type { ActivationRecord, Activations, ActiveVersion } from '../state/activations.js';
import type { StepTimeouts } from './limits.js';
import { sameActivation, type SyncStep } from './plan.js';
import { SyncError } from './sync-error.js';

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

/** Throws SyncError where the model has gone meanwhile. */
export function activeOf(activations: Activations, model: string): ActiveVersion {
  const active = activations.active().get(model);
  if (active === undefined) throw new SyncError('load-failed', `${model} is not active any more`);
  return active;
}

/** The newest of this activation. */
export function recordOf(activations: Activations, target: DesiredModel): ActivationRecord | undefined {
  return activations.records().findLast((record) => sameActivation(record.target, target));
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
    case 'warm-up':
      return timeouts.warmUpMs;
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
