// What a device may do at the broker: publish to and subscribe to its own few topics, nothing beside them. Pure rules, the same for
// every adapter. Each returns why not, or undefined where it is allowed.
import { deviceTopics, presenceSchema } from '@tidegate/shared/wire/device-api.js';

interface Publication {
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
}

export interface ConnectRequest {
  readonly clientId: string;
  readonly clean: boolean;
  readonly will?: (Publication & { readonly payload: Uint8Array }) | undefined;
}

export function publishRefusal(deviceId: string, { topic, qos, retain }: Publication): string | undefined {
  const own = deviceTopics(deviceId);
  if (topic !== own.reported && topic !== own.telemetry && topic !== own.presence) {
    return `${deviceId} may not publish to ${topic}`;
  }
  // The hub keeps state in its database; a retained or QoS 2 message would only be kept by the broker.
  if (retain) return 'devices may not retain messages';
  return qos > 1 ? 'QoS 2 is not needed: documents are idempotent' : undefined;
}

/** Exact topics only: a wildcard would match more than what is known today. */
export function subscribeRefusal(deviceId: string, topic: string): string | undefined {
  const own = deviceTopics(deviceId);
  return topic === own.desired || topic === own.telemetryAck ? undefined : `${deviceId} may not subscribe to ${topic}`;
}

/**
 * The client id must be the device's, so that a second connection replaces the first instead of running beside it. Sessions
 * are clean, so that nothing is queued for a device that is away: the desired state is retained, all else is asked again.
 */
export function connectRefusal(deviceId: string, { clientId, clean, will }: ConnectRequest): string | undefined {
  if (clientId !== deviceId) return `the client id must be ${deviceId}`;
  if (!clean) return 'the session must be clean';
  if (will === undefined) return undefined;
  if (will.topic !== deviceTopics(deviceId).presence) return `the will must go to ${deviceTopics(deviceId).presence}`;
  const refusal = publishRefusal(deviceId, will);
  if (refusal !== undefined) return refusal;
  // Without its connection's id, a late will would end the presence of the next connection.
  const presence = presenceSchema.safeParse(jsonOf(will.payload));
  return presence.success && !presence.data.online ? undefined : 'the will must be {connectionId, online: false}';
}

export function jsonOf(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
  } catch {
    return undefined; // the schema that reads it says that it is nothing
  }
}
