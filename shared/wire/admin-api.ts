// The admin API's bodies (`/api/v1`), shared by the hub, the console and the `tidegate` command line: one source of types.
// Errors are RFC 9457 problem documents.
import { z } from 'zod';
import { datasetVersionSchema, sampleSchema } from './data-api.js';
import { deviceClassSchema } from './device-class.js';
import { digestSchema } from './digest.js';
import { fileEntrySchema, LIMIT_PACKAGE_FILES } from './manifest.js';
import { modelNameSchema } from './model-yaml.js';
import { reportedModelSchema } from './reported-state.js';
import { evaluationSchema, jobSchema } from './training-api.js';
import { variantReportSchema } from './variant-report.js';

export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  /** JSON pointer or name of the field that is wrong. */
  field: z.string().optional(),
});
export type Problem = z.infer<typeof problemSchema>;

export const SCOPES = ['admin', 'publish', 'operate', 'read', 'infer'] as const;
export type Scope = (typeof SCOPES)[number];

export const pageQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z.string().max(200).optional(),
});
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), nextCursor: z.string().optional() });

// --- models -----------------------------------------------------------------------------------------------------------
export const modelSchema = z.object({
  name: modelNameSchema,
  description: z.string().optional(),
  latestVersion: z.int().optional(),
  createdAt: z.string(),
});
export type Model = z.infer<typeof modelSchema>;
export const versionSchema = z.object({
  model: modelNameSchema,
  version: z.int(),
  label: z.string().optional(),
  digest: digestSchema,
  licence: z.string(),
  state: z.enum(['validating', 'optimizing', 'ready', 'refused']),
  /** Why it was refused, or what it is doing now. */
  detail: z.string().optional(),
  sizeBytes: z.int(),
  createdAt: z.string(),
  /** Of a trained version: may it roll out, and why not. The sets that it was measured on stand in its job. */
  evaluation: evaluationSchema.pick({ passed: true, reason: true }).optional(),
  variants: z.array(variantReportSchema),
});
export type Version = z.infer<typeof versionSchema>;

// --- uploads: resumable (create; PUT chunks at an offset; complete) ------------------------------------------------------
export const createUploadSchema = z.strictObject({
  model: modelNameSchema,
  files: z.array(fileEntrySchema).min(1).max(LIMIT_PACKAGE_FILES),
  allowUnknownLicence: z.boolean().default(false),
});
/** Files that the hub already holds are `complete` from the start; others are sent by PUT .../files/<hex>?offset=N. */
export const uploadSchema = z.object({
  id: z.string(),
  model: modelNameSchema,
  files: z.array(fileEntrySchema.extend({ receivedBytes: z.int(), complete: z.boolean() })),
});
export type Upload = z.infer<typeof uploadSchema>;

// --- fleet ------------------------------------------------------------------------------------------------------------
export const createEnrolmentTokenSchema = z.strictObject({
  group: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  uses: z.int().min(1).max(100_000).default(1),
  expiresInSeconds: z.int().min(1).max(31_536_000).default(3600),
});
export const enrolmentTokenCreatedSchema = z.object({ id: z.string(), token: z.string(), expiresAt: z.string() });

export const deviceSchema = z.object({
  id: z.string(),
  name: z.string(),
  group: z.string(),
  online: z.boolean(),
  /** Shut out by an operator; it comes back only by enrolling again. */
  revoked: z.boolean(),
  lastSeenAt: z.string().optional(),
  enrolledAt: z.string(),
  agentVersion: z.string().optional(),
  deviceClass: deviceClassSchema.optional(),
  desiredVersion: z.int(),
  /** Newest desired version that the device says it acted on. */
  reportedDesiredVersion: z.int().optional(),
  models: z.array(reportedModelSchema),
});
export type Device = z.infer<typeof deviceSchema>;

/** GET /api/v1/devices/{id}/telemetry: one record that the device sent, newest first. */
export const telemetryRowSchema = z.object({
  seq: z.int(),
  receivedAt: z.string(),
  requests: z.int(),
  errors: z.int(),
  events: z.array(z.object({ atMs: z.number(), kind: z.string(), detail: z.string() })),
});
export type TelemetryRow = z.infer<typeof telemetryRowSchema>;

/** PUT /api/v1/groups/{group}/config: settings of the desired state's `config`. */
export const groupConfigSchema = z.strictObject({ telemetryIntervalMs: z.int().min(100).max(86_400_000) });

// --- rollouts ---------------------------------------------------------------------------------------------------------
export const gatePolicySchema = z.strictObject({
  /** Least time a wave runs before it may advance. */
  soakSeconds: z.number().min(0).max(604_800).default(300),
  /** Least requests on the new version, over the wave, before it is judged. */
  minRequests: z.int().min(0).default(100),
  /** Largest error-rate excess over the control, absolute. */
  maxErrorRateIncrease: z.number().min(0).max(1).default(0.02),
  /** Largest p99 of the new version over the control's. */
  maxP99Ratio: z.number().min(1).default(1.5),
  /** Largest fall of mean confidence against the control, absolute. */
  maxConfidenceDrop: z.number().min(0).max(1).default(0.05),
  /** Share of the wave's devices that may fail activation or roll back by themselves. */
  maxFailedShare: z.number().min(0).max(1).default(0),
  /** Share of the wave's devices that may be silent once the deadline passed. */
  maxSilentShare: z.number().min(0).max(1).default(0.05),
  /** Time after which a device of the wave that has not reported counts as silent. */
  silentAfterSeconds: z.number().min(1).default(600),
});
export type GatePolicy = z.infer<typeof gatePolicySchema>;

export const createRolloutSchema = z.strictObject({
  model: modelNameSchema,
  /** Number, label or the beginning of a digest. */
  version: z.string().min(1),
  group: z.string(),
  /** Cumulative shares of the group, e.g. [0.1, 0.5, 1]. */
  waves: z.array(z.number().gt(0).max(1)).min(1).max(20),
  policy: gatePolicySchema.prefault({}),
  probationSeconds: z.number().min(0).max(86_400).default(60),
});

const ROLLOUT_STATES = ['running', 'paused', 'completed', 'halted', 'aborted'] as const;
export const rolloutSchema = z.object({
  id: z.string(),
  model: modelNameSchema,
  version: z.int(),
  versionDigest: digestSchema,
  group: z.string(),
  state: z.enum(ROLLOUT_STATES),
  /** The gate's last word: `wave 1 of 3: soaking, 12 s left`, `confidence 0.61 fell more than 0.05 under the control's 0.93`. */
  reason: z.string(),
  wave: z.int(),
  waves: z.array(z.object({ share: z.number(), devices: z.array(z.string()), startedAt: z.string().optional() })),
  policy: gatePolicySchema,
  probationSeconds: z.number(),
  /** After halted/aborted: have all devices of the waves gone back? */
  rolledBack: z.boolean(),
  devices: z.array(
    z.object({
      id: z.string(),
      wave: z.int(),
      state: z.enum(['waiting', 'activating', 'running', 'failed', 'rolled-back', 'silent']),
      detail: z.string().optional(),
    }),
  ),
  evidence: z
    .object({ canary: z.record(z.string(), z.number()), control: z.record(z.string(), z.number()) })
    .optional(),
  createdAt: z.string(),
  updatedAt: z.string(),
});
export type Rollout = z.infer<typeof rolloutSchema>;

// --- tokens and audit -------------------------------------------------------------------------------------------------
export const createTokenSchema = z.strictObject({
  name: z.string().min(1).max(100),
  scopes: z.array(z.enum(SCOPES)).min(1),
  expiresInSeconds: z.int().min(1).optional(),
});
export const auditRowSchema = z.object({
  id: z.int(),
  at: z.string(),
  actor: z.string(),
  action: z.string(),
  subject: z.string(),
  detail: z.record(z.string(), z.unknown()),
});

// --- shared answers ---------------------------------------------------------------------------------------------------
export const sharedAnswersSchema = z.object({
  /** False where the hub shares none. */
  enabled: z.boolean(),
  hits: z.int().optional(),
  misses: z.int().optional(),
  /** What devices offered; of it, answers that came to be given, and offers that differed from what was given. */
  offers: z.int().optional(),
  agreed: z.int().optional(),
  differing: z.int().optional(),
  evictions: z.int().optional(),
  entries: z.int().optional(),
  sizeBytes: z.int().optional(),
  limitBytes: z.int().optional(),
  /** Questions whose answers too few devices have agreed on. */
  waiting: z.int().optional(),
  models: z.array(z.object({ model: z.string(), entries: z.int(), sizeBytes: z.int() })),
  /** What the hub keeps of its own answers. */
  own: z.object({
    /** False where it keeps none. */
    enabled: z.boolean(),
    hits: z.int().optional(),
    misses: z.int().optional(),
    /** Requests that an equal one's run answered. */
    joined: z.int(),
    evictions: z.int().optional(),
    entries: z.int().optional(),
    sizeBytes: z.int().optional(),
    limitBytes: z.int().optional(),
    models: z.array(
      z.object({ model: z.string(), hits: z.int(), misses: z.int(), entries: z.int(), sizeBytes: z.int() }),
    ),
  }),
});
export type SharedAnswersReport = z.infer<typeof sharedAnswersSchema>;
/** All that is stated must hold; a slip must not empty the cache, so nothing at all is refused. */
export const dropAnswersSchema = z
  .strictObject({
    model: modelNameSchema.optional(),
    variant: digestSchema.optional(),
    tag: z.string().min(1).max(64).optional(),
    all: z.literal(true).optional(),
  })
  .refine(({ all, ...some }) => (all === true) !== Object.values(some).some((value) => value !== undefined), {
    message: 'state model, variant or tag, or all alone',
  });
export type DropAnswers = z.infer<typeof dropAnswersSchema>;
export const droppedAnswersSchema = z.object({ removed: z.int() });

/** Events of `GET /api/v1/live` (WebSocket): the whole changed object, so that a lost one does no harm; of a deleted one its id. */
export const liveEventSchema = z.union([
  z.object({ kind: z.literal('device'), device: deviceSchema }),
  z.object({ kind: z.literal('rollout'), rollout: rolloutSchema }),
  z.object({ kind: z.literal('version'), version: versionSchema }),
  z.object({ kind: z.literal('sample'), sample: sampleSchema }),
  z.object({ kind: z.literal('sample-deleted'), id: sampleSchema.shape.id }),
  z.object({ kind: z.literal('dataset'), dataset: datasetVersionSchema }),
  z.object({
    kind: z.literal('dataset-deleted'),
    name: datasetVersionSchema.shape.name,
    version: datasetVersionSchema.shape.version,
  }),
  z.object({ kind: z.literal('job'), job: jobSchema }),
]);
export type LiveEvent = z.infer<typeof liveEventSchema>;
