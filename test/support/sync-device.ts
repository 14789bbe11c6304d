// A device whose disk and database are real and whose engine and hub are in memory. `start` is a boot, `crash` pulls the
// plug: what the process held is gone, what was written stays, and the database is opened again by the next boot.
import { ModelStore } from '@tidegate/edge-agent/model-store/model-store.js';
import { ActiveMirror } from '@tidegate/edge-agent/state/active-mirror.js';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { ProbationWatch } from '@tidegate/edge-agent/sync/probation-watch.js';
import { Reconciler, type ReconcilerModules, type ReconcilerOptions } from '@tidegate/edge-agent/sync/reconciler.js';
import { buildReport } from '@tidegate/edge-agent/sync/report.js';
import { StepRunner } from '@tidegate/edge-agent/sync/step-runner.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog, type Log } from '@tidegate/shared/system/log.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import type { ReportedModel } from '@tidegate/shared/wire/reported-state.js';
import { afterEach } from 'vitest';
import { desiredState, FakePackageSource } from './fake-package-source.js';
import { failingFiles, type FailingFiles } from './failing-files.js';
import { FakeSlots } from './fake-slots.js';
import { temporaryFolders } from './temporary-folder.js';

export class SyncDevice {
  readonly dataDir: string;
  readonly source: FakePackageSource;
  readonly files: FailingFiles = failingFiles();
  readonly events: string[] = [];
  readonly steps: string[] = [];
  slots = new FakeSlots();
  watch = new ProbationWatch();
  options: Partial<ReconcilerOptions> = {};
  log: Log = silentLog;
  atBoundary: NonNullable<ReconcilerModules['atBoundary']> = () => undefined;
  #reconciler: Reconciler | undefined;
  #state: AgentState | undefined;
  #listeners = new Set<() => void>();
  #dead = false;

  constructor(dataDir: string, source: FakePackageSource) {
    this.dataDir = dataDir;
    this.source = source;
  }

  get reconciler(): Reconciler {
    return this.#reconciler as Reconciler;
  }

  get state(): AgentState {
    return this.#state as AgentState;
  }

  async start(): Promise<void> {
    const { files, source, watch } = this;
    this.slots = Object.assign(new FakeSlots(), {
      failLoad: this.slots.failLoad,
      failSelfTest: this.slots.failSelfTest,
      hangLoad: this.slots.hangLoad,
      compile: this.slots.compile,
    });
    const { slots } = this;
    this.#dead = false;
    const { log } = this;
    const clock = systemClock;
    const state = await AgentState.open(this.dataDir, { files, log, clock });
    this.#state = state;
    const store = await ModelStore.open({ dataDir: this.dataDir }, files);
    source.content = store.content;
    const mirror = new ActiveMirror(this.dataDir, files);
    const runner = new StepRunner({ state, mirror, store, source, slots, watch, clock, log });
    this.#reconciler = new Reconciler(
      {
        deviceId: 'device-1',
        tickMs: 5,
        attemptPauseMs: 1,
        retry: { baseMs: 5, maxMs: 20 },
        ...this.options,
      },
      {
        state,
        mirror,
        store,
        slots,
        runner,
        watch,
        clock,
        log,
        random: seededRandom(7),
        event: (kind, detail) => this.events.push(`${kind}: ${detail}`),
        changed: () => {
          for (const listener of this.#listeners) listener();
        },
        atBoundary: (step, edge) => {
          if (this.#dead) throw new Error('the plug was pulled');
          this.steps.push(`${step} ${edge}`);
          this.atBoundary(step, edge);
          for (const listener of this.#listeners) listener();
        },
      },
    );
    await this.#reconciler.start();
  }

  /** From now on nothing of this process has any effect; the files stay as they are. */
  async crash(): Promise<void> {
    this.#dead = true;
    this.#state?.close();
    void this.#reconciler?.stop();
    for (const prepared of this.slots.open) await prepared.close();
  }

  async stop(): Promise<void> {
    await this.#reconciler?.stop();
    this.#state?.close();
  }

  report(model: string): ReportedModel | undefined {
    const { desired, progress } = this.reconciler;
    return buildReport({
      deviceId: 'device-1',
      bootId: 'b',
      agentVersion: '0',
      desired,
      progress,
      slots: this.slots,
      deviceClass: { architecture: 'x64', instructions: [], provider: 'cpu', cores: 1, memoryTierGiB: 1 },
      active: this.state.activations.active(),
      records: this.state.activations.records(),
      trouble: (name) => this.reconciler.trouble(name),
    }).models.find((entry) => entry.name === model);
  }

  /** Resolves when `condition` holds; looked at after each change. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.#listeners.delete(look);
        resolve();
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** Variant digest that answers for the model now. */
  running(model: string): string | undefined {
    return this.slots.active(model)?.source.variantDigest;
  }

  /** Resolves when what is desired runs and is committed, or needs a person. */
  settled(): Promise<void> {
    return this.until(() => {
      const desired = this.reconciler.desired?.models ?? [];
      return desired.every(({ name, variantDigest }) => {
        const report = this.report(name);
        const runs = report?.running?.variantDigest === variantDigest && report.running.committed;
        return runs || report?.activation?.state === 'needs-attention';
      });
    });
  }
}

/** Devices of one test file, stopped after each test. */
export function syncDevices(prefix: string) {
  const folder = temporaryFolders(prefix);
  const running: SyncDevice[] = [];
  afterEach(async () => {
    for (const made of running.splice(0)) await made.stop();
  });
  const device = (source = new FakePackageSource()): SyncDevice => {
    const made = new SyncDevice(folder(), source);
    running.push(made);
    return made;
  };
  /** One that runs version 1 of `digits`, committed. `v1` is the variant's digest. */
  const withVersion1 = async () => {
    const source = new FakePackageSource();
    const made = device(source);
    const v1 = source.publish('digits', 1, 'one');
    await made.start();
    made.reconciler.accept(desiredState(1, [v1.model]));
    await made.settled();
    return { made, source, v1: v1.model.variantDigest };
  };
  return { device, withVersion1 };
}
