import { expect, test } from 'vitest';
import { parseGenerate } from '@tidegate/shared/serving/http/parse-generate.js';
import type { ModelMetadata } from '@tidegate/shared/serving/inference-service.js';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { elementsOf } from '@tidegate/shared/tensor/elements.js';
import type { NamedTensor, TensorSpec } from '@tidegate/shared/tensor/tensor.js';

const spec = (name: string, datatype: TensorSpec['datatype'], ...shape: number[]): TensorSpec => ({
  name,
  datatype,
  shape,
});

function model(...inputs: TensorSpec[]): ModelMetadata {
  return { name: 'm', versions: ['1'], platform: 'x', inputs, outputs: [spec('OUT', 'FP32', -1)] };
}

const parse = (json: string, ...inputs: TensorSpec[]) => parseGenerate(Buffer.from(json), {}, model(...inputs));

function only(json: string, input: TensorSpec): NamedTensor {
  const { inputs } = parse(json, input);
  expect(inputs).toHaveLength(1);
  return inputs[0] as NamedTensor;
}

const texts = ({ data }: NamedTensor): string[] => (decodeBytes(data) ?? []).map((one) => Buffer.from(one).toString());

test('a field with the name of an input is that input, in the datatype and shape that the model declares', () => {
  const { inputs, id, options } = parse(
    '{"id":"42","TEXT":"grüße","STEPS":3,"EXACT":true,"parameters":{"temperature":0.5},"stop":"."}',
    spec('TEXT', 'BYTES', -1, 1),
    spec('STEPS', 'INT32', 1),
    spec('EXACT', 'BOOL'),
  );
  expect(inputs.map(({ name, datatype, shape }) => [name, datatype, shape])).toEqual([
    ['TEXT', 'BYTES', [1, 1]],
    ['STEPS', 'INT32', [1]],
    ['EXACT', 'BOOL', []],
  ]);
  expect(texts(inputs[0] as NamedTensor)).toEqual(['grüße']);
  expect(id).toBe('42');
  expect(options.parameters).toEqual({ temperature: 0.5, stop: '.' });
});

test('elements fill the fixed dimensions, and the innermost dynamic one takes the rest', () => {
  const cases: [string, number[], number[], number[]][] = [
    ['[1,2,3,4,5,6]', [-1, -1, 3], [1, 2, 3], [1, 2, 3, 4, 5, 6]],
    ['[1,2,3,4]', [-1, 2, 2], [1, 2, 2], [1, 2, 3, 4]],
    ['[[[1,2]],[[3,4]]]', [-1, 1, 2], [2, 1, 2], [1, 2, 3, 4]],
    ['[]', [-1, 4], [0, 4], []],
    ['7', [-1, 1], [1, 1], [7]],
  ];
  for (const [json, declared, shape, elements] of cases) {
    const input = only(`{"X":${json}}`, spec('X', 'FP32', ...declared));
    expect([json, input.shape, [...elementsOf('FP32', input.data)]]).toEqual([json, shape, elements]);
  }
});

test('what is wrong is named by the field that was sent', () => {
  const refused = (json: string, field: string, text: RegExp, ...inputs: TensorSpec[]): void => {
    let error: unknown;
    try {
      parse(json, ...inputs);
    } catch (cause) {
      error = cause;
    }
    expect(error, json).toMatchObject({ code: 'invalid-argument', field, message: expect.stringMatching(text) });
  };
  const text = spec('TEXT', 'BYTES', 1);
  const matrix = spec('X', 'FP32', -1, 4);
  refused('{"TEXT":7}', 'TEXT', /^TEXT: expected a string, got 7/, text);
  refused('{"parameters":{"TEXT":{}}}', 'parameters.TEXT', /^parameters.TEXT: expected a string, got an object/, text);
  refused('{"TEXT":["a",1]}', 'TEXT[1]', /expected a string, got 1/, spec('TEXT', 'BYTES', -1));
  refused('{"TEXT":["a","b"]}', 'TEXT', /takes BYTES of shape \[1\].*which 2 elements can't fill/, text);
  refused('{"X":[1,2,3]}', 'X', /\[-1,4\].*3 elements/, matrix);
  refused('{"X":[[1,2,3]]}', 'X', /\[-1,4\].*arrays of \[1,3\]/, matrix);
  refused('{"X":[[[1]]]}', 'X', /arrays of \[1,1,1\]/, matrix);
  refused('{"X":[[1,2,3,4],[1]]}', 'X[1]', /1 elements, the shape takes 4 here/, matrix);
  refused('{"X":1}', 'X', /which 1 can't fill/, matrix);
  refused('{}', 'TEXT', /^TEXT: missing; the model takes "TEXT", "X"/, text, matrix);
  refused('', 'TEXT', /missing/, text);
  refused('{"text":"x"}', 'TEXT', /missing/, text);
  refused('{"TEXT":"a","parameters":{"TEXT":"b"}}', 'parameters.TEXT', /given twice/, text);
  refused('{"TEXT":"a","stop":1,"parameters":{"stop":2}}', 'parameters.stop', /given twice/, text);
  refused('{"TEXT":"a","stop":["x"]}', 'parameters.stop', /expected a string, number or boolean/, text);
  refused('{"TEXT":"a","timeout":"soon"}', 'parameters.timeout', /whole number/, text);
  refused('{"TEXT":"a","parameters":[]}', 'parameters', /expected an object/, text);
  refused('{"TEXT":"a","id":7}', 'id', /expected a string/, text);
  refused('["a"]', 'body', /expected an object/, text);
  refused('{"TEXT":', 'body', /not valid JSON/, text);
  refused('{"H":1}', 'H', /FP16 has no JSON form/, spec('H', 'FP16', 1));
});

test('an integer beyond 2^53 keeps every digit, as an input and as the id of a sequence', () => {
  const long = '9007199254740993';
  for (const json of [`{"N":${long}}`, `{"N":[${long}]}`, `{"parameters":{"N":${long}}}`]) {
    expect([...elementsOf('INT64', only(json, spec('N', 'INT64', -1)).data)]).toEqual([BigInt(long)]);
  }
  const { options } = parse(
    `{"N":1,"sequence_start":true,"parameters":{"sequence_id":${long}}}`,
    spec('N', 'INT64', 1),
  );
  expect(options.sequence).toEqual({ id: long, start: true, end: false });
});

test('a name that is the extension’s own can’t be told apart, and is refused before anything runs', () => {
  for (const name of ['id', 'parameters']) {
    expect(() => parse('{}', spec(name, 'BYTES', 1))).toThrowError(/is the extension's own word: use infer/);
  }
  const metadata = { ...model(), outputs: [spec('model_name', 'BYTES', 1)] };
  expect(() => parseGenerate(Buffer.from('{}'), {}, metadata)).toThrowError(/use infer/);
});

test('names of objects’ own are fields like others', () => {
  expect(parse('{"__proto__":"x","constructor":1,"A":1}', spec('A', 'INT8', 1)).options.parameters).toEqual(
    Object.fromEntries([
      ['__proto__', 'x'],
      ['constructor', 1],
    ]),
  );
});
