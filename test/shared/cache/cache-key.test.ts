import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cacheKey, type CacheQuestion } from '@tidegate/shared/cache/cache-key.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const base: CacheQuestion = {
  variantDigest: 'sha256:a',
  answeredBy: 'edge',
  inputs: [tensor('x', 'UINT8', [2], bytes(1, 2)), tensor('y', 'UINT8', [1], bytes(3))],
  outputs: ['z'],
  parameters: { k: 1 },
};

describe('cacheKey', () => {
  it('tells everything apart that can change the answer', () => {
    const others: Partial<CacheQuestion>[] = [
      { variantDigest: 'sha256:b' },
      { answeredBy: 'hub' },
      { outputs: [] },
      { outputs: ['z', 'x'] },
      { parameters: {} },
      { parameters: { k: '1' } },
      { parameters: { k: true } },
      { tags: ['z'] },
      { tags: ['z', 'x'] },
      { scope: '' },
      { scope: 'z' },
      { tags: [], scope: 'token:a' },
      { inputs: [tensor('x', 'UINT8', [2], bytes(1, 2))] },
      { inputs: [tensor('x', 'UINT8', [1, 2], bytes(1, 2)), tensor('y', 'UINT8', [1], bytes(3))] },
      { inputs: [tensor('x', 'INT8', [2], bytes(1, 2)), tensor('y', 'UINT8', [1], bytes(3))] },
      { inputs: [tensor('x', 'UINT8', [1], bytes(1)), tensor('y', 'UINT8', [2], bytes(2, 3))] },
      { inputs: [tensor('x', 'UINT8', [2], bytes(1, 3)), tensor('y', 'UINT8', [1], bytes(3))] },
      { inputs: [tensor('w', 'UINT8', [2], bytes(1, 2)), tensor('y', 'UINT8', [1], bytes(3))] },
    ];
    const keys = [base, ...others.map((other) => ({ ...base, ...other }))].map((question) => cacheKey(question));
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('does not mind the order of inputs and parameters', () => {
    const turned = { ...base, inputs: [...base.inputs].reverse(), parameters: { b: 2, a: 1 } };
    expect(cacheKey(turned)).toBe(cacheKey({ ...base, parameters: { a: 1, b: 2 } }));
  });

  it('is injective: equal keys only for equal questions', () => {
    const name = fc.string({ maxLength: 4, unit: 'binary' });
    const question = fc.record({
      variantDigest: fc.constantFrom('a', 'b'),
      answeredBy: fc.constantFrom('edge' as const, 'hub' as const),
      inputs: fc.uniqueArray(
        fc.record({
          name,
          datatype: fc.constantFrom('UINT8' as const, 'BYTES' as const),
          shape: fc.array(fc.nat(3), { maxLength: 2 }),
          data: fc.uint8Array({ maxLength: 4 }),
        }),
        { maxLength: 3, selector: (input) => input.name },
      ),
      outputs: fc.array(name, { maxLength: 2 }),
      parameters: fc.dictionary(name, fc.oneof(name, fc.integer(), fc.boolean()), {
        maxKeys: 2,
        noNullPrototype: true,
      }),
    });
    const normal = (value: CacheQuestion): string =>
      JSON.stringify([
        value.variantDigest,
        value.answeredBy,
        value.inputs
          .map((input) => [input.name, input.datatype, input.shape, [...input.data]])
          .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
        value.outputs,
        Object.entries(value.parameters).sort((a, b) => (a[0] < b[0] ? -1 : 1)),
      ]);
    fc.assert(
      fc.property(question, question, (a, b) => (cacheKey(a) === cacheKey(b)) === (normal(a) === normal(b))),
      { numRuns: 2000 },
    );
  });
});
