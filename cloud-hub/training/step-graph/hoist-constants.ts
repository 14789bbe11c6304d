// Constant nodes of the outer graph as initializers: some exporters write weights as Constant nodes, and sizes nearly all of them.
import { domainName } from '@tidegate/shared/onnx/inspect-model.js';
import type { GraphProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { FLOAT, INT64 } from './step-nodes.js';

/** The same graph; of strings and sparse tensors, and of values that `wants` does not want, the nodes stay. */
export function withConstantsAsInitializers(
  graph: GraphProto,
  wants: (name: string) => boolean = () => true,
): GraphProto {
  const made: TensorProto[] = [];
  const node = graph.node.filter((one) => {
    const [name = ''] = one.output;
    const tensor = wants(name) ? constantOf(one, name) : undefined;
    if (tensor !== undefined) made.push(tensor);
    return tensor === undefined;
  });
  return made.length === 0 ? graph : { ...graph, node, initializer: [...graph.initializer, ...made] };
}

function constantOf(node: NodeProto, name: string): TensorProto | undefined {
  if (node.opType !== 'Constant' || domainName(node.domain) !== 'ai.onnx') return undefined;
  const [attribute] = node.attribute;
  switch (attribute?.name) {
    case 'value':
      return attribute.t === undefined ? undefined : { ...attribute.t, name };
    case 'value_float':
      return makeTensor(name, FLOAT, [], bytesOf(Float32Array.of(attribute.f ?? 0)));
    case 'value_floats':
      return makeTensor(name, FLOAT, [attribute.floats.length], bytesOf(attribute.floats));
    case 'value_int':
      return makeTensor(name, INT64, [], bytesOf(BigInt64Array.of(attribute.i ?? 0n)));
    case 'value_ints':
      return makeTensor(name, INT64, [attribute.ints.length], bytesOf(attribute.ints));
    default:
      return undefined;
  }
}
