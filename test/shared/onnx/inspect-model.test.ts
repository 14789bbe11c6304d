import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { inspectModel } from '@tidegate/shared/onnx/inspect-model.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';

const read = (name: string): ModelProto =>
  decodeModel(new Uint8Array(readFileSync(fileURLToPath(new URL(`../../../${name}`, import.meta.url)))));

describe('inspectModel', () => {
  it('says what digits takes and gives', () => {
    expect(inspectModel(read('examples/digits/digits.onnx'))).toEqual({
      inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }],
      outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, 10] }],
      irVersion: 8,
      opsets: { 'ai.onnx': 17 },
      operators: { Conv: 2, Flatten: 1, Gemm: 2, Relu: 3 },
      weightsBytes: 41_594 * 4,
    });
  });

  it('counts operators of inner graphs and names foreign domains; an output without a rank has no shape', () => {
    const { operators, outputs, opsets } = inspectModel(read('test/fixtures/optimizer/every-field.onnx'));
    expect(operators).toMatchObject({ Add: 1, Sub: 1, If: 1, 'local.Twice': 1, 'local.ops.Custom': 1 });
    expect(outputs[1]).toEqual({ name: 'z', datatype: 'FP32', shape: undefined });
    expect(opsets).toEqual({ 'ai.onnx': 17, local: 1, 'local.ops': 1 });
  });

  it('leaves out inputs that an initializer provides', () => {
    const w = makeTensor('w', 1, [1], new Uint8Array(4));
    const inputs = [makeValue('x', 10, []), makeValue('w', 1, [1])];
    const model = makeModel(makeGraph([makeNode('Add', ['x', 'w'], ['y'])], inputs, [makeValue('y', 10, [])], [w]));
    expect(inspectModel(model).inputs).toEqual([{ name: 'x', datatype: 'FP16', shape: [] }]);
  });

  it('refuses inputs that the protocol can not carry', () => {
    const node = makeNode('Identity', ['x'], ['y']);
    const complex = makeModel(makeGraph([node], [makeValue('x', 14, [])], [makeValue('y', 1, [])]));
    expect(() => inspectModel(complex)).toThrow('input x: element type 14 is none');
    const sequence = { name: 'x', type: { sequenceType: {} }, metadataProps: [] };
    expect(() => inspectModel(makeModel(makeGraph([node], [sequence], [makeValue('y', 1, [])])))).toThrow(
      'input x: is no tensor',
    );
    expect(() => inspectModel({ ...complex, graph: undefined as never })).toThrow('no graph');
  });
});
