// The device side of a hub for tests: real CA, database, enrolment, update repository, device port; a fleet that records.
import { join } from 'node:path';
import { createDevicePort, type DevicePort } from '@tidegate/cloud-hub/api/device/device-port.js';
import { createBroker } from '@tidegate/cloud-hub/broker/aedes/aedes-broker.js';
import type { DeviceBroker } from '@tidegate/cloud-hub/broker/device-broker.js';
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import type { DeviceGateway, EnrolledDevice } from '@tidegate/cloud-hub/fleet/fleet.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import { recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import {
  initKeys,
  openCertificateAuthority,
  type CertificateAuthority,
} from '@tidegate/cloud-hub/security/certificate-authority.js';
import { Enrolment } from '@tidegate/cloud-hub/security/enrolment.js';
import { openTufRepository, type TufRepository } from '@tidegate/cloud-hub/security/tuf-repository.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { SharedAnswers } from '@tidegate/cloud-hub/shared-cache/shared-answers.js';
import { refuseToShare } from '@tidegate/cloud-hub/shared-cache/sharing-policy.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { Presence } from '@tidegate/shared/wire/device-api.js';
import type { ReportedState } from '@tidegate/shared/wire/reported-state.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import { ManualClock } from './manual-clock.js';

/** Keeps what it is told; hands out what a test puts into `documents`. */
export class RecordingGateway implements DeviceGateway {
  readonly enrolments: EnrolledDevice[] = [];
  readonly documents = new Map<string, DesiredState>();
  readonly reports: [string, ReportedState][] = [];
  readonly records: [string, TelemetryRecord][] = [];
  readonly presences: [string, Presence][] = [];
  /** Called after each message. */
  onMessage: () => void = () => undefined;

  async enrolled(device: EnrolledDevice): Promise<void> {
    this.enrolments.push(device);
    if (!this.documents.has(device.id)) this.documents.set(device.id, desiredFor(device.id, 0));
  }
  async desired(deviceId: string): Promise<DesiredState | undefined> {
    return this.documents.get(deviceId);
  }
  async reported(deviceId: string, report: ReportedState): Promise<void> {
    this.reports.push([deviceId, report]);
    this.onMessage();
  }
  async telemetry(deviceId: string, record: TelemetryRecord): Promise<void> {
    this.records.push([deviceId, record]);
    this.onMessage();
  }
  async presence(deviceId: string, presence: Presence): Promise<void> {
    this.presences.push([deviceId, presence]);
    this.onMessage();
  }
}

export function desiredFor(deviceId: string, version: number): DesiredState {
  return { deviceId, version, models: [], config: { telemetryIntervalMs: 1000 } };
}

export function reportOf(deviceId: string, seq: number): ReportedState {
  return {
    deviceId,
    seq,
    bootId: 'boot-1',
    desiredVersion: 0,
    agentVersion: '0.1.0',
    deviceClass: { architecture: 'x64', instructions: [], provider: 'cpu', cores: 2, memoryTierGiB: 16 },
    models: [],
  };
}

export function recordOf(deviceId: string, seq: number): TelemetryRecord {
  return { deviceId, seq, fromMs: 1, toMs: 2, evidence: [], events: [] };
}

export interface DeviceHub {
  readonly ca: CertificateAuthority;
  readonly enrolment: Enrolment;
  readonly tuf: TufRepository;
  readonly content: ContentStore;
  readonly db: Database;
  readonly samples: SampleIntake;
  readonly answers: SharedAnswers;
  readonly gateway: RecordingGateway;
  readonly port: DevicePort;
  readonly url: string;
  /** Of certificates and tokens; wall time, moved by tests. */
  readonly clock: ManualClock;
  mqttUrl: string;
  /** Starts the broker and sets `mqttUrl`. */
  startBroker(): Promise<DeviceBroker>;
  newToken(uses?: number): Promise<string>;
  close(): Promise<void>;
}

export async function startDeviceHub(folder: string): Promise<DeviceHub> {
  const clock = new ManualClock(Date.now());
  const keys = await initKeys(join(folder, 'keys'), systemFiles, clock);
  const ca = await openCertificateAuthority({ keys, clock });
  const db = await openSqlite(':memory:');
  const deviceUrl = (): string => `https://127.0.0.1:${hub.port.port}`;
  const enrolment = await Enrolment.open({ db, ca, clock, audit: recordAudit, deviceUrl });
  const modules = { keys, files: systemFiles, clock: systemClock, log: silentLog };
  const tuf = await openTufRepository({ folder: join(folder, 'tuf') }, modules);
  const content = await ContentStore.open({ folder: join(folder, 'content') }, systemFiles);
  const gateway = new RecordingGateway();
  const samples = new SampleIntake({ db, content, events: new HubEvents(silentLog), clock });
  const answers = new SharedAnswers({ limitBytes: 1e6, witnesses: 2 }, { clock });
  const port = await createDevicePort(
    { host: '127.0.0.1', port: 0, names: ['127.0.0.1', 'localhost'] },
    {
      ca,
      clock,
      log: silentLog,
      gateway,
      enrolment,
      tuf,
      content,
      files: systemFiles,
      samples,
      answers: { answers, refuse: (offer) => refuseToShare(db, offer) },
      deviceUrl,
      mqttUrl: () => hub.mqttUrl,
      inference: (request, response, deviceId) => {
        if (request.url?.startsWith('/v2') !== true) return false;
        response.end(`inference for ${deviceId}`);
        return true;
      },
    },
  );
  let broker: DeviceBroker | undefined;
  const hub: DeviceHub = {
    ca,
    enrolment,
    tuf,
    content,
    db,
    samples,
    answers,
    gateway,
    port,
    url: `https://127.0.0.1:${port.port}`,
    clock,
    mqttUrl: 'mqtts://127.0.0.1:9883',
    startBroker: async () => {
      broker = await createBroker(
        { host: '127.0.0.1', port: 0, names: ['127.0.0.1'] },
        { ca, gateway, enrolment, clock, log: silentLog },
      );
      hub.mqttUrl = `mqtts://${broker.address}`;
      return broker;
    },
    newToken: async (uses = 1) =>
      (await enrolment.create({ group: 'field', uses, expiresInSeconds: 3600 }, 'token:test')).token,
    close: async () => {
      await broker?.close();
      await port.close(0);
      tuf.close();
      await db.destroy();
    },
  };
  return hub;
}
