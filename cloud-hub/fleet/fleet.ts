// The fleet port: what the device port, the broker, the admin API and the rollouts call. Implementation: fleet-service.ts.
import type { Device } from '@tidegate/shared/wire/admin-api.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { Presence } from '@tidegate/shared/wire/device-api.js';
import type { ReportedState } from '@tidegate/shared/wire/reported-state.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';

export interface EnrolledDevice {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly certificateSerial: string;
  readonly publicKeyFingerprint: string;
}

/** Pushes documents to devices; the broker implements it. A failed push loses nothing: devices also ask by HTTPS. */
export interface DesiredPublisher {
  publish(deviceId: string, desired: DesiredState): Promise<void>;
}

/** What the device-facing transports call. Documents are parsed before they come here; ids come from the certificate. */
export interface DeviceGateway {
  enrolled(device: EnrolledDevice): Promise<void>;
  /** Undefined for an unknown or revoked device. */
  desired(deviceId: string): Promise<DesiredState | undefined>;
  /** Keeps the newest by seq; older and equal ones change nothing. */
  reported(deviceId: string, report: ReportedState): Promise<void>;
  /** Idempotent by seq. */
  telemetry(deviceId: string, record: TelemetryRecord): Promise<void>;
  presence(deviceId: string, presence: Presence): Promise<void>;
}

export interface Fleet extends DeviceGateway {
  device(id: string): Promise<Device | undefined>;
  devices(query: { group?: string; limit: number; cursor?: string }): Promise<{ items: Device[]; nextCursor?: string }>;
}
