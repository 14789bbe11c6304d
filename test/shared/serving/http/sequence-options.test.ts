import { describe, expect, it } from 'vitest';
import { readRequestOptions } from '@tidegate/shared/serving/http/request-options.js';

const read = (parameters: object, headers: Record<string, string> = {}) =>
  readRequestOptions(parameters, headers).sequence;

describe('what a request says of its sequence', () => {
  it('is none without an id, or with an empty one', () => {
    for (const id of [undefined, null, 0, 0n, '']) expect(read({ sequence_id: id })).toBeUndefined();
    expect(read({ sequence_start: false })).toBeUndefined();
  });

  it('is a number or a text, and the two are never the same', () => {
    expect(read({ sequence_id: 7, sequence_start: true })).toEqual({ id: '7', start: true, end: false });
    expect(read({ sequence_id: '7', sequence_end: true })).toEqual({ id: '"7"', start: false, end: true });
    expect(read({ sequence_id: 2n ** 64n - 1n })).toMatchObject({ id: '18446744073709551615' });
  });

  it('may stand in headers', () => {
    const headers = { 'tidegate-sequence-id': '18446744073709551615', 'tidegate-sequence-start': 'true' };
    expect(read({}, headers)).toEqual({ id: '18446744073709551615', start: true, end: false });
  });

  it('does not reach the service as something unknown', () => {
    const { parameters } = readRequestOptions({ sequence_id: 7, sequence_start: true, sequence_end: true, own: 1 }, {});
    expect(parameters).toEqual({ own: 1 });
  });

  it.each([
    [{ sequence_id: -1 }, 'parameters.sequence_id'],
    [{ sequence_id: 2 ** 53 }, 'parameters.sequence_id'],
    [{ sequence_id: 2n ** 64n }, 'parameters.sequence_id'],
    [{ sequence_id: 1.5 }, 'parameters.sequence_id'],
    [{ sequence_id: 'x'.repeat(129) }, 'parameters.sequence_id'],
    [{ sequence_id: true }, 'parameters.sequence_id'],
    [{ sequence_id: 1, sequence_start: 1 }, 'parameters.sequence_start'],
    [{ sequence_start: true }, 'parameters.sequence_start'],
    [{ sequence_end: true }, 'parameters.sequence_end'],
  ])('refuses %o by its name', (parameters, field) => {
    expect(() => read(parameters)).toThrow(expect.objectContaining({ code: 'invalid-argument', field }));
  });
});
