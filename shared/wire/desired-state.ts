// What the hub wants a device to run: a full document with a version that only grows (design 6). Retained on MQTT as the
// hint; GET /device/v1/desired with an ETag is the truth. A device ignores a document whose version is not larger than the
// newest it has acted on, so duplicates and reordering change nothing.
import { z } from 'zod';
import { digestSchema } from './digest.js';
import { modelNameSchema } from './model-yaml.js';
import { privacySchema } from './privacy.js';

/** How documents of earlier hubs, which devices and hubs keep, say it. */
const fallbackOnlySchema = z.enum(['local', 'hub']).transform((fallback) => privacySchema.parse({ fallback }));

export const desiredModelSchema = z.strictObject({
  name: modelNameSchema,
  /** The hub's number, for people and for `/v2/models/NAME/versions/N`. */
  version: z.int().min(1),
  versionDigest: digestSchema,
  variant: z.string(),
  variantDigest: digestSchema,
  /** Bytes of all files of the variant, to check free space before the first byte. */
  sizeBytes: z.int().nonnegative(),
  /** The package's privacy policy, so that it holds before the model is on the device. Absent: nothing is known of it. */
  privacy: z.union([privacySchema, fallbackOnlySchema]).optional(),
  /** Set while a rollout is moving this device; echoed in reports and evidence. */
  rolloutId: z.string().optional(),
  /** Time after the switch during which the agent itself rolls back when the new version fails. */
  probationMs: z.int().min(0),
});
export type DesiredModel = z.infer<typeof desiredModelSchema>;

export const desiredStateSchema = z.strictObject({
  deviceId: z.string(),
  version: z.int().min(0),
  models: z.array(desiredModelSchema).max(256),
  config: z.strictObject({ telemetryIntervalMs: z.int().min(100).max(86_400_000) }),
});
export type DesiredState = z.infer<typeof desiredStateSchema>;
