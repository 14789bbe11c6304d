// A message from a device, on its way into the fleet. The topic was allowed and is the device's own; the payload is read here. What
// can't be read is dropped with a log line: the device says the same over HTTPS, where it is told what is wrong.
import type { Log } from '@tidegate/shared/system/log.js';
import { deviceTopics, presenceSchema } from '@tidegate/shared/wire/device-api.js';
import { reportedStateSchema } from '@tidegate/shared/wire/reported-state.js';
import { telemetryRecordSchema } from '@tidegate/shared/wire/telemetry.js';
import type { z } from 'zod';
import { jsonOf } from './device-acl.js';
import type { BrokerGateway } from './device-broker.js';

interface DeviceMessage {
  readonly deviceId: string;
  readonly topic: string;
  readonly payload: Uint8Array;
}

/** Resolves with what is to be sent back, if anything. Never rejects. */
export async function receive(
  message: DeviceMessage,
  gateway: BrokerGateway,
  log: Log,
): Promise<{ readonly topic: string; readonly payload: string } | undefined> {
  const { deviceId, topic, payload } = message;
  const own = deviceTopics(deviceId);
  const document = jsonOf(payload);
  try {
    if (topic === own.reported) {
      await gateway.reported(deviceId, ownDocument(reportedStateSchema.parse(document), deviceId));
    } else if (topic === own.presence) {
      await gateway.presence(deviceId, presenceSchema.parse(document));
    } else if (topic === own.telemetry) {
      const record = ownDocument(telemetryRecordSchema.parse(document), deviceId);
      await gateway.telemetry(deviceId, record);
      // Only now: the device deletes the record when it reads this.
      return { topic: own.telemetryAck, payload: JSON.stringify({ seq: record.seq }) };
    }
  } catch (cause) {
    log.warn({ deviceId, topic, reason: reasonOf(cause) }, 'a message from a device was dropped');
  }
  return undefined;
}

function ownDocument<T extends { readonly deviceId: string }>(document: T, deviceId: string): T {
  if (document.deviceId !== deviceId) throw new Error(`it is of ${document.deviceId}`);
  return document;
}

function reasonOf(cause: unknown): string {
  const issue = (cause as Partial<z.ZodError>).issues?.[0];
  if (issue !== undefined) return `${issue.path.map(String).join('.')}: ${issue.message}`;
  return cause instanceof Error ? cause.message : String(cause);
}
