import { findsOf, LIMIT_FINDS } from '@tidegate/cloud-hub/console/playground/finds.js';
import { expect, test } from 'vitest';

const boxes = (count: number) => ({
  name: 'boxes',
  datatype: 'FP32',
  shape: [count, 4, 2],
  data: Array.from({ length: count * 8 }, (_, i) => i),
});
const text = { name: 'text', datatype: 'BYTES', shape: [2], data: ['Pay', 'here'] };
const confidence = { name: 'confidence', datatype: 'FP32', shape: [2], data: [0.5, 1] };

test('each quadrilateral has its text and confidence, whatever the order of outputs', () => {
  const finds = [
    { corners: [[0, 1], [2, 3], [4, 5], [6, 7]], text: 'Pay', confidence: 0.5 }, // prettier-ignore
    { corners: [[8, 9], [10, 11], [12, 13], [14, 15]], text: 'here', confidence: 1 }, // prettier-ignore
  ];
  expect(findsOf({ outputs: [boxes(2), text, confidence] })).toEqual(finds);
  expect(findsOf({ outputs: [confidence, text, boxes(2)] })).toEqual(finds);
});

test('boxes alone are boxes, and outputs of another length say nothing of them', () => {
  for (const outputs of [[boxes(1)], [boxes(1), text, confidence]]) {
    expect(findsOf({ outputs })).toMatchObject([{ text: undefined, confidence: undefined }]);
  }
});

test('what is no share is no confidence', () => {
  const logits = { ...confidence, data: [7.5, -2] };
  expect(findsOf({ outputs: [boxes(2), logits] })?.map((find) => find.confidence)).toEqual([undefined, undefined]);
});

test('nothing found is not the same as a model that finds nothing', () => {
  expect(findsOf({ outputs: [boxes(0)] })).toEqual([]);
  expect(findsOf({ outputs: [text, confidence] })).toBeUndefined();
  expect(findsOf({ outputs: [{ ...boxes(1), datatype: 'BYTES' }] })).toBeUndefined();
});

test('no more are drawn than can be told apart', () => {
  expect(findsOf({ outputs: [boxes(LIMIT_FINDS + 1)] })).toHaveLength(LIMIT_FINDS);
});
