// Chosen rows of an answer as sample bodies (shared/wire/sample.ts): each with its own part of the inputs, and of the outputs as
// far as they are small.
import { splitItems } from '@tidegate/shared/serving/pipeline-items.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { encodeSample, type SampleFacts } from '@tidegate/shared/wire/sample.js';
import type { OwnAnswer } from '../telemetry/answer-observer.js';
import type { ChosenRow } from './choose-rows.js';

/** Outputs of one sample together; larger ones (pictures, logits of a large vocabulary) are left out. */
const LIMIT_OUTPUT_BYTES = 64 * 1024;

export type AnswerFacts = Required<Pick<SampleFacts, 'model' | 'versionDigest' | 'variantDigest' | 'capturedAtMs'>>;

/** Of an answer of `rows` rows: without outputs that no sample would hold, so that they are not kept alive. */
export function withoutLargeOutputs(own: OwnAnswer, rows: number): OwnAnswer {
  return sumBytes(own.outputs) <= LIMIT_OUTPUT_BYTES * rows ? own : { ...own, outputs: [] };
}

/** Throws ServingError or SampleError for what is too large to be a sample; `encode` so for one row only. */
export function rowSamples(
  own: Pick<OwnAnswer, 'inputs' | 'outputs'>,
  rows: number,
): { readonly encode: (row: ChosenRow, facts: AnswerFacts) => Uint8Array } {
  const split = (values: readonly NamedTensor[]): readonly (readonly NamedTensor[])[] =>
    rows === 1 || values.length === 0 ? [values] : splitItems(values);
  const inputs = split(own.inputs);
  const outputs = split(own.outputs);
  return {
    encode: ({ row, reason, confidence }, facts) =>
      encodeSample({
        facts: { ...facts, reason, ...(confidence !== undefined && { confidence }) },
        inputs: inputs[row] ?? [],
        outputs: smallOnly(outputs[row] ?? []),
      }),
  };
}

function smallOnly(outputs: readonly NamedTensor[]): readonly NamedTensor[] {
  return sumBytes(outputs) <= LIMIT_OUTPUT_BYTES ? outputs : [];
}

function sumBytes(values: readonly NamedTensor[]): number {
  return values.reduce((sum, { data }) => sum + data.byteLength, 0);
}
