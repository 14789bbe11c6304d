import { describe, expect, test } from 'vitest';
import { answerFrame, errorFrame, idOf, readFrame } from '@tidegate/edge-agent/api/stream-frame.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

const frame = (json: string, tensors: number[], length = Buffer.byteLength(json)): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(length);
  return Buffer.concat([head, Buffer.from(json), Buffer.from(tensors)]);
};

describe('a frame', () => {
  test('of text is all JSON', () => {
    const text = Buffer.from('{"id":"a"}');
    expect(readFrame(text, false)).toEqual({ body: text, jsonBytes: undefined });
  });

  test.each([1, 7, 8, 13])('with tensors behind %i more bytes of JSON: they are aligned', (more) => {
    const json = JSON.stringify({ id: 'x'.repeat(more) });
    const { body, jsonBytes } = readFrame(frame(json, [1, 2, 3]), true);
    expect(body.toString('utf8', 0, jsonBytes)).toBe(json);
    expect([...body.subarray(jsonBytes)]).toEqual([1, 2, 3]);
    expect((body.byteOffset + (jsonBytes ?? 0)) % 8).toBe(0);
  });

  test.each([
    ['too short', Buffer.from([1, 0, 0])],
    ['without JSON', frame('', [1])],
    ['longer than it is', frame('{}', [], 3)],
    ['far too long', frame('{}', [], 0xffffffff)],
  ])('%s is refused', (_, wrong) => {
    expect(() => readFrame(wrong, true)).toThrow(expect.objectContaining({ code: 'invalid-argument', field: 'frame' }));
  });

  test('of an answer is text, or the request form with tensors', () => {
    expect(answerFrame({ json: '{"a":1}', binary: undefined })).toBe('{"a":1}');
    const parts = [new Uint8Array([1]), new Uint8Array([2, 3])];
    expect(answerFrame({ json: '{"a":1}', binary: parts })).toEqual(frame('{"a":1}', [1, 2, 3]));
  });

  test('of an error says what is known', () => {
    const error = new ServingError('queue-full', 'full', { retryAfterMs: 12.4 });
    expect(JSON.parse(errorFrame('a', error))).toEqual({
      id: 'a',
      error: 'full',
      code: 'queue-full',
      retry_after_ms: 12,
    });
    expect(errorFrame(undefined, new ServingError('failed', 'x'))).toBe('{"error":"x","code":"failed"}');
  });

  test('tells its id where it can', () => {
    expect(idOf({ body: Buffer.from('{"id":"a","inputs":1}'), jsonBytes: undefined })).toBe('a');
    expect(idOf({ body: Buffer.from('{"id":"a"}\x01'), jsonBytes: 10 })).toBe('a');
    expect(idOf({ body: Buffer.from('{"id":5}'), jsonBytes: undefined })).toBeUndefined();
    expect(idOf({ body: Buffer.from('{'), jsonBytes: undefined })).toBeUndefined();
  });
});
