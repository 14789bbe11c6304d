// Weights and a model: trained ones put back into the graph that they came from, and random ones to begin from (He et al., "Delving
// Deep into Rectifiers", ICCV 2015, equation 10: normal with variance 2 / fan-in).
import type { GraphProto, ModelProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { seededRandom, type Random } from '@tidegate/shared/system/random.js';
import { bytesOf, elementCount, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { withConstantsAsInitializers } from './hoist-constants.js';
import { findParameters, type FoundParameter } from './find-parameters.js';
import { StepGraphError } from './step-graph-error.js';

/** The same model with other values of some FLOAT initializers; everything else as it is. Throws StepGraphError `bad-values`. */
export function withParameters(model: ModelProto, values: readonly NamedTensor[]): ModelProto {
  const byName = new Map(values.map((value) => [value.name, value]));
  const graph = withConstantsAsInitializers(graphOf(model), (name) => byName.has(name));
  const initializer = graph.initializer.map((tensor) => {
    const value = byName.get(tensor.name ?? '');
    if (value === undefined) return tensor;
    byName.delete(value.name);
    if (value.datatype !== 'FP32' || value.shape.join() !== tensor.dims.join()) {
      const [is, was] = [value.shape.join(', '), tensor.dims.join(', ')];
      throw new StepGraphError('bad-values', `${value.name} is ${value.datatype} [${is}], the graph has [${was}]`);
    }
    return { ...makeTensor(value.name, 1, tensor.dims, value.data), metadataProps: tensor.metadataProps };
  });
  const [unknown] = byName.keys();
  if (unknown !== undefined) throw new StepGraphError('bad-values', `the graph has no initializer ${unknown}`);
  return { ...model, graph: { ...graph, initializer } };
}

/** The same model with random weights, biases of 0, scales of 1 and statistics of nothing seen; equal for equal seeds. */
export function randomParameters(model: ModelProto, seed: number): ModelProto {
  const graph = withConstantsAsInitializers(graphOf(model));
  const random = seededRandom(seed);
  const { parameters, statistics } = findParameters(graph);
  const fresh = new Map<string, TensorProto>();
  const put = (tensor: TensorProto, values: Float32Array): void => {
    fresh.set(tensor.name ?? '', { ...makeTensor(tensor.name ?? '', 1, tensor.dims, bytesOf(values)) });
  };
  for (const parameter of parameters) put(parameter.tensor, randomValues(parameter, random));
  for (const { mean, variance } of statistics) {
    put(mean, new Float32Array(elementCount(mean.dims) ?? 0));
    put(variance, new Float32Array(elementCount(variance.dims) ?? 0).fill(1));
  }
  const initializer = graph.initializer.map((tensor) => fresh.get(tensor.name ?? '') ?? tensor);
  return { ...model, graph: { ...graph, initializer } };
}

function randomValues({ tensor, role, fanIn }: FoundParameter, random: Random): Float32Array {
  const values = new Float32Array(elementCount(tensor.dims) ?? 0);
  if (role === 'scale') return values.fill(1);
  if (role === 'slope') return values.fill(0.25);
  if (role === 'shift') return values;
  const deviation = role === 'table' ? 0.02 : Math.sqrt(2 / Math.max(1, fanIn));
  return values.map(() => deviation * normal(random));
}

/** Standard normal (Box and Muller). */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

function graphOf({ graph }: ModelProto): GraphProto {
  if (graph === undefined) throw new OnnxError('no-graph', 'the file holds no graph');
  return graph;
}
