// What a device computed for a request of the digits model, as capture hears of it.
import type { FinishedRequest, OwnAnswer } from '@tidegate/edge-agent/telemetry/answer-observer.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { modelYamlSchema, type ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import { digitInput } from './digit-inputs.js';

/** Threshold 0.5; captured, and nothing of what is confident unless `part` says so. */
export function digitsYaml(part: object = {}): ModelYaml {
  return modelYamlSchema.parse({
    name: 'digits',
    licence: 'MIT',
    inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }],
    outputs: [
      { name: 'label', datatype: 'BYTES', shape: [-1] },
      { name: 'confidence', datatype: 'FP32', shape: [-1] },
    ],
    pipeline: [{ graph: 'digits.onnx' }],
    confidence: { output: 'confidence', threshold: 0.5 },
    privacy: { capture: 'hub' },
    capture: { share: 0, perMinute: 10_000 },
    ...part,
  });
}

/** One row for each confidence; each seed another picture. */
export function digitAnswer(seed: number, confidences: readonly number[], yaml = digitsYaml()): OwnAnswer {
  const labels = confidences.map((_, row) => Buffer.from(String((seed + row) % 10)));
  return {
    yaml,
    inputs: digitInput(seed, confidences.length),
    outputs: [
      tensor('label', 'BYTES', [labels.length], encodeBytes(labels)),
      tensor('confidence', 'FP32', [confidences.length], bytesOf(Float32Array.from(confidences))),
    ],
    confidence: Math.min(...confidences),
  };
}

export function finishedDigit(own: OwnAnswer | undefined, part: Partial<FinishedRequest> = {}): FinishedRequest {
  return {
    model: 'digits',
    versionDigest: sha256('digits@1'),
    variantDigest: sha256('digits@1 fp32'),
    outcome: 'edge',
    totalMs: 1,
    edgeConfidence: own?.confidence,
    ...(own && { own, privacy: own.yaml.privacy }),
    ...part,
  };
}
