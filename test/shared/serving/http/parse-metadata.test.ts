import { expect, test } from 'vitest';
import { parseMetadata } from '@tidegate/shared/serving/http/parse-metadata.js';

const X = { name: 'x', datatype: 'FP32', shape: [-1, 4] };
const parse = (value: unknown) => parseMetadata(Buffer.from(JSON.stringify(value)));

test('what Triton says of a model is read, whatever else it says', () => {
  const said = { name: 'm', versions: ['3'], platform: 'onnxruntime_onnx', inputs: [{ ...X, more: 1 }], outputs: [X] };
  expect(parse({ ...said, more: {} })).toEqual({ ...said, inputs: [X] });
  expect(parse({ name: 'm', inputs: [], outputs: [] })).toMatchObject({ versions: [], platform: '' });
});

test.each([
  [{ inputs: [], outputs: [] }, /it names no model/],
  [{ name: 'm', inputs: [X] }, /outputs are missing/],
  [{ name: 'm', inputs: [{ ...X, datatype: 'FP4' }], outputs: [] }, /inputs\[0\] is incomplete/],
  [{ name: 'm', inputs: [{ ...X, shape: [-2] }], outputs: [] }, /inputs\[0\] is incomplete/],
  [{ name: 'm', inputs: [{ ...X, shape: [1.5] }], outputs: [] }, /inputs\[0\] is incomplete/],
  [{ name: 'm', inputs: [null], outputs: [] }, /inputs\[0\]: expected an object/],
  [[], /expected an object/],
])('%j is not the protocol', (said, text) => {
  let error: unknown;
  try {
    parse(said);
  } catch (cause) {
    error = cause;
  }
  expect(error).toMatchObject({ code: 'hub-unavailable', message: expect.stringMatching(text) });
});
