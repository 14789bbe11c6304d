// Samples of digits as a device captures them, and a version in the registry that they may be of: rows and the model.yaml only, since
// nothing runs it.
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { canonicalManifest } from '@tidegate/shared/wire/manifest.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';
import { encodeSample, type SampleFacts } from '@tidegate/shared/wire/sample.js';
import { digitInput } from './digit-inputs.js';

export const DIGITS_V1 = { versionDigest: sha256('digits@1'), variantDigest: sha256('digits@1 fp32') } as const;

const CAPTURED: Privacy = { fallback: 'hub', capture: 'hub', telemetry: 'figures', answers: 'none' };

/** Puts digits@1 with its fp32 variant into the registry's tables, its model.yaml into the store. */
export async function addDigits(db: Database, content: ContentStore, privacy: Privacy = CAPTURED): Promise<void> {
  const yaml = Buffer.from(`
name: digits
licence: MIT
inputs: [{ name: image, datatype: FP32, shape: [-1, 1, 28, 28] }]
outputs: [{ name: label, datatype: BYTES, shape: [-1] }, { name: confidence, datatype: FP32, shape: [-1] }]
pipeline: [{ graph: digits.onnx }]
`);
  const entry = { path: 'model.yaml', sizeBytes: yaml.byteLength, digest: await content.putBytes(yaml) };
  const manifest = canonicalManifest({ kind: 'version', model: 'digits', files: [entry] });
  const common = { model: 'digits', version: 1, size_bytes: 1, manifest, created_at: '2026-01-01T00:00:00.000Z' };
  await db.insertInto('models').values({ name: 'digits', description: null, created_at: common.created_at }).execute();
  await db
    .insertInto('versions')
    .values({
      ...common,
      digest: DIGITS_V1.versionDigest,
      label: null,
      licence: 'MIT',
      privacy: JSON.stringify(privacy),
      state: 'ready',
      detail: null,
    })
    .execute();
  await db
    .insertInto('variants')
    .values({ ...common, variant: 'fp32', digest: DIGITS_V1.variantDigest, signed_at: common.created_at })
    .execute();
}

/** The body of one captured digit; each seed another. */
export function digitSample(seed: number, facts: Partial<SampleFacts> = {}): Uint8Array {
  const confidence = 0.4;
  return encodeSample({
    facts: { model: 'digits', ...DIGITS_V1, capturedAtMs: 1000 + seed, confidence, reason: 'low-confidence', ...facts },
    inputs: digitInput(seed),
    outputs: [
      tensor('label', 'BYTES', [1], encodeBytes([Buffer.from(String(seed % 10))])),
      tensor('confidence', 'FP32', [1], bytesOf(Float32Array.of(confidence))),
    ],
  });
}
