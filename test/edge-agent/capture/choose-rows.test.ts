import { describe, expect, it } from 'vitest';
import { chooseRows, rowCount } from '@tidegate/edge-agent/capture/choose-rows.js';
import type { OwnAnswer } from '@tidegate/edge-agent/telemetry/answer-observer.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { digitAnswer, digitsYaml } from '../../support/own-answers.js';

const choose = (own: OwnAnswer, seed = 1) => chooseRows(own, rowCount(own), seededRandom(seed));
const sharing = (share: number): ReturnType<typeof digitsYaml> => digitsYaml({ capture: { share } });

describe('choosing what becomes a sample', () => {
  it('takes what is under the threshold, and nothing else where there is no share', () => {
    expect(choose(digitAnswer(1, [0.49]))).toEqual([{ row: 0, reason: 'low-confidence', confidence: 0.49 }]);
    expect(choose(digitAnswer(1, [0.5]))).toEqual([]);
  });

  it('takes the share of the confident ones', () => {
    const random = seededRandom(7);
    const own = digitAnswer(1, [0.9], sharing(0.1));
    const taken = Array.from({ length: 5000 }, () => chooseRows(own, 1, random)).flat();
    expect(taken.every(({ reason }) => reason === 'random-share')).toBe(true);
    expect(taken.length / 5000).toBeCloseTo(0.1, 1);
    expect(taken.length).not.toBe(500); // drawn, not counted
    expect(choose(digitAnswer(1, [0.9], sharing(1)))).toHaveLength(1);
  });

  it('looks at each row of a batch, low confidence first', () => {
    const chosen = choose(digitAnswer(1, [0.9, 0.25, 0.75, 0.125], sharing(1)));
    expect(chosen.map(({ row, reason }) => [row, reason])).toEqual([
      [1, 'low-confidence'],
      [3, 'low-confidence'],
      [0, 'random-share'],
      [2, 'random-share'],
    ]);
    expect(chosen.map(({ confidence }) => confidence?.toFixed(3))).toEqual(['0.250', '0.125', '0.900', '0.750']);
  });

  it("of a batch without the confidence output, no row's own confidence is known: by share only", () => {
    const whole = digitAnswer(1, [0.1, 0.9]);
    const own = { ...whole, outputs: whole.outputs.slice(0, 1) };
    expect(choose(own)).toEqual([]);
    const shared = choose({ ...own, yaml: sharing(1) });
    expect(shared).toEqual([
      { row: 0, reason: 'random-share', confidence: undefined },
      { row: 1, reason: 'random-share', confidence: undefined },
    ]);
  });

  it('takes confidences for what they are: NaN for none, and never outside 0 to 1', () => {
    expect(choose(digitAnswer(1, [Number.NaN, 0.9]))).toEqual([{ row: 0, reason: 'low-confidence', confidence: 0 }]);
    expect(choose({ ...digitAnswer(1, [0.9], sharing(1)), confidence: 17 })[0]?.confidence).toBe(1);
  });

  it('captures a model without a confidence by share only', () => {
    const { confidence: _, ...yaml } = digitsYaml({ capture: { share: 1 } });
    expect(choose({ ...digitAnswer(1, [0.1]), yaml, confidence: undefined })).toEqual([
      { row: 0, reason: 'random-share', confidence: undefined },
    ]);
  });
});

describe('the rows of a request', () => {
  it('are those of dimension 0 where the package batches and says that it is dynamic', () => {
    expect(rowCount(digitAnswer(1, [0.1, 0.2, 0.3]))).toBe(3);
    expect(rowCount(digitAnswer(1, [0.1]))).toBe(1);
    expect(rowCount({ ...digitAnswer(1, [0.1, 0.2]), yaml: digitsYaml({ batching: { maxRows: 1 } }) })).toBe(1);
  });

  it('are one where the first dimension is not the batch: fixed, or not that of every value', () => {
    const own = digitAnswer(1, [0.1, 0.2]);
    const fixed = digitsYaml({ inputs: [{ name: 'image', datatype: 'FP32', shape: [2, 1, 28, 28] }] });
    expect(rowCount({ ...own, yaml: fixed })).toBe(1);
    const one = [tensor('label', 'FP32', [1], bytesOf(Float32Array.of(1)))];
    expect(rowCount({ ...own, outputs: one })).toBe(1);
    const mixed = [...own.inputs, tensor('extra', 'FP32', [1], bytesOf(Float32Array.of(1)))];
    expect(rowCount({ ...own, inputs: mixed })).toBe(1);
  });
});
