// The exact key (design 5): SHA-256 over variant digest, input names, datatypes, shapes, bytes, requested outputs,
// parameters and tags. The encoding is injective: a JSON head that states every name and length (JSON delimits itself), then the raw
// bytes in the head's order. Two requests with one key are therefore the same question to the same weights; Triton's key
// omits shape, datatype, parameters and requested outputs, and mixes such answers up.
import { createHash } from 'node:crypto';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';

export interface CacheQuestion {
  readonly variantDigest: string;
  /** Who answers: the device's own model, or the hub asked for this device's version. Their answers may differ. */
  readonly answeredBy: 'edge' | 'hub';
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly string[];
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
  /** By which the answer can be dropped. In the key, so that dropping a tag drops whatever was answered under it. */
  readonly tags?: readonly string[];
}

/** 43 characters of base64url. The order of inputs and of parameters doesn't matter, that of outputs does. */
export function cacheKey(question: CacheQuestion): string {
  const inputs = [...question.inputs].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const head = JSON.stringify([
    question.variantDigest,
    question.answeredBy,
    inputs.map((input) => [input.name, input.datatype, input.shape, input.data.byteLength]),
    question.outputs,
    Object.keys(question.parameters)
      .sort()
      .map((name) => [name, question.parameters[name]]),
    [...(question.tags ?? [])].sort(),
  ]);
  const hash = createHash('sha256').update(head);
  for (const input of inputs) hash.update(input.data);
  return hash.digest('base64url');
}
