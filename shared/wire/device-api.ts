// Paths and topics between agent and hub, and the shape of a will. The certificate's common name is the device id; the broker
// lets a device publish and subscribe under its own `tidegate/v1/devices/<id>/` only.
import { z } from 'zod';

export const devicePaths = {
  enrol: '/device/v1/enrol',
  desired: '/device/v1/desired', // GET, ETag = "<version>"; 304
  reported: '/device/v1/reported', // PUT ReportedState
  telemetry: '/device/v1/telemetry', // POST TelemetryRecord (fallback when MQTT is away); answers TelemetryAck
  renew: '/device/v1/renew', // POST, also with an expired certificate: a new one for the same key (RenewResponse)
  blob: (hex: string): string => `/device/v1/blobs/${hex}`, // GET, Range
  sample: (hex: string): string => `/device/v1/samples/${hex}`, // PUT, the body of wire/sample.ts; 200 had it, 201 took it
  answer: (key: string): string => `/device/v1/answers/${key}`, // GET, PUT: wire/shared-answer.ts
  tufMetadata: '/tuf/image/metadata/',
  tufTargets: '/tuf/image/targets/',
} as const;

export const deviceTopics = (deviceId: string) => {
  const base = `tidegate/v1/devices/${deviceId}`;
  return {
    desired: `${base}/desired`, // hub -> device, retained
    reported: `${base}/reported`, // device -> hub
    telemetry: `${base}/telemetry`, // device -> hub, QoS 1
    telemetryAck: `${base}/telemetry-ack`, // hub -> device: { seq }
    presence: `${base}/presence`, // device -> hub; will
  } as const;
};

export const presenceSchema = z.strictObject({ connectionId: z.string(), online: z.boolean() });
export type Presence = z.infer<typeof presenceSchema>;
export const renewResponseSchema = z.strictObject({ certificatePem: z.string() });

/** Body of every answer of the device port that is no success, except under /v2. */
export const deviceErrorSchema = z.object({
  error: z.string(),
  /** `token-expired`, `foreign-certificate`, `body-too-large`, `invalid-body`, `not-found` ... */
  code: z.string(),
  /** What in the request is wrong. */
  field: z.string().optional(),
});
export type DeviceErrorBody = z.infer<typeof deviceErrorSchema>;
export const telemetryAckSchema = z.strictObject({ seq: z.int().min(0) });
