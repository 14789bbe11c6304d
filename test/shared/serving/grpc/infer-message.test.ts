// The codec against bytes that nobody's protobuf library would send.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { idOf, readInferRequest, writeInferResponse } from '@tidegate/shared/serving/grpc/infer-message.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { memoryAccess } from '@tidegate/shared/serving/http/memory-access.js';
import { ProtoWriter } from '@tidegate/shared/serving/grpc/proto-writer.js';
import type { Provenance } from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

function message(write: (writer: ProtoWriter) => void, blobs: Uint8Array[] = []): Buffer {
  const writer = new ProtoWriter();
  write(writer);
  return writer.finish({ field: 7, blobs });
}

const good = message(
  (writer) => {
    writer.string(1, 'm');
    writer.string(3, 'id-1');
    writer.message(4, () => {
      writer.string(1, '__proto__');
      writer.message(2, () => writer.givenInteger(2, -5));
    });
    writer.message(5, () => {
      writer.string(1, 'x');
      writer.string(2, 'FP32');
      writer.packed(3, [1, 300]);
    });
  },
  [Buffer.alloc(1200)],
);

const nowhere = memoryAccess(undefined, true, { bodyBytesMax: 1, share: new BodyBudget(1).open() });

/** The field that a refusal names; whatever else is thrown fails the test. */
function refusalOf(bytes: Buffer): string | undefined {
  try {
    readInferRequest(bytes, nowhere);
    return undefined;
  } catch (error) {
    if (error instanceof ServingError && error.code === 'invalid-argument') return error.field;
    throw error;
  }
}

test('an answer says that it is stale, and what ran it, as over HTTP', () => {
  const digests = { modelDigest: 'm', variant: 'v', variantDigest: 'd' };
  const provenance = { placement: 'cache', reason: 'kept', ...digests, queueUs: 0, computeUs: 0 } as const;
  const parametersOf = (from: Provenance): string =>
    writeInferResponse({ model: 'm', version: '1', outputs: [], provenance: from }, { id: '', outputs: [] }).toString(
      'latin1',
    );
  expect(parametersOf(provenance)).not.toContain('stale');
  const stale = parametersOf({ ...provenance, cacheStale: true });
  expect(stale).toContain(String.fromCodePoint(5) + 'cache');
  expect(stale).toContain(String.fromCodePoint(5) + 'stale');
  expect(stale).not.toContain('provider');
  const fell = parametersOf({ ...provenance, ranOn: { provider: 'cpu', providerReason: 'no adapter' } });
  for (const word of ['provider', 'cpu', 'provider_reason', 'no adapter']) {
    expect(fell).toContain(String.fromCodePoint(word.length) + word);
  }
  const partly = parametersOf({ ...provenance, ranOn: { provider: 'webgpu', cpuNodesRatio: 0.25 } });
  expect(partly).toContain('cpu_nodes_ratio');
});

describe('a message', () => {
  test('is read as it was written; its tensors are views of it', () => {
    const { model, id, parameters, inputs } = readInferRequest(good, nowhere);
    expect([model, id, inputs[0]?.shape]).toEqual(['m', 'id-1', [1, 300]]);
    expect(inputs[0]?.data.buffer).toBe(good.buffer);
    expect(Object.entries(parameters)).toEqual([['__proto__', -5]]);
    expect(idOf(good)).toBe('id-1');
  });

  test('may come with a dimension at a time, unknown fields, and contents in pieces', () => {
    const bytes = message((writer) => {
      writer.string(1, 'm');
      writer.string(99, 'later');
      writer.message(5, () => {
        writer.string(1, 'x');
        writer.string(2, 'INT32');
        writer.givenInteger(3, 1);
        writer.givenInteger(3, 3);
        writer.message(5, () => writer.packed(2, [1, -2]));
        writer.message(5, () => writer.givenInteger(2, 3));
      });
    });
    const [input] = readInferRequest(bytes, nowhere).inputs;
    expect(input?.shape).toEqual([1, 3]);
    expect(Buffer.from(input?.data ?? [])).toEqual(Buffer.from(Int32Array.of(1, -2, 3).buffer));
  });

  test.each<[string, Buffer]>([
    ['a length past the end', Buffer.from([0x0a, 0x7f, 0x41])],
    ['field number 0', Buffer.from([0x02, 0x00])],
    ['another wire type', Buffer.from([0x08, 0x01])],
    ['a group', Buffer.from([0x9b, 0x06])],
    ['an endless number', Buffer.from([0x98, 0x06, ...Array.from({ length: 11 }, () => 0x80)])],
    ['a name that is no UTF-8', Buffer.from([0x0a, 0x02, 0xc3, 0x28])],
  ])('with %s is refused', (_name, bytes) => {
    expect(refusalOf(bytes)).toBe('message');
  });

  test('cut anywhere is refused or shorter, never a crash', () => {
    for (let end = 0; end < good.byteLength; end++) expect(refusalOf(good.subarray(0, end))).toBeDefined();
  });

  test('of any bytes, or damaged anywhere, is read or refused by a field', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void refusalOf(Buffer.from(bytes))));
    fc.assert(
      fc.property(fc.nat(120), fc.integer({ min: 0, max: 255 }), (at, value) => {
        const damaged = Buffer.from(good);
        damaged[at] = value;
        refusalOf(damaged);
        idOf(damaged);
      }),
      { numRuns: 2000 },
    );
  });
});
