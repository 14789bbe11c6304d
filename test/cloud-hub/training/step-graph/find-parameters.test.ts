import { describe, expect, it } from 'vitest';
import { buildStepGraph, type StepGraph } from '@tidegate/cloud-hub/training/step-graph/build-step-graph.js';
import { findParameters } from '@tidegate/cloud-hub/training/step-graph/find-parameters.js';
import { withParameters } from '@tidegate/cloud-hub/training/step-graph/put-back.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { GraphProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { floatsOf, makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';

function weight(name: string, dims: readonly number[], value = 0.5, type = 1): TensorProto {
  const count = dims.reduce((a, b) => a * b, 1);
  const bytes =
    type === 1 ? bytesOf(new Float32Array(count).fill(value)) : new Uint8Array(count * (type === 3 ? 1 : 2));
  return makeTensor(name, type, dims, bytes);
}

function graphOf(nodes: readonly NodeProto[], initializers: readonly TensorProto[]): GraphProto {
  return makeGraph(nodes, [makeValue('x', 1, ['n', 4])], [makeValue('y', 1, ['n', 4])], initializers);
}

const namesOf = (graph: GraphProto): string[] => findParameters(graph).parameters.map(({ name }) => name);

function step(graph: GraphProto, freeze: readonly string[] = []): StepGraph {
  return buildStepGraph(makeModel(graph), {
    ...{ loss: 'mse', optimizer: 'sgd', momentum: 0, weightDecay: 0, clipNorm: 0, accumulate: 1, rates: [] },
    batchNormalization: 'frozen',
    freeze: [...freeze],
  });
}

const head = makeNode('MatMul', ['h', 'head'], ['y']);

describe('findParameters', () => {
  it('takes slopes, tables, tokens, and no zeros that are laid beside', () => {
    const nodes = [
      makeNode('MatMul', ['x', 'w'], ['a']),
      makeNode('PRelu', ['a', 'slope'], ['b']),
      makeNode('Concat', ['token', 'b', 'zeros'], ['y'], { attributes: { axis: 0n } }),
    ];
    const graph = graphOf(nodes, [
      weight('w', [4, 4]),
      weight('slope', [1]),
      weight('token', [1, 4]),
      weight('zeros', [1, 4], 0),
    ]);
    expect(namesOf(graph)).toEqual(['w', 'slope', 'token']);
  });

  it('takes every part of a weight that is computed from initializers', () => {
    const nodes = [
      makeNode('ReduceL2', ['direction'], ['norm'], { attributes: { axes: [0n] } }),
      makeNode('Div', ['direction', 'norm'], ['unit']),
      makeNode('Mul', ['unit', 'length'], ['w']),
      makeNode('MatMul', ['x', 'w'], ['y']),
    ];
    const graph = graphOf(nodes, [weight('direction', [4, 4]), weight('length', [1, 4])]);
    expect(namesOf(graph).sort()).toEqual(['direction', 'length']);
  });

  it('leaves the ones and zeros of an instance normalization that groups channels', () => {
    const normalized = (x: string): NodeProto => makeNode('InstanceNormalization', [x, 'one', 'zero'], ['b']);
    const grouped = [makeNode('Reshape', ['x', 'groups'], ['a']), normalized('a'), makeNode('Identity', ['b'], ['y'])];
    const values = [weight('one', [2], 1), weight('zero', [2], 0)];
    expect(namesOf(graphOf(grouped, values))).toEqual([]);
    expect(namesOf(graphOf([normalized('x'), makeNode('Identity', ['b'], ['y'])], values))).toEqual(['one', 'zero']);
  });

  it('trains weights that stand in Constant nodes, and puts them back there', () => {
    const constant = makeNode('Constant', [], ['w'], { attributes: { value: weight('', [4, 4]) } });
    const graph = graphOf([constant, makeNode('MatMul', ['x', 'w'], ['y'])], []);
    const { parameters } = step(graph);
    expect(parameters.map(({ name }) => name)).toEqual(['w']);
    const value = tensor('w', 'FP32', [4, 4], bytesOf(new Float32Array(16).fill(3)));
    const trained = withParameters(makeModel(graph), [value]).graph!;
    expect(trained.node.map(({ opType }) => opType)).toEqual(['MatMul']);
    expect([...new Set(floatsOf(trained.initializer[0]!, 'w'))]).toEqual([3]);
  });
});

describe('weights that can not be trained', () => {
  it('names one in half precision behind a Cast, unless it is frozen', () => {
    const nodes = [
      makeNode('Cast', ['half'], ['w'], { attributes: { to: 1n } }),
      makeNode('MatMul', ['x', 'w'], ['h']),
      head,
    ];
    const graph = graphOf(nodes, [weight('half', [4, 4], 0, 10), weight('head', [4, 4])]);
    expect(() => step(graph)).toThrow('the weight half is FLOAT16, training needs FLOAT');
    expect(step(graph, ['half']).parameters.map(({ name }) => name)).toEqual(['head']);
  });

  it('names a quantized one, and what to train instead', () => {
    const nodes = [
      makeNode('DequantizeLinear', ['bytes', 'scale'], ['w']),
      makeNode('MatMul', ['x', 'w'], ['h']),
      head,
    ];
    const graph = graphOf(nodes, [weight('bytes', [4, 4], 0, 3), weight('scale', []), weight('head', [4, 4])]);
    expect(() => step(graph)).toThrow('the weight bytes is quantized, training needs FLOAT: train the graph before');
  });

  it('names a recurrent network by its operator, and trains what comes behind it once its weights are frozen', () => {
    const nodes = [
      makeNode('Unsqueeze', ['x', 'first'], ['series']),
      makeNode('GRU', ['series', 'W', 'R'], ['', 'last'], { name: 'memory', attributes: { hidden_size: 4n } }),
      makeNode('Squeeze', ['last', 'first'], ['h']),
      head,
    ];
    const first = makeTensor('first', 7, [1], bytesOf(BigInt64Array.of(0n)));
    const weights = [weight('W', [1, 12, 4]), weight('R', [1, 12, 4]), weight('head', [4, 4]), first];
    const graph = graphOf(nodes, weights);
    expect(() => step(graph)).toThrow('node memory (GRU, number 1): the operator has no gradient');
    expect(step(graph, ['W', 'R']).parameters.map(({ name }) => name)).toEqual(['head']);
  });
});
