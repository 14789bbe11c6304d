// What of a model becomes part of its step graph: all that the loss hangs on, and nothing else.
import { expect, it } from 'vitest';
import { buildStepGraph, type StepGraphOptions } from '@tidegate/cloud-hub/training/step-graph/build-step-graph.js';
import { makeAttribute, makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { GraphProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';

const options: StepGraphOptions = {
  ...{ loss: 'mse', optimizer: 'sgd', momentum: 0, weightDecay: 0, clipNorm: 0, accumulate: 1 },
  ...{ freeze: [], rates: [], batchNormalization: 'frozen' },
};

const weight = (name: string, dims: readonly number[]): TensorProto =>
  makeTensor(name, 1, dims, bytesOf(new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(0.5)));

const value = (name: string) => makeValue(name, 1, ['n', 4]);

it('leaves out what only another output needs, be it too old to upgrade', () => {
  const graph = makeGraph(
    [makeNode('MatMul', ['x', 'w'], ['y']), makeNode('RoiAlign', ['y', 'places', 'rows'], ['other'])],
    [value('x'), value('places'), value('rows')],
    [value('y'), value('other')],
    [weight('w', [4, 4])],
  );
  const step = buildStepGraph(makeModel(graph, { '': 11 }), { ...options, output: 'y' });
  expect(step.feeds.inputs).toEqual(['x']);
  expect(step.model.graph?.node.some(({ opType }) => opType === 'RoiAlign')).toBe(false);
});

it('keeps what graphs within graphs read', () => {
  const choice = (then: GraphProto, otherwise: GraphProto, output: string): NodeProto => ({
    ...makeNode('If', ['condition'], [output]),
    attribute: [
      { ...makeAttribute('then_branch', 'replaced'), type: 5, g: then },
      { ...makeAttribute('else_branch', 'replaced'), type: 5, g: otherwise },
    ],
  });
  const branch = (node: NodeProto): GraphProto => makeGraph([node], [], [value(node.output[0] ?? '')]);
  const read = (name: string, output: string): GraphProto => branch(makeNode('Identity', [name], [output]));
  const nested = branch(choice(read('deep', 'a'), read('deeper', 'b'), 'c'));
  const graph = makeGraph(
    [choice(nested, read('flat', 'd'), 'h'), makeNode('Add', ['x', 'h'], ['s']), makeNode('MatMul', ['s', 'w'], ['y'])],
    [value('x')],
    [value('y')],
    [
      ...[weight('w', [4, 4]), weight('deep', [4]), weight('deeper', [4]), weight('flat', [4]), weight('nobody', [4])],
      makeTensor('condition', 9, [], Uint8Array.of(1)),
    ],
  );
  const { initializer } = buildStepGraph(makeModel(graph), options).model.graph!;
  const kept = initializer.map(({ name }) => name).filter((name) => !name?.includes('/'));
  expect(kept).toEqual(['deep', 'deeper', 'flat', 'condition']);
});
