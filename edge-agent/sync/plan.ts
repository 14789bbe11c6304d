// What to do next, decided by a pure function over what is desired, what is persisted and what is loaded (balena's way:
// typed steps, planned anew after each). The plan never looks back at how it got here, so a restart at any point, a document
// that arrives twice and a change of mind all take the same road. One step is returned at a time; the shell persists it,
// performs it, and asks again.
//
// Order: first what keeps the device answering (load what is active, undo what is bad), then what ends an activation, then
// what takes one forward, then cleaning. A step that is waiting after a failure never blocks the steps of another model.
import type { DesiredModel, DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { ActivationRecord, ActiveVersion } from '../state/activations.js';
import type { ProbationVerdict } from './probation.js';

/** Tries of one version by one rollout before a person is asked (field lesson B12). */
export const ATTEMPTS_MAX = 2;
/** Deaths of the agent in dangerous steps of one attempt before the attempt counts as failed. */
export const INTERRUPTIONS_MAX = 3;

export type ForwardStep = 'download' | 'verify' | 'load' | 'warm-up' | 'self-test' | 'switch';

export type SyncStep =
  /** Load the active version from the local store: after a start, or after its executor could not be had. */
  | { readonly kind: 'start'; readonly model: string; readonly target: DesiredModel }
  | {
      readonly kind: 'roll-back';
      readonly model: string;
      readonly reason: string;
      /** True when nothing is wrong with the new version: the hub changed its mind. */
      readonly superseded: boolean;
    }
  | { readonly kind: 'commit'; readonly model: string }
  | { readonly kind: 'remove'; readonly model: string }
  /** An activation that nobody wants any more. */
  | { readonly kind: 'abandon'; readonly record: ActivationRecord }
  | { readonly kind: 'give-up'; readonly record: ActivationRecord; readonly reason: string }
  | {
      readonly kind: ForwardStep;
      readonly target: DesiredModel;
      readonly attempt: number;
      readonly interruptions: number;
    }
  | { readonly kind: 'collect'; readonly digests: readonly Digest[] }
  /** Nothing until then (monotonic; undefined = until something changes). */
  | { readonly kind: 'wait'; readonly untilMs: number | undefined };

/** What waits after a failure: loading a model, undoing it, taking it forward, or collecting; one never blocks another. */
export type Lane = `${'start' | 'undo' | 'forward'} ${string}` | 'collect';

export interface PlanInput {
  readonly desired: DesiredState | undefined;
  readonly active: ReadonlyMap<string, ActiveVersion>;
  /** Newest last. */
  readonly records: readonly ActivationRecord[];
  /** Variant digest that each slot answers with now. */
  readonly loaded: ReadonlyMap<string, Digest>;
  /** Variant digests that are loaded in a spare executor. */
  readonly prepared: ReadonlySet<Digest>;
  /** Verdict on each active version that is not committed. */
  readonly probation: ReadonlyMap<string, ProbationVerdict>;
  /** Variants whose files are on disk. */
  readonly held: readonly Digest[];
  /** Per lane: no step before this monotonic time, after a failure. */
  readonly notBeforeMs: ReadonlyMap<Lane, number>;
  readonly nowMs: number;
}

export function plan(input: PlanInput): SyncStep {
  const waits: number[] = [];
  const steps = [...keepAnswering(input, waits), ...advance(input, waits)];
  const first = steps[0];
  if (first !== undefined) return first;
  const garbage = unneeded(input);
  if (garbage.length > 0 && !waiting(input, 'collect', waits)) return { kind: 'collect', digests: garbage };
  return { kind: 'wait', untilMs: waits.length > 0 ? Math.min(...waits) : undefined };
}

/** True, and noted, while the lane waits after a failure. */
function waiting(input: PlanInput, lane: Lane, waits: number[]): boolean {
  const untilMs = input.notBeforeMs.get(lane) ?? -Infinity;
  if (untilMs <= input.nowMs) return false;
  waits.push(untilMs);
  return true;
}

function* keepAnswering(input: PlanInput, waits: number[]): Generator<SyncStep> {
  const wanted = new Map(input.desired?.models.map((model) => [model.name, model]));
  for (const [model, active] of input.active) {
    const notDesired = input.desired !== undefined && !wanted.has(model);
    if (notDesired) continue;
    if (input.loaded.get(model) !== active.running.variantDigest && !waiting(input, `start ${model}`, waits)) {
      yield { kind: 'start', model, target: active.running };
    }
  }
  for (const [model, active] of input.active) {
    if (active.committed || waiting(input, `undo ${model}`, waits)) continue;
    const want = wanted.get(model);
    if (want !== undefined && want.variantDigest === active.previous?.variantDigest) {
      yield { kind: 'roll-back', model, reason: `desired version ${want.version} supersedes it`, superseded: true };
    }
    const verdict = input.probation.get(model);
    if (verdict?.kind === 'failed') yield { kind: 'roll-back', model, reason: verdict.reason, superseded: false };
    if (verdict?.kind === 'passed') yield { kind: 'commit', model };
    if (verdict?.kind === 'watching') waits.push(verdict.untilMs);
  }
}

function* advance(input: PlanInput, waits: number[]): Generator<SyncStep> {
  if (input.desired === undefined) return;
  const wanted = new Map(input.desired.models.map((model) => [model.name, model]));
  for (const record of input.records) {
    const want = wanted.get(record.target.name);
    const runs = input.active.get(record.target.name)?.running.variantDigest === record.target.variantDigest;
    if (record.state === 'running' && !runs && (want === undefined || !sameActivation(want, record.target))) {
      yield { kind: 'abandon', record };
    }
  }
  for (const model of new Set([...input.active.keys(), ...input.loaded.keys()])) {
    if (!wanted.has(model) && !waiting(input, `undo ${model}`, waits)) yield { kind: 'remove', model };
  }
  for (const want of input.desired.models) {
    if (input.active.get(want.name)?.running.variantDigest === want.variantDigest) continue;
    const step = forward(input, want);
    if (step !== undefined && !waiting(input, `forward ${want.name}`, waits)) yield step;
  }
}

/** The next step that brings `want` closer, as far as its own record goes. */
function forward(input: PlanInput, want: DesiredModel): SyncStep | undefined {
  const record = input.records.findLast((entry) => sameActivation(entry.target, want));
  if (record === undefined) return { kind: 'download', target: want, attempt: 1, interruptions: 0 };
  const { attempt, interruptions } = record;
  switch (record.state) {
    case 'needs-attention':
      return undefined;
    case 'superseded': // the hub wants it again; being called off was not its fault
      return { kind: 'download', target: want, attempt, interruptions };
    case 'failed':
    case 'rolled-back':
      return attempt < ATTEMPTS_MAX
        ? { kind: 'download', target: want, attempt: attempt + 1, interruptions: 0 }
        : { kind: 'give-up', record, reason: record.error ?? record.state };
    case 'running':
      if (interruptions >= INTERRUPTIONS_MAX) {
        return { kind: 'give-up', record, reason: `the agent died ${interruptions} times in step ${record.step}` };
      }
      return { kind: resumeAt(input, record), target: want, attempt, interruptions };
  }
}

/** A spare executor does not survive the agent: the steps that need one go back to loading it. */
function resumeAt(input: PlanInput, record: ActivationRecord): ForwardStep {
  switch (record.step) {
    case 'warm-up':
    case 'self-test':
    case 'switch':
      return input.prepared.has(record.target.variantDigest) ? record.step : 'load';
    case 'probation':
    case 'commit': // was active once, but what is active now is something else: install it again
      return 'verify';
    default:
      return record.step;
  }
}

/** One activation: the same bytes for the same rollout. */
export function sameActivation(a: DesiredModel, b: DesiredModel): boolean {
  return a.name === b.name && a.variantDigest === b.variantDigest && (a.rolloutId ?? '') === (b.rolloutId ?? '');
}

/** Variants that run, can be undone to, or are on their way; all others may be deleted. */
export function needed(input: Pick<PlanInput, 'active' | 'records' | 'desired'>): Set<Digest> {
  const keep = new Set<Digest>();
  for (const { running, previous } of input.active.values()) {
    keep.add(running.variantDigest);
    if (previous !== undefined) keep.add(previous.variantDigest);
  }
  for (const want of input.desired?.models ?? []) {
    const record = input.records.findLast((entry) => sameActivation(entry.target, want));
    if (record?.state !== 'needs-attention') keep.add(want.variantDigest);
  }
  return keep;
}

function unneeded(input: PlanInput): Digest[] {
  if (input.desired === undefined) return []; // not yet told what is wanted: delete nothing
  const keep = needed(input);
  return input.held.filter((digest) => !keep.has(digest));
}

/** The lane that waits when this step fails. */
export function laneOf(step: Exclude<SyncStep, { kind: 'wait' }>): Lane {
  switch (step.kind) {
    case 'start':
      return `start ${step.model}`;
    case 'roll-back':
    case 'commit':
    case 'remove':
      return `undo ${step.model}`;
    case 'abandon':
    case 'give-up':
      return `forward ${step.record.target.name}`;
    case 'collect':
      return 'collect';
    default:
      return `forward ${step.target.name}`;
  }
}

/** Steps that can't wait for a long one of another model to end. */
export function isUrgent(step: SyncStep): boolean {
  return step.kind === 'start' || step.kind === 'roll-back' || step.kind === 'commit' || step.kind === 'remove';
}
