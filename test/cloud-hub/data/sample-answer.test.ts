import { answerOutput, answerText } from '@tidegate/cloud-hub/data/sample-answer.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { expect, test } from 'vitest';

test('the answer is what the goldens compare, else the first BYTES output', () => {
  const outputs = [
    { name: 'logits', datatype: 'FP32' as const, shape: [-1, 10] },
    { name: 'label', datatype: 'BYTES' as const, shape: [-1] },
  ];
  const goldens = { file: 'g.json', output: 'logits', metric: 'top1' as const, threshold: 1 };
  expect(answerOutput({ outputs, goldens })).toBe('logits');
  expect(answerOutput({ outputs })).toBe('label');
  expect(answerOutput({ outputs: outputs.slice(0, 1) })).toBeUndefined();
});

test('only a BYTES tensor has a text, and a long one is cut', () => {
  const text = (...elements: string[]) =>
    answerText({ datatype: 'BYTES', shape: [elements.length], data: encodeBytes(elements.map((e) => Buffer.from(e))) });
  expect([text('7', '8'), text(), text('x'.repeat(2000))?.length]).toEqual(['7', undefined, 1000]);
  expect(answerText({ datatype: 'FP32', shape: [1], data: bytesOf(Float32Array.of(1)) })).toBeUndefined();
  expect(answerText(undefined)).toBeUndefined();
});
