import { describe, expect, it } from 'vitest';
import { rowSamples, withoutLargeOutputs } from '@tidegate/edge-agent/capture/row-samples.js';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { decodeSample, LIMIT_SAMPLE_BYTES } from '@tidegate/shared/wire/sample.js';
import { digitInput } from '../../support/digit-inputs.js';
import { digitAnswer } from '../../support/own-answers.js';

const facts = { model: 'digits', versionDigest: sha256('v'), variantDigest: sha256('a'), capturedAtMs: 5 };
const low = (row: number, confidence = 0.25) => ({ row, reason: 'low-confidence', confidence }) as const;

describe('samples of an answer', () => {
  it('hold the row that was asked, what was answered, and where it came from', () => {
    const own = digitAnswer(3, [0.25]);
    const sample = decodeSample(rowSamples(own, 1).encode(low(0), facts));
    expect(sample.facts).toEqual({ ...facts, reason: 'low-confidence', confidence: 0.25 });
    expect(sample.inputs[0]).toMatchObject({ name: 'image', shape: [1, 1, 28, 28] });
    expect(Buffer.from(sample.inputs[0]?.data ?? []).equals(own.inputs[0]?.data ?? new Uint8Array())).toBe(true);
    expect(sample.outputs.map(({ name }) => name)).toEqual(['label', 'confidence']);
  });

  it('of a batch, each hold their own row alone, bit for bit as if it had come alone', () => {
    const own = digitAnswer(3, [0.25, 0.5, 0.125]);
    const { encode } = rowSamples(own, 3);
    const sample = decodeSample(encode(low(2, 0.125), facts));
    const row = digitInput(3, 3)[0]?.data.subarray(2 * 784 * 4) ?? new Uint8Array();
    expect(sample.inputs[0]?.shape).toEqual([1, 1, 28, 28]);
    expect(Buffer.from(sample.inputs[0]?.data ?? []).equals(row)).toBe(true);
    expect(
      decodeBytes(sample.outputs[0]?.data ?? new Uint8Array())?.map((text) => Buffer.from(text).toString()),
    ).toEqual(['5']);
    expect(sample.outputs[1]).toMatchObject({ shape: [1] });
  });

  it('leave out a confidence that is not known, and outputs that are large', () => {
    const own = digitAnswer(3, [0.25]);
    const large = { ...own, outputs: [tensor('mask', 'UINT8', [1, 70_000], new Uint8Array(70_000))] };
    const sample = decodeSample(rowSamples(large, 1).encode({ ...low(0), confidence: undefined }, facts));
    expect(sample.facts).not.toHaveProperty('confidence');
    expect(sample.outputs).toEqual([]);
    expect(withoutLargeOutputs(large, 1).outputs).toEqual([]);
    expect(withoutLargeOutputs(large, 2).outputs).toHaveLength(1);
    expect(withoutLargeOutputs(own, 1)).toBe(own);
  });

  it('are refused where no sample can be that large', () => {
    const inputs = [tensor('x', 'UINT8', [LIMIT_SAMPLE_BYTES], new Uint8Array(LIMIT_SAMPLE_BYTES))];
    expect(() => rowSamples({ inputs, outputs: [] }, 1).encode(low(0), facts)).toThrow(/at most/);
  });
});
