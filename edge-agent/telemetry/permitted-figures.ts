// A record as it may leave the device now: its figures were gathered where the policy allowed it, and a policy that has become
// stricter since holds for what still waits in the outbox too.
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';

export function permittedFigures(record: TelemetryRecord, mayLeave: (model: string) => boolean): TelemetryRecord {
  const evidence = record.evidence.filter(({ model }) => mayLeave(model));
  return evidence.length === record.evidence.length ? record : { ...record, evidence };
}
