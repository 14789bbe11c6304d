// Everything between this device and its hub but inference: wires the reconciler to where wishes come from and to where news
// go. Serving never waits for any of it: `start` returns once the models of the last run answer, whether or not there is a
// hub (field lesson B4).
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { DownloadPolicy } from '@tidegate/shared/content/ranged-download.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import type { TufClient } from '@tidegate/shared/tuf/tuf-client.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import type { ModelSlots } from '../engine/model-slots.js';
import type { ModelStore } from '../model-store/model-store.js';
import type { PrivacyDecisions } from '../privacy/privacy-decisions.js';
import { ActiveMirror } from '../state/active-mirror.js';
import type { AgentState } from '../state/agent-state.js';
import { Outbox } from '../telemetry/outbox.js';
import { permittedFigures } from '../telemetry/permitted-figures.js';
import { TelemetrySender } from '../telemetry/telemetry-sender.js';
import { Telemetry } from '../telemetry/telemetry.js';
import { DesiredPoller } from './desired-poller.js';
import { DeviceApiError, HttpsDeviceApi } from './device-api.js';
import { HubLink } from './hub-link.js';
import { HubPackageSource } from './hub-package-source.js';
import type { OpenMqttSession } from './mqtt-session.js';
import { ProbationWatch } from './probation-watch.js';
import { Reconciler, type ReconcilerModules } from './reconciler.js';
import { buildReport } from './report.js';
import { Reporter } from './reporter.js';
import { StepRunner } from './step-runner.js';

/** Until the hub has said otherwise. */
const DEFAULT_TELEMETRY_INTERVAL_MS = 60_000;
const LAST_REPORT_TIMEOUT_MS = 2000;

interface HubSyncOptions {
  readonly dataDir: string;
  readonly deviceId: string;
  readonly deviceUrl: string;
  readonly agentVersion: string;
  readonly deviceClass: DeviceClass;
  readonly downloadPolicy?: DownloadPolicy;
}

interface HubSyncModules {
  readonly state: AgentState;
  readonly store: ModelStore;
  readonly slots: ModelSlots;
  readonly privacy: Pick<PrivacyDecisions, 'ask'>;
  readonly tuf: Pick<TufClient, 'verifiedTarget' | 'forgetExcept'>;
  /** Mutual TLS to the device port. */
  readonly dispatcher: Dispatcher;
  /** Dials the broker with the device's certificate. */
  readonly openMqttSocket: () => Duplex;
  readonly openMqtt: OpenMqttSession;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called when the hub may be reachable again, and when it desires something new. */
  readonly hubHeard?: () => void;
  readonly atBoundary?: ReconcilerModules['atBoundary'];
}

export class HubSync {
  /** Hears of each finished request. */
  readonly telemetry: Telemetry;
  readonly watch = new ProbationWatch();
  readonly #options: HubSyncOptions;
  readonly #modules: HubSyncModules;
  readonly #bootId = randomUUID();
  readonly #outbox: Outbox;
  readonly #sender: TelemetrySender;
  readonly #link: HubLink;
  readonly #poller: DesiredPoller;
  readonly #reporter: Reporter;
  readonly #reconciler: Reconciler;
  #wasUp = false;
  #started = false;

  constructor(options: HubSyncOptions, modules: HubSyncModules) {
    this.#options = options;
    this.#modules = modules;
    const { state, clock, random, log } = modules;
    const api = new HttpsDeviceApi({ deviceUrl: options.deviceUrl, dispatcher: modules.dispatcher });
    this.#outbox = new Outbox({ table: state.outbox, documents: state.documents });
    this.telemetry = new Telemetry(
      { deviceId: options.deviceId, intervalMs: () => this.#telemetryIntervalMs() },
      {
        outbox: this.#outbox,
        mayLeave: (model, answered) => modules.privacy.ask(model, 'telemetry', answered).allowed,
        clock,
        log,
        stored: () => this.#sender.wake(),
      },
    );
    this.#link = this.#makeLink();
    const mqttConnected = (): boolean => this.#link.connected;
    const link = this.#link;
    const permitted = (record: TelemetryRecord): TelemetryRecord =>
      permittedFigures(record, (model) => modules.privacy.ask(model, 'telemetry').allowed);
    this.#sender = new TelemetrySender({
      outbox: this.#outbox,
      routes: {
        get mqttConnected() {
          return link.connected;
        },
        publish: (record, signal) => link.publish('telemetry', permitted(record), signal),
        post: (record, signal) => api.telemetry(permitted(record), signal),
        refused: (cause) => cause instanceof DeviceApiError && (cause.status === 400 || cause.status === 422),
      },
      clock,
      random,
      log,
    });
    this.#reconciler = this.#makeReconciler();
    this.#reporter = new Reporter({
      build: () => this.#report(),
      nextSeq: () => state.documents.increment('report-seq'),
      mqttConnected,
      publish: (report, signal) => link.publish('reported', report, signal),
      put: (report, signal) => api.report(report, signal),
      clock,
      random,
      log,
    });
    this.#poller = new DesiredPoller({
      api,
      clock,
      random,
      log,
      mqttConnected,
      accept: (desired) => this.#accept(desired),
    });
  }

  /** What the hub desires here, as far as this device has heard; undefined before `start` and where it never has. */
  get desired(): DesiredState | undefined {
    return this.#reconciler.desired;
  }

  /** Resolves once the models of the last run answer, or were tried. Contact with the hub begins then. */
  async start(): Promise<void> {
    if (this.#modules.state.rebuiltBecause !== undefined) {
      this.telemetry.event('state-rebuilt', this.#modules.state.rebuiltBecause);
    }
    await this.#reconciler.start();
    this.#started = true;
    this.telemetry.start();
    this.#sender.start();
    this.#reporter.start();
    this.#poller.start();
    this.#link.start();
  }

  /** What `/agent/v1/status` shows. */
  status(): object {
    const { desired, progress } = this.#reconciler;
    const { bytes, count } = this.#outbox.size();
    return {
      deviceId: this.#options.deviceId,
      link: {
        mqtt: this.#link.connected ? 'connected' : 'disconnected',
        mqttError: this.#link.lastError,
        desiredError: this.#poller.lastError,
      },
      sync: {
        desiredVersion: desired?.version ?? 0,
        desired,
        ...(progress && { progress: { model: progress.target.name, share: progress.share } }),
        models: this.#report().models,
      },
      outbox: { records: count, bytes, dropped: this.#outbox.droppedCount },
    };
  }

  async stop(): Promise<void> {
    if (!this.#started) return;
    await this.#poller.stop();
    await this.#reconciler.stop();
    this.telemetry.stop();
    await this.#sender.stop();
    await this.#reporter.stop(LAST_REPORT_TIMEOUT_MS);
    await this.#link.stop();
  }

  #accept(desired: DesiredState): 'taken' | 'old' | 'foreign' {
    const beforeMs = this.#telemetryIntervalMs();
    const outcome = this.#reconciler.accept(desired);
    if (this.#telemetryIntervalMs() !== beforeMs) this.telemetry.intervalChanged();
    if (outcome === 'taken') this.#modules.hubHeard?.();
    return outcome;
  }

  #telemetryIntervalMs(): number {
    return this.#reconciler.desired?.config.telemetryIntervalMs ?? DEFAULT_TELEMETRY_INTERVAL_MS;
  }

  #makeLink(): HubLink {
    const { openMqtt, openMqttSocket, clock, random, log } = this.#modules;
    return new HubLink(
      { deviceId: this.#options.deviceId, openSocket: openMqttSocket },
      {
        desiredHint: () => this.#poller.hint(),
        telemetryAck: (seq) => this.#sender.acknowledged(seq),
        up: () => this.#linkUp(),
        down: (reason) => this.#linkDown(reason),
      },
      { open: openMqtt, clock, random, log },
    );
  }

  #linkUp(): void {
    if (this.#wasUp) this.telemetry.event('hub-link-back', 'connected to the broker again');
    this.#wasUp = true;
    this.#poller.hint();
    this.#reporter.again();
    this.#sender.linkChanged();
    this.#modules.hubHeard?.();
  }

  #linkDown(reason: string): void {
    this.telemetry.event('hub-link-lost', reason);
    this.#poller.hint();
    this.#sender.linkChanged();
  }

  #makeReconciler(): Reconciler {
    const { state, store, slots, tuf, dispatcher, files, clock, random, log, atBoundary } = this.#modules;
    const { dataDir, deviceId, deviceUrl, downloadPolicy } = this.#options;
    const download = { store: store.content, dispatcher, clock, random };
    const source = new HubPackageSource(deviceUrl, {
      tuf,
      download: downloadPolicy === undefined ? download : { ...download, policy: downloadPolicy },
    });
    const mirror = new ActiveMirror(dataDir, files);
    const { watch } = this;
    const runner = new StepRunner({ state, mirror, store, source, slots, watch, clock, log });
    return new Reconciler(
      { deviceId },
      {
        state,
        mirror,
        store,
        slots,
        runner,
        watch,
        clock,
        random,
        log,
        event: (kind, detail) => this.telemetry.event(kind, detail),
        changed: () => this.#reporter.changed(),
        ...(atBoundary && { atBoundary }),
      },
    );
  }

  #report(): ReturnType<typeof buildReport> {
    const { state, slots } = this.#modules;
    const { deviceId, agentVersion, deviceClass } = this.#options;
    const { desired, progress } = this.#reconciler;
    return buildReport({
      deviceId,
      bootId: this.#bootId,
      agentVersion,
      deviceClass,
      desired,
      progress,
      slots,
      active: state.activations.active(),
      records: state.activations.records(),
      trouble: (model) => this.#reconciler.trouble(model),
    });
  }
}
