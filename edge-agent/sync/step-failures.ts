// What a failed step means: again after a pause, one attempt fewer, a person is asked, or another version answers. It is written
// down, so that attempts stay counted over restarts (field lesson B12); what is done next is the plan's to say.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { DesiredModel } from '@tidegate/shared/wire/desired-state.js';
import { ModelStoreError } from '../model-store/model-store-error.js';
import type { ActivationRecord, ActiveVersion } from '../state/activations.js';
import type { AgentState } from '../state/agent-state.js';
import { StateError } from '../state/state-error.js';
import type { Lanes } from './lanes.js';
import { ATTEMPTS_MAX, laneOf } from './plan.js';
import { activeOf, describe, recordOf, type Performed } from './step-facts.js';
import type { StepRunner } from './step-runner.js';
import { SyncError } from './sync-error.js';

interface StepFailuresModules {
  readonly state: AgentState;
  readonly runner: StepRunner;
  readonly lanes: Lanes;
  readonly clock: Clock;
  readonly log: Log;
  readonly event: (kind: string, detail: string) => void;
}

export class StepFailures {
  readonly #attemptPauseMs: number;
  readonly #modules: StepFailuresModules;

  constructor(options: { readonly attemptPauseMs: number }, modules: StepFailuresModules) {
    this.#attemptPauseMs = options.attemptPauseMs;
    this.#modules = modules;
  }

  /** Not for a step that was interrupted: that one has not failed. */
  async failed(step: Performed, error: SyncError): Promise<void> {
    const { lanes, log } = this.#modules;
    log.warn({ ...describe(step), code: error.code, error: error.message }, 'sync step failed');
    try {
      if (step.kind === 'start' && (await this.#startFailed(step.model, error))) return;
      if ('attempt' in step && !error.transient) return this.#attemptFailed(step.target, error);
    } catch (persisting) {
      log.error({ error: (persisting as Error).message }, 'the failure could not be written down');
    }
    lanes.troubled(laneOf(step), error);
  }

  /** A version did not pass its probation, or is not wanted any more: the one before it answers again. */
  async rollBack(step: Extract<Performed, { kind: 'roll-back' }>, signal: AbortSignal): Promise<void> {
    const { state, runner, lanes, event } = this.#modules;
    const active = activeOf(state.activations, step.model);
    const record = recordOf(state.activations, active.running) ?? {
      target: active.running,
      step: 'probation',
      state: 'running',
      attempt: 1,
      interruptions: 0,
    };
    const after: ActivationRecord = step.superseded
      ? { ...record, state: 'superseded' }
      : failedRecord(record, 'rolled-back', `rolled back: ${step.reason}`);
    await runner.rollBack(step.model, active, after, signal);
    if (step.superseded) return;
    lanes.pause(`forward ${step.model}`, this.#attemptPauseMs);
    event('rolled-back', `${step.model} version ${active.running.version}: ${step.reason}`);
  }

  /** No further attempt would help: a person is asked. */
  giveUp(record: ActivationRecord, reason: string): void {
    const { state, runner, event } = this.#modules;
    runner.dropPrepared(record.target.variantDigest);
    state.activations.save({ ...record, state: 'needs-attention', error: reason.slice(0, 2000) });
    event('activation-failed', `${record.target.name} version ${record.target.version}: ${reason}`);
  }

  #attemptFailed(target: DesiredModel, error: SyncError): void {
    const { runner, state, lanes, event } = this.#modules;
    runner.dropPrepared(target.variantDigest);
    const record = recordOf(state.activations, target);
    if (record !== undefined) state.activations.save(failedRecord(record, 'failed', error.message));
    lanes.settle(`forward ${target.name}`);
    lanes.pause(`forward ${target.name}`, this.#attemptPauseMs);
    event('activation-failed', `${target.name} version ${target.version}, ${record?.step}: ${error.message}`);
  }

  /** The active version can't be loaded: the previous one, if there is one; else its files anew; else (false) again later. */
  async #startFailed(model: string, error: SyncError): Promise<boolean> {
    const { state, runner, event, clock } = this.#modules;
    const active = activeOf(state.activations, model);
    if (error.transient || error.code === 'timeout') return false;
    if (active.previous !== undefined) {
      const record = recordOf(state.activations, active.running);
      const to: ActiveVersion = { running: active.previous, sinceMs: clock.nowMs(), committed: true };
      const why = `could not be started again: ${error.message}`;
      await runner.fallBack(model, to, record && failedRecord(record, 'rolled-back', why));
      event('rolled-back', `${model} version ${active.running.version} ${why}`);
      return true;
    }
    if (!(error.cause instanceof ModelStoreError)) return false;
    await runner.fallBack(model, undefined, undefined);
    event('model-damaged', `${model} version ${active.running.version}: ${error.message}; it is installed anew`);
    return true;
  }
}

/** The record after a failed attempt: once more, or a person is asked (B12). */
export function failedRecord(
  record: ActivationRecord,
  state: 'failed' | 'rolled-back',
  error: string,
): ActivationRecord {
  const exhausted = record.attempt >= ATTEMPTS_MAX;
  return { ...record, state: exhausted ? 'needs-attention' : state, error: error.slice(0, 2000) };
}

/** What a failure means for the attempt, whatever threw it. */
export function toSyncError(cause: unknown, step: string): SyncError {
  if (cause instanceof SyncError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = (cause as { code?: unknown }).code;
  if (cause instanceof ModelStoreError) return new SyncError('damaged', message, { cause });
  if (cause instanceof StateError) return new SyncError('not-persisted', message, { cause });
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'no-space')
    return new SyncError('no-space', message, { cause });
  if (step === 'download') return new SyncError('unreachable', message, { cause });
  return new SyncError(step === 'self-test' ? 'self-test-failed' : 'load-failed', message, { cause });
}
