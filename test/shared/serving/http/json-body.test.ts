import { expect, test } from 'vitest';
import { optionalObject, optionalString, parseExactJson, parseJson } from '@tidegate/shared/serving/http/json-body.js';

test('JSON is read, or refused with what is wrong', () => {
  expect(parseJson(Buffer.from('{"a":[1,null]}'))).toEqual({ a: [1, null] });
  expect(() => parseJson(Buffer.from([0x22, 0xff, 0x22]))).toThrowError(/body: the JSON is not UTF-8/);
  expect(() => parseJson(Buffer.from('{"a":NaN}'))).toThrowError(/NaN is not JSON: send such values as binary data/);
});

test('read exactly, long integers keep every digit and all else is as before', () => {
  const json = Buffer.from('{"long":18446744073709551615,"short":7,"text":"18446744073709551615","float":1.5}');
  expect(parseExactJson(json)).toEqual({
    long: 18446744073709551615n,
    short: 7,
    text: '18446744073709551615',
    float: 1.5,
  });
  expect(() => parseExactJson(Buffer.from('{"a":1,"a":2}'))).toThrowError(/^body: can't be read without rounding/);
});

test('null is nothing where nothing is allowed', () => {
  expect([optionalString(null, 'a'), optionalString('', 'a'), optionalObject(null, 'b')]).toEqual([
    undefined,
    '',
    undefined,
  ]);
  expect(() => optionalString(1, 'id')).toThrowError(/^id: expected a string, got 1/);
  expect(() => optionalObject([], 'parameters')).toThrowError(/^parameters: expected an object, got an array/);
});
