import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAnswer, digestOf, encodeAnswer } from '@tidegate/edge-agent/cache/answer-record.js';
import type { CachedAnswer } from '@tidegate/shared/cache/cache-layer.js';
import { DATATYPES } from '@tidegate/shared/tensor/datatype.js';
import { cachedAnswer } from '../../support/cache-entries.js';

const answers: fc.Arbitrary<CachedAnswer> = fc.record({
  answeredBy: fc.constantFrom('edge' as const, 'hub' as const),
  outputs: fc.array(
    fc.record({
      name: fc.string({ unit: 'grapheme' }),
      datatype: fc.constantFrom(...DATATYPES),
      shape: fc.array(fc.nat(9), { maxLength: 3 }),
      data: fc.uint8Array({ maxLength: 40 }),
    }),
    { maxLength: 3 },
  ),
  confidence: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 }), { nil: undefined }),
  version: fc.string(),
  modelDigest: fc.string(),
  variant: fc.string(),
  variantDigest: fc.string(),
});

describe('an answer as bytes', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(answers, (answer) => {
        const body = encodeAnswer(answer);
        expect(body && plain(decodeAnswer(body))).toEqual(plain(answer));
      }),
    );
  });

  it('is refused when cut, padded, or no record at all', () => {
    const body = encodeAnswer(cachedAnswer(Uint8Array.of(1, 2, 3)))!;
    for (let size = 0; size < body.byteLength; size += 1) expect(decodeAnswer(body.subarray(0, size))).toBeUndefined();
    expect(decodeAnswer(Buffer.concat([body, Buffer.of(0)]))).toBeUndefined();
    expect(decodeAnswer(Buffer.alloc(100))).toBeUndefined();
    expect(decodeAnswer(Buffer.alloc(100, 255))).toBeUndefined();
  });

  it('is not made of a confidence that JSON can not tell', () => {
    expect(encodeAnswer({ ...cachedAnswer(new Uint8Array(1)), confidence: Number.NaN })).toBeUndefined();
  });

  it('has a digest that changes with anything', () => {
    const labels = { model: 'm', tags: ['a'] };
    const body = Uint8Array.of(1, 2);
    const digests = [
      digestOf('k', labels, 1, body),
      digestOf('l', labels, 1, body),
      digestOf('k', { ...labels, model: 'n' }, 1, body),
      digestOf('k', { ...labels, tags: [] }, 1, body),
      digestOf('k', labels, 2, body),
      digestOf('k', labels, 1, Uint8Array.of(1, 3)),
    ];
    expect(new Set(digests.map((digest) => digest.toString('hex'))).size).toBe(digests.length);
  });
});

function plain(answer: CachedAnswer | undefined): unknown {
  return answer && { ...answer, outputs: answer.outputs.map((output) => ({ ...output, data: [...output.data] })) };
}
