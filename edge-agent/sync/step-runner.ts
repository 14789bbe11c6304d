// Performs one planned step. Each method first writes what it is about to make true, then makes it true, so that a death in
// between leaves a record that the plan can go on from; nothing here decides what comes next. Spare executors and those kept
// for undoing live here, in memory only.
//
// Invariant of a switch and of a roll back: the state database names the version that is verified on disk and was loaded in
// an executor a moment ago; the slots follow synchronously.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { DesiredModel } from '@tidegate/shared/wire/desired-state.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { ModelSlots, ModelSource, PreparedModel } from '../engine/model-slots.js';
import type { ModelStore } from '../model-store/model-store.js';
import type { ActiveMirror } from '../state/active-mirror.js';
import type { ActivationRecord, ActiveVersion } from '../state/activations.js';
import type { AgentState } from '../state/agent-state.js';
import { DISK_RESERVE_BYTES } from './limits.js';
import type { PackageSource } from './package-source.js';
import type { ProbationWatch } from './probation-watch.js';
import { SyncError } from './sync-error.js';
import { unlessAborted } from './unless-aborted.js';

interface StepRunnerModules {
  readonly state: AgentState;
  readonly mirror: ActiveMirror;
  readonly store: ModelStore;
  readonly source: PackageSource;
  readonly slots: ModelSlots;
  readonly watch: ProbationWatch;
  readonly clock: Clock;
  readonly log: Log;
}

export class StepRunner {
  readonly #modules: StepRunnerModules;
  /** Loaded in a spare executor, by variant digest. */
  readonly #prepared = new Map<Digest, PreparedModel>();
  /** Loaded, but no longer active: what a roll back switches to, by model. */
  readonly #undo = new Map<string, PreparedModel>();
  /** Monotonic begin of each probation, by model. */
  readonly #probationStartedMs = new Map<string, number>();

  constructor(modules: StepRunnerModules) {
    this.#modules = modules;
  }

  get prepared(): ReadonlySet<Digest> {
    return new Set(this.#prepared.keys());
  }

  /** When the model's probation began in this run of the agent. */
  probationStartedMs(model: string): number | undefined {
    return this.#probationStartedMs.get(model);
  }

  /** Fetches the signed manifest and every file that is not here yet. `onProgress` receives 0..1. */
  async download(
    target: DesiredModel,
    keep: ReadonlySet<Digest>,
    onProgress: (share: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, source } = this.#modules;
    let manifest = await store.manifest(target.variantDigest);
    if (manifest === undefined) {
      manifest = await store.saveManifest(target.variantDigest, await source.manifest(target.variantDigest, signal));
    }
    if (
      manifest.model !== target.name ||
      manifest.parent !== target.versionDigest ||
      manifest.variant !== target.variant
    ) {
      throw new SyncError(
        'untrusted',
        `the signed manifest is ${manifest.model} ${manifest.variant} of ${manifest.parent}, not what is desired`,
      );
    }
    const missing = await store.missing(manifest);
    await this.#makeRoom(missing, keep);
    const totalBytes = Math.max(
      1,
      manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    );
    let haveBytes = totalBytes - missing.reduce((sum, file) => sum + file.sizeBytes, 0);
    for (const file of missing) {
      await source.fetchFile(file, (received) => onProgress((haveBytes + received) / totalBytes), signal);
      haveBytes += file.sizeBytes;
    }
    onProgress(1);
  }

  /** Refuses before the first byte when the files won't fit even after deleting what is no longer needed (B5). */
  async #makeRoom(missing: readonly { digest: Digest; sizeBytes: number }[], keep: ReadonlySet<Digest>): Promise<void> {
    const { store, log } = this.#modules;
    let needBytes = 0;
    for (const file of missing)
      needBytes += Math.max(0, file.sizeBytes - (await store.content.partialBytes(file.digest)));
    let haveBytes = await store.freeBytes(DISK_RESERVE_BYTES);
    if (needBytes <= haveBytes) return;
    const freedBytes = await store.removeExcept(keep);
    log.info({ needBytes, haveBytes, freedBytes }, 'old models were deleted to make room');
    haveBytes = await store.freeBytes(DISK_RESERVE_BYTES);
    if (needBytes > haveBytes) {
      const dropped = await store.dropCompiled();
      if (dropped > 0) log.info({ needBytes, haveBytes, dropped }, 'compiled graphs were deleted to make room');
      haveBytes = await store.freeBytes(DISK_RESERVE_BYTES);
    }
    if (needBytes > haveBytes) {
      throw new SyncError('no-space', `not enough space: need ${needBytes} bytes, have ${haveBytes}`);
    }
  }

  async verify(target: DesiredModel, signal: AbortSignal): Promise<void> {
    await this.#modules.store.verifyPackage(target.variantDigest, signal);
  }

  /** Loads in a spare executor. A load that ends after the signal did is closed again. `onLoading` as ModelSlots.prepare. */
  async load(
    target: DesiredModel,
    onLoading: (share: number, doing: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const path = this.#modules.store.packageFolder(target.variantDigest);
    const loading = this.#modules.slots.prepare(sourceOf(target, path), signal, onLoading);
    const prepared = await unlessAborted(loading, signal, (late) => this.#retire(late));
    this.dropPrepared(target.variantDigest);
    this.#prepared.set(target.variantDigest, prepared);
  }

  /** First runs, which may compile, while the version before answers. `onProgress` receives 0..1. */
  async warmUp(target: DesiredModel, onProgress: (share: number) => void, signal: AbortSignal): Promise<void> {
    await unlessAborted(this.#preparedFor(target).warmUp(signal, onProgress), signal, () => undefined);
  }

  async selfTest(target: DesiredModel, onProgress: (share: number) => void, signal: AbortSignal): Promise<void> {
    const testing = this.#preparedFor(target).selfTest(signal, onProgress);
    const outcome = await unlessAborted(testing, signal, () => undefined);
    if (outcome.passed) return;
    await this.#distrustCompiled(target);
    throw new SyncError(
      'self-test-failed',
      `golden self-test: score ${outcome.score.toFixed(4)}, threshold ${outcome.threshold}, ${outcome.count} goldens`,
    );
  }

  /** Makes it the active version. What answered before stays loaded until commit. */
  async switchTo(target: DesiredModel, record: ActivationRecord): Promise<void> {
    const { state, slots, clock, watch } = this.#modules;
    const prepared = this.#preparedFor(target);
    const before = state.activations.active().get(target.name);
    const previous = before?.committed === false ? (before.previous ?? before.running) : before?.running;
    watch.reset(target.variantDigest);
    state.activations.saveActive(
      target.name,
      { running: target, sinceMs: clock.nowMs(), committed: false, ...(previous === undefined ? {} : { previous }) },
      { ...record, step: 'probation' },
    );
    const replaced = slots.activate(prepared);
    this.#prepared.delete(target.variantDigest);
    this.#probationStartedMs.set(target.name, clock.monotonicMs());
    if (replaced !== undefined) {
      if (replaced.source.variantDigest === previous?.variantDigest) this.#replaceUndo(target.name, replaced);
      else this.#retire(replaced);
    }
    await this.#mirror();
  }

  async commit(model: string, active: ActiveVersion): Promise<void> {
    this.#modules.state.activations.commit(model, active);
    this.#probationStartedMs.delete(model);
    this.#replaceUndo(model, undefined);
    await this.#mirror();
  }

  /** Puts the previous version back; without one the model goes out of service and the hub answers for it. */
  async rollBack(
    model: string,
    active: ActiveVersion,
    record: ActivationRecord | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { state, slots, clock } = this.#modules;
    if (active.previous === undefined) {
      state.activations.saveActive(model, undefined, record);
      await slots.remove(model);
    } else {
      const kept = this.#undo.get(model);
      const usable = kept?.source.variantDigest === active.previous.variantDigest ? kept : undefined;
      const prepared = usable ?? (await this.#loadLocal(active.previous, signal));
      this.#undo.delete(model);
      state.activations.saveActive(
        model,
        { running: active.previous, sinceMs: clock.nowMs(), committed: true },
        record,
      );
      this.#retire(slots.activate(prepared));
    }
    this.#probationStartedMs.delete(model);
    await this.#mirror();
  }

  /** Loads the active version from the local store, without the hub: verified by digest, then loaded (B4). */
  async start(target: DesiredModel, committed: boolean, signal: AbortSignal): Promise<void> {
    const prepared = await this.#loadLocal(target, signal);
    this.#retire(this.#modules.slots.activate(prepared));
    if (!committed) {
      this.#modules.watch.reset(target.variantDigest);
      this.#probationStartedMs.set(target.name, this.#modules.clock.monotonicMs());
    }
  }

  /** Names another version as the active one, or none, after the active one could not be started. */
  async fallBack(model: string, to: ActiveVersion | undefined, record: ActivationRecord | undefined): Promise<void> {
    this.#modules.state.activations.saveActive(model, to, record);
    await this.#mirror();
  }

  async remove(model: string): Promise<void> {
    this.#modules.state.activations.saveActive(model, undefined, undefined);
    await this.#modules.slots.remove(model);
    this.#replaceUndo(model, undefined);
    await this.#mirror();
  }

  async collect(keep: ReadonlySet<Digest>): Promise<void> {
    const freedBytes = await this.#modules.store.removeExcept(keep);
    await this.#modules.source.forgetExcept(keep);
    this.#modules.log.info({ freedBytes }, 'models that are no longer needed were deleted');
  }

  dropPrepared(variantDigest: Digest): void {
    const prepared = this.#prepared.get(variantDigest);
    this.#prepared.delete(variantDigest);
    this.#retire(prepared);
  }

  /** Lets go of what is loaded but not active, without waiting for its last requests; the slots close what is. */
  close(): void {
    for (const prepared of [...this.#prepared.values(), ...this.#undo.values()]) this.#retire(prepared);
    this.#prepared.clear();
    this.#undo.clear();
  }

  /** What was compiled here may have been damaged since its hashes were seen to hold: the next attempt starts from the verified files. */
  async #distrustCompiled({ name: model, variantDigest }: DesiredModel): Promise<void> {
    const { store, log } = this.#modules;
    try {
      const dropped = await store.dropCompiled(variantDigest);
      if (dropped > 0) log.warn({ model, dropped }, 'self-test failed: its compiled graphs were deleted');
    } catch (cause) {
      log.warn({ model, error: (cause as Error).message }, 'its compiled graphs could not be deleted');
    }
  }

  /** Brings the mirror in step with the state; a failure is only logged, the database is the truth. */
  async #mirror(): Promise<void> {
    const { mirror, state, log } = this.#modules;
    try {
      await mirror.write(state.activations.active());
    } catch (cause) {
      log.warn({ error: (cause as Error).message }, 'the copy of what is active could not be written');
    }
  }

  async #loadLocal(target: DesiredModel, signal: AbortSignal): Promise<PreparedModel> {
    const path = await this.#modules.store.verifyPackage(target.variantDigest, signal);
    const loading = this.#modules.slots.prepare(sourceOf(target, path), signal);
    return unlessAborted(loading, signal, (late) => this.#retire(late));
  }

  #preparedFor(target: DesiredModel): PreparedModel {
    const prepared = this.#prepared.get(target.variantDigest);
    if (prepared === undefined) throw new SyncError('load-failed', `${target.name} is not loaded in a spare executor`);
    return prepared;
  }

  #replaceUndo(model: string, prepared: PreparedModel | undefined): void {
    const before = this.#undo.get(model);
    if (prepared === undefined) this.#undo.delete(model);
    else this.#undo.set(model, prepared);
    if (before !== prepared) this.#retire(before);
  }

  /** Closes in the background: a version closes only after its requests have ended, and no step waits for that. */
  #retire(prepared: PreparedModel | undefined): void {
    if (prepared === undefined) return;
    prepared.close().catch((cause: unknown) => {
      const { name, variantDigest } = prepared.source;
      this.#modules.log.warn({ model: name, variantDigest, error: (cause as Error).message }, 'a model did not close');
    });
  }
}

function sourceOf(target: DesiredModel, path: string): ModelSource {
  const { name, version, versionDigest, variant, variantDigest } = target;
  return { name, version: String(version), versionDigest, variant, variantDigest, path, verified: true };
}
