// The exact key (design 5): SHA-256 over variant digest, input names, datatypes, shapes, digests of their bytes, requested outputs,
// parameters, tags, and whose answers they are, as JSON, which delimits itself, so that the encoding is injective. Two requests with one key are therefore the same question to the same weights; Triton's key
// omits shape, datatype, parameters and requested outputs, and mixes such answers up.
import type { NamedTensor } from '../tensor/tensor.js';
import { sha256 } from './input-digests.js';

/** The device's own model, the hub asked for this device's version, or both, with the name of the cut between them. Their answers may differ. */
export type AnsweredBy = 'edge' | 'hub' | `split ${string}`;

export interface CacheQuestion {
  readonly variantDigest: string;
  readonly answeredBy: AnsweredBy;
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly string[];
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
  /** By which the answer can be dropped. In the key, so that dropping a tag drops whatever was answered under it. */
  readonly tags?: readonly string[];
  /** Whose answers they are, where they are not everybody's: another's equal question is another key. */
  readonly scope?: string | undefined;
}

/**
 * 43 characters of base64url. The order of inputs and of parameters doesn't matter, that of outputs does. `digestOf` is SHA-256 of
 * an input's bytes, for who has a shorter way to it.
 */
export function cacheKey(question: CacheQuestion, digestOf: (data: NamedTensor['data']) => string = sha256): string {
  const inputs = [...question.inputs].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const parts = [
    question.variantDigest,
    question.answeredBy,
    inputs.map(({ name, datatype, shape, data }) => [name, datatype, shape, digestOf(data)]),
    question.outputs,
    Object.keys(question.parameters)
      .sort()
      .map((name) => [name, question.parameters[name]]),
    [...(question.tags ?? [])].sort(),
    ...(question.scope === undefined ? [] : [question.scope]),
  ];
  return sha256(JSON.stringify(parts));
}
