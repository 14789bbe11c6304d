import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeSample,
  encodeSample,
  inputsDigest,
  sampleId,
  SampleError,
  type Sample,
} from '@tidegate/shared/wire/sample.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';

const digest = `sha256:${'a'.repeat(64)}`;
const sample: Sample = {
  facts: {
    model: 'digits',
    versionDigest: digest,
    variantDigest: digest,
    capturedAtMs: 1_700_000_000_000,
    confidence: 0.41,
    reason: 'low-confidence',
  },
  inputs: [
    tensor('image', 'FP32', [1, 2], new Uint8Array([0, 0, 128, 63, 0, 0, 0, 64])),
    tensor('picture', 'BYTES', [1], new Uint8Array([2, 0, 0, 0, 104, 105])),
  ],
  outputs: [tensor('label', 'BYTES', [1], new Uint8Array([1, 0, 0, 0, 55]))],
};

describe('a sample', () => {
  it('comes back as it went, and its id is the digest of its bytes', () => {
    const body = encodeSample(sample);
    const read = decodeSample(body);
    expect(read.facts).toEqual(sample.facts);
    expect([...read.inputs, ...read.outputs].map((t) => ({ ...t, data: [...t.data] }))).toEqual(
      [...sample.inputs, ...sample.outputs].map((t) => ({ ...t, data: [...t.data] })),
    );
    expect(sampleId(body)).toBe(sampleId(encodeSample(sample)));
  });

  it('refuses every cut and says so, and never throws anything else', () => {
    const body = encodeSample(sample);
    for (let length = 0; length < body.byteLength; length += 1) {
      expect(() => decodeSample(body.subarray(0, length))).toThrow(SampleError);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => decodeSample(bytes)).toThrow(SampleError);
      }),
    );
    expect(() => decodeSample(Buffer.concat([body, Buffer.from([0])]))).toThrow('1 bytes are left over');
  });

  it('names the tensor whose bytes do not fit its shape', () => {
    const wrong = { ...sample, inputs: [tensor('image', 'FP32', [1, 3], new Uint8Array(8))] };
    expect(() => decodeSample(encodeSample(wrong))).toThrow('image: 8 bytes do not fit FP32 [1, 3]');
  });

  it('is refused over its limit before it is sent', () => {
    const large = { ...sample, inputs: [tensor('image', 'UINT8', [9_000_000], new Uint8Array(9_000_000))] };
    expect(() => encodeSample(large)).toThrow(/at most 8388608/);
  });
});

describe('the digest of inputs', () => {
  it('is that of the inputs alone, in whatever order they come', () => {
    const [image, picture] = sample.inputs;
    expect(inputsDigest([picture!, image!])).toBe(inputsDigest([image!, picture!]));
    expect(inputsDigest([image!])).not.toBe(inputsDigest([{ ...image!, shape: [2, 1] }]));
    expect(inputsDigest([image!])).not.toBe(inputsDigest([{ ...image!, name: 'other' }]));
  });
});
