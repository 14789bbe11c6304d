// Which rows of an answer become samples, and why: pure but for the randomness that it is given. A row of low confidence always,
// of the others a share, so that confident mistakes are seen too. A request of N rows is N answers where dimension 0 is the
// package's batch: it batches, and declares that dimension dynamic in all that was given and answered. Else it is one.
import type { Random } from '@tidegate/shared/system/random.js';
import { float32Of, type NamedTensor, type TensorSpec } from '@tidegate/shared/tensor/tensor.js';
import type { OwnAnswer } from '../telemetry/answer-observer.js';

export type CaptureReason = 'low-confidence' | 'random-share';

export interface ChosenRow {
  readonly row: number;
  readonly reason: CaptureReason;
  /** 0 to 1; undefined where the row's own isn't known. */
  readonly confidence: number | undefined;
}

/** Of `rows` as rowCount says. Those of low confidence first. */
export function chooseRows(own: OwnAnswer, rows: number, random: Random): readonly ChosenRow[] {
  const threshold = own.yaml.confidence?.threshold ?? 0;
  const { share } = own.yaml.capture;
  const low: ChosenRow[] = [];
  const others: ChosenRow[] = [];
  for (const [row, confidence] of confidences(own, rows).entries()) {
    if (confidence !== undefined && confidence < threshold) low.push({ row, reason: 'low-confidence', confidence });
    else if (random.next() < share) others.push({ row, reason: 'random-share', confidence });
  }
  return others.length === 0 ? low : [...low, ...others];
}

/** N where the request is a batch of N rows, else 1. */
export function rowCount({ yaml, inputs, outputs }: OwnAnswer): number {
  const rows = inputs[0]?.shape[0] ?? 1;
  if (rows <= 1 || yaml.batching.maxRows === 1) return 1;
  const inBatch = (specs: readonly TensorSpec[]) => (value: NamedTensor) =>
    value.shape[0] === rows && (specs.find(({ name }) => name === value.name)?.shape[0] ?? -1) === -1;
  return inputs.every(inBatch(yaml.inputs)) && outputs.every(inBatch(yaml.outputs)) ? rows : 1;
}

/**
 * Of each row. The answer's own confidence is the smallest of all rows, so that of a batch the rows' stand in the confidence
 * output alone; who didn't ask for it gets samples by share only.
 */
function confidences({ yaml, outputs, confidence }: OwnAnswer, rows: number): (number | undefined)[] {
  if (rows === 1) return [within(confidence)];
  const output = outputs.find(({ name }) => name === yaml.confidence?.output);
  if (output?.datatype !== 'FP32') return Array.from({ length: rows }, () => undefined);
  const values = float32Of(output);
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => within(smallest(values.subarray(row * width, (row + 1) * width))));
}

/** A NaN is no confidence at all, as in the pipeline. */
function smallest(values: Float32Array): number | undefined {
  if (values.length === 0) return undefined;
  return values.reduce((least, one) => Math.min(least, Number.isNaN(one) ? 0 : one), Infinity);
}

/** As samples hold it; a package may call anything its confidence. */
function within(confidence: number | undefined): number | undefined {
  return confidence === undefined ? undefined : Math.min(1, Math.max(0, confidence));
}
