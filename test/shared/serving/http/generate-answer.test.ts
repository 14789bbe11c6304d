import { expect, test } from 'vitest';
import { eventText, generateAnswer } from '@tidegate/shared/serving/http/generate-answer.js';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const PROVENANCE = {
  placement: 'edge',
  reason: 'here',
  modelDigest: 'sha256:a',
  variant: 'fp32',
  variantDigest: 'sha256:b',
  queueUs: 1,
  computeUs: 2,
} as const;

const answer = (...outputs: NamedTensor[]): InferAnswer => ({
  model: 'm"1',
  version: '3',
  outputs,
  provenance: PROVENANCE,
});
const text = (name: string, ...values: string[]): NamedTensor =>
  tensor(name, 'BYTES', [1, values.length], encodeBytes(values.map((value) => Buffer.from(value))));

test('outputs by name: one element is itself, several are a flat array', () => {
  const numbers = tensor('N', 'FP32', [2, 2], bytesOf(Float32Array.of(1, 2, 3, 4.5)));
  const none = tensor('E', 'INT32', [0, 4], new Uint8Array());
  const json = generateAnswer(answer(text('T', 'one\n"line'), numbers, none, text('L', 'a', 'b')), '42');
  expect(JSON.parse(json)).toEqual({
    id: '42',
    model_name: 'm"1',
    model_version: '3',
    parameters: expect.objectContaining({ placement: 'edge', variant_digest: 'sha256:b', compute_us: 2 }),
    T: 'one\n"line',
    N: [1, 2, 3, 4.5],
    E: [],
    L: ['a', 'b'],
  });
  expect(eventText(json)).toBe(`data: ${json}\n\n`);
  expect(json).not.toContain('\n');
});

test('without an id there is none, and an integer keeps every digit', () => {
  const json = generateAnswer(
    answer(tensor('N', 'INT64', [1], bytesOf(BigInt64Array.of(9007199254740993n)))),
    undefined,
  );
  expect(json).toContain('"N":9007199254740993}');
  expect(JSON.parse(json)).not.toHaveProperty('id');
});

test('what JSON has no form for is refused by the name of the output', () => {
  const nan = tensor('Y', 'FP32', [1], bytesOf(Float32Array.of(Number.NaN)));
  expect(() => generateAnswer(answer(nan), undefined)).toThrowError(/^Y\.data\[0\]: NaN has no JSON form.*\(by infer/);
});
