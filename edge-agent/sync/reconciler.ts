// The shell around the plan: asks it for the next step, performs that one step with a time limit, writes down how it ended,
// asks again. It can be told a new desired state at any moment; a step that nobody wants any more ends at once (field lesson
// B15), and a long step of one model makes way for an urgent one of another (a roll back never waits for a download).
//
// What survives a restart is in the state database; what waits after a failure is in memory, so a restart tries again at
// once, while attempts stay counted (B12).
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { BackoffPolicy } from '@tidegate/shared/system/backoff.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import type { DesiredModel, DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { ModelSlots } from '../engine/model-slots.js';
import type { ModelStore } from '../model-store/model-store.js';
import type { ActivationRecord, ActiveVersion } from '../state/activations.js';
import type { ActiveMirror } from '../state/active-mirror.js';
import type { AgentState } from '../state/agent-state.js';
import { Lanes } from './lanes.js';
import { STEP_TIMEOUTS, type StepTimeouts } from './limits.js';
import {
  INTERRUPTIONS_MAX,
  isUrgent,
  laneOf,
  needed,
  plan,
  sameActivation,
  type ForwardStep,
  type PlanInput,
  type SyncStep,
} from './plan.js';
import {
  judgeProbation,
  NOTHING_OBSERVED,
  PROBATION_POLICY,
  type ProbationPolicy,
  type ProbationVerdict,
} from './probation.js';
import type { ProbationWatch } from './probation-watch.js';
import { recover } from './recover.js';
import { activeOf, describe, loadedIn, recordOf, timeoutOf, type Performed } from './step-facts.js';
import { StepFailures, toSyncError } from './step-failures.js';
import type { StepRunner } from './step-runner.js';
import { SyncError } from './sync-error.js';
import { unlessAborted } from './unless-aborted.js';

export interface ReconcilerOptions {
  readonly deviceId: string;
  readonly timeouts?: StepTimeouts;
  readonly probationPolicy?: ProbationPolicy;
  /** Pause before a step that failed for a passing reason is tried again. */
  readonly retry?: BackoffPolicy;
  /** Pause between the first attempt of a version and the second. */
  readonly attemptPauseMs?: number;
  /** How often probation is judged, and whether something urgent has come up during a long step. */
  readonly tickMs?: number;
}

export interface ReconcilerModules {
  readonly state: AgentState;
  readonly mirror: ActiveMirror;
  readonly store: ModelStore;
  readonly slots: ModelSlots;
  readonly runner: StepRunner;
  readonly watch: ProbationWatch;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called for what an operator should hear of: `activation-failed`, `rolled-back` ... */
  readonly event: (kind: string, detail: string) => void;
  /** Called after each change of what is reported. */
  readonly changed: () => void;
  /** Called right before and right after each step; the fault tests end the process there. */
  readonly atBoundary?: (step: SyncStep['kind'], edge: 'begin' | 'end') => void;
}

/** What a step that is under way shows. */
interface StepProgress {
  readonly target: DesiredModel;
  readonly share: number;
  /** Within a step that says it. */
  readonly doing?: string | undefined;
}

/** A passing trouble is over within a minute of its cause (B5: recovers within 60 s after space returns). */
const DEFAULT_RETRY: BackoffPolicy = { baseMs: 1000, maxMs: 45_000 };
const DEFAULT_ATTEMPT_PAUSE_MS = 10_000;
const DEFAULT_TICK_MS = 500;
/** Where nothing happens, so often the plan is made anew all the same. */
const LOOK_INTERVAL_MS = 60_000;

const FORWARD: readonly ForwardStep[] = ['download', 'verify', 'load', 'warm-up', 'self-test', 'switch'];

export class Reconciler {
  readonly #options: Required<Omit<ReconcilerOptions, 'deviceId'>> & { readonly deviceId: string };
  readonly #modules: ReconcilerModules;
  readonly #stop = new AbortController();
  readonly #lanes: Lanes;
  readonly #failures: StepFailures;
  #desired: DesiredState | undefined;
  #desiredSaved = true;
  #held: readonly Digest[] = [];
  #progress: StepProgress | undefined;
  #current: { readonly step: Performed; readonly abort: AbortController } | undefined;
  #wake: () => void = () => undefined;
  #loop: Promise<void> = Promise.resolve();
  #ready = false;

  constructor(options: ReconcilerOptions, modules: ReconcilerModules) {
    this.#options = {
      timeouts: STEP_TIMEOUTS,
      probationPolicy: PROBATION_POLICY,
      retry: DEFAULT_RETRY,
      attemptPauseMs: DEFAULT_ATTEMPT_PAUSE_MS,
      tickMs: DEFAULT_TICK_MS,
      ...options,
    };
    this.#modules = modules;
    this.#lanes = new Lanes(this.#options.retry, modules);
    this.#failures = new StepFailures(this.#options, { ...modules, lanes: this.#lanes });
  }

  /**
   * Takes up where the last run ended, and resolves once every active model was loaded from the local store, or has been
   * tried once: no hub has a part in it (B4). Then goes on in the background until `stop`.
   */
  async start(): Promise<void> {
    await recover(this.#modules, this.#stop.signal);
    this.#desired = this.#modules.state.documents.desired();
    this.#held = await this.#modules.store.variants();
    for (;;) {
      const step = plan(this.#input());
      if (step.kind !== 'start') break;
      await this.#perform(step);
    }
    this.#ready = true;
    this.#loop = this.#run();
  }

  /** True once every active model was loaded or tried. */
  get ready(): boolean {
    return this.#ready;
  }

  get desired(): DesiredState | undefined {
    return this.#desired;
  }

  get progress(): StepProgress | undefined {
    return this.#progress;
  }

  /** The passing trouble that holds a model's activation up now, for reports. */
  trouble(model: string): SyncError | undefined {
    return this.#lanes.trouble(`forward ${model}`) ?? this.#lanes.trouble(`start ${model}`);
  }

  /** Takes a desired state. An old or repeated one changes nothing; one for another device is refused. */
  accept(desired: DesiredState): 'taken' | 'old' | 'foreign' {
    if (desired.deviceId !== this.#options.deviceId) return 'foreign';
    if (this.#desired !== undefined && desired.version <= this.#desired.version) return 'old';
    this.#desired = desired;
    this.#desiredSaved = false;
    this.#saveDesired();
    this.#lanes.settleAll();
    const { step, abort } = this.#current ?? {};
    if (step !== undefined && 'target' in step && step.kind !== 'start') {
      const still = desired.models.some((model) => sameActivation(model, step.target));
      if (!still) abort?.abort(new SyncError('interrupted', `superseded by desired version ${desired.version}`));
    }
    this.#modules.changed();
    this.#wake();
    return 'taken';
  }

  /** Ends the step under way (it goes on at the next start) and notes that this was no accident. */
  async stop(): Promise<void> {
    this.#stop.abort(new SyncError('interrupted', 'the agent is stopping'));
    this.#wake();
    await this.#loop;
    this.#modules.runner.close();
    try {
      this.#modules.state.documents.markCleanStop();
    } catch (cause) {
      this.#modules.log.warn({ error: (cause as Error).message }, 'the clean stop could not be noted');
    }
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        if (!this.#desiredSaved) this.#saveDesired();
        const step = plan(this.#input());
        if (step.kind === 'wait') await this.#sleep(this.#waitMs(step.untilMs));
        else await this.#perform(step);
      } catch (cause) {
        // The state database can't be read: serving goes on, and a restart rebuilds it.
        this.#modules.log.error({ error: (cause as Error).message }, 'keeping models in step is held up');
        await this.#sleep(this.#options.retry.maxMs);
      }
    }
  }

  #input(): PlanInput {
    const { state, slots, runner, clock } = this.#modules;
    const active = state.activations.active();
    return {
      desired: this.#desired,
      active,
      records: state.activations.records(),
      loaded: loadedIn(slots),
      prepared: runner.prepared,
      probation: this.#verdicts(active),
      held: this.#held,
      notBeforeMs: this.#lanes.notBeforeMs,
      nowMs: clock.monotonicMs(),
    };
  }

  #verdicts(active: ReadonlyMap<string, ActiveVersion>): Map<string, ProbationVerdict> {
    const { watch, runner, clock, state, slots } = this.#modules;
    const verdicts = new Map<string, ProbationVerdict>();
    const records = state.activations.records();
    for (const [model, { committed, running, previous }] of active) {
      const startedMs = runner.probationStartedMs(model);
      if (committed || startedMs === undefined) continue;
      const record = records.findLast((entry) => sameActivation(entry.target, running));
      const now = watch.of(running.variantDigest) ?? NOTHING_OBSERVED;
      const input = {
        now: { ...now, executorDeaths: slots.active(model)?.executorDeaths ?? 0 },
        before: previous === undefined ? undefined : watch.of(previous.variantDigest),
        startedMs,
        durationMs: running.probationMs,
        interruptions: record?.interruptions ?? 0,
        interruptionsMax: INTERRUPTIONS_MAX,
        nowMs: clock.monotonicMs(),
      };
      verdicts.set(model, judgeProbation(input, this.#options.probationPolicy));
    }
    return verdicts;
  }

  async #perform(step: Performed): Promise<void> {
    const { clock, log, atBoundary } = this.#modules;
    const abort = new AbortController();
    const stopped = (): void => abort.abort(this.#stop.signal.reason);
    this.#stop.signal.addEventListener('abort', stopped, { once: true });
    const limitMs = timeoutOf(step, this.#options.timeouts);
    const code = step.kind === 'download' ? 'unreachable' : 'timeout';
    const cancelTimeout = clock.after(limitMs, () =>
      abort.abort(new SyncError(code, `step ${step.kind} took longer than ${limitMs} ms`)),
    );
    const cancelWatch = this.#preemptWhenUrgent(step, abort);
    this.#current = { step, abort };
    try {
      if ('attempt' in step) this.#begin(step);
      atBoundary?.(step.kind, 'begin');
      if (abort.signal.aborted) throw abort.signal.reason;
      await unlessAborted(this.#act(step, abort.signal), abort.signal, () => undefined);
      atBoundary?.(step.kind, 'end');
      this.#lanes.settle(laneOf(step));
      log.info({ ...describe(step) }, 'sync step done');
    } catch (cause) {
      await this.#failed(step, cause, abort.signal);
    } finally {
      this.#current = undefined;
      this.#progress = undefined;
      cancelTimeout();
      cancelWatch();
      this.#stop.signal.removeEventListener('abort', stopped);
      this.#modules.changed();
    }
  }

  /** The record of a forward step is on disk before the step begins. */
  #begin(step: Extract<Performed, { attempt: number }>): void {
    const { target, kind, attempt, interruptions } = step;
    const record: ActivationRecord = { target, step: kind, state: 'running', attempt, interruptions };
    const saved = recordOf(this.#modules.state.activations, target);
    const same = saved?.step === kind && saved.state === 'running' && saved.attempt === attempt;
    if (!same) this.#modules.state.activations.save(record);
    this.#progress = { target, share: 0 };
    this.#modules.changed();
  }

  async #act(step: Performed, signal: AbortSignal): Promise<void> {
    const { runner, state } = this.#modules;
    const { activations } = state;
    switch (step.kind) {
      case 'download':
      case 'verify':
      case 'load':
      case 'warm-up':
      case 'self-test':
        await this.#forward(step.kind, step.target, signal);
        return this.#advance(step.target, step.kind);
      case 'switch':
        await runner.switchTo(step.target, recordOf(activations, step.target) as ActivationRecord);
        return;
      case 'start':
        return runner.start(step.target, activations.active().get(step.model)?.committed ?? true, signal);
      case 'commit':
        await runner.commit(step.model, activeOf(activations, step.model));
        return;
      case 'roll-back':
        return this.#failures.rollBack(step, signal);
      case 'remove':
        return runner.remove(step.model);
      case 'abandon':
        runner.dropPrepared(step.record.target.variantDigest);
        return activations.save({ ...step.record, state: 'superseded' });
      case 'give-up':
        return this.#failures.giveUp(step.record, step.reason);
      case 'collect':
        await runner.collect(needed(this.#input()));
        this.#held = await this.#modules.store.variants();
    }
  }

  async #forward(kind: Exclude<ForwardStep, 'switch'>, target: DesiredModel, signal: AbortSignal): Promise<void> {
    const { runner } = this.#modules;
    if (kind === 'verify') return runner.verify(target, signal);
    const onProgress = (share: number, doing?: string): void => this.#showProgress(target, share, doing);
    if (kind === 'load') return runner.load(target, onProgress, signal);
    if (kind === 'warm-up') return runner.warmUp(target, onProgress, signal);
    if (kind === 'self-test') return runner.selfTest(target, onProgress, signal);
    await runner.download(target, needed(this.#input()), onProgress, signal);
    this.#held = await this.#modules.store.variants();
  }

  #advance(target: DesiredModel, done: ForwardStep): void {
    const next = FORWARD[FORWARD.indexOf(done) + 1];
    const record = recordOf(this.#modules.state.activations, target);
    if (next !== undefined && record !== undefined) this.#modules.state.activations.save({ ...record, step: next });
  }

  async #failed(step: Performed, cause: unknown, signal: AbortSignal): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const reason: unknown = signal.aborted ? signal.reason : cause;
    if (reason instanceof SyncError && reason.code === 'interrupted') return; // superseded or made way: plan anew
    await this.#failures.failed(step, toSyncError(reason, step.kind));
  }

  #saveDesired(): void {
    if (this.#desired === undefined) return;
    try {
      this.#modules.state.documents.saveDesired(this.#desired);
      this.#desiredSaved = true;
    } catch (cause) {
      // A full disk: act on it all the same, deleting what is no longer wanted may be what makes room.
      this.#modules.log.warn({ error: (cause as Error).message }, 'the desired state could not be saved yet');
    }
  }

  #showProgress(target: DesiredModel, share: number, doing?: string): void {
    const before = this.#progress;
    this.#progress = { target, share: Math.min(1, share), doing };
    if (doing !== before?.doing || Math.floor(share * 10) > Math.floor((before?.share ?? 0) * 10))
      this.#modules.changed();
  }

  /** Long steps look up every tick: something that can't wait ends them, and they go on afterwards. */
  #preemptWhenUrgent(step: Performed, abort: AbortController): () => void {
    if (!('attempt' in step) || step.kind === 'switch') return () => undefined;
    let cancel: () => void;
    const look = (): void => {
      const next = this.#glance();
      if (next !== undefined && isUrgent(next)) abort.abort(new SyncError('interrupted', `makes way for ${next.kind}`));
      else cancel = this.#modules.clock.after(this.#options.tickMs, look);
    };
    cancel = this.#modules.clock.after(this.#options.tickMs, look);
    return () => cancel();
  }

  /** The plan as of now; undefined when the state can't be read at the moment. */
  #glance(): SyncStep | undefined {
    try {
      return plan(this.#input());
    } catch (cause) {
      this.#modules.log.error({ error: (cause as Error).message }, 'the plan could not be made');
      return undefined;
    }
  }

  #waitMs(untilMs: number | undefined): number {
    const probation = [...this.#modules.state.activations.active().values()].some((active) => !active.committed);
    const limitMs = probation ? this.#options.tickMs : LOOK_INTERVAL_MS;
    return Math.max(1, Math.min(limitMs, (untilMs ?? Infinity) - this.#modules.clock.monotonicMs()));
  }

  async #sleep(waitMs: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    if (this.#stop.signal.aborted) return;
    await delay(this.#modules.clock, waitMs, woken.signal).catch(() => undefined); // woken early: that is the point
  }
}
