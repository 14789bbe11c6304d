// Graphs within graphs: If, Loop and Scan carry whole graphs as attributes, whose nodes may read values of the graphs around.
import type { GraphProto, NodeProto, SparseTensorProto, TensorProto } from './model-proto.js';

/** Graphs that a node carries as attributes. */
export function subgraphsOf(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap((attribute) => [
    ...(attribute.g === undefined ? [] : [attribute.g]),
    ...attribute.graphs,
  ]);
}

/** Every graph, the outer one first. */
export function* allGraphs(graph: GraphProto): Generator<GraphProto> {
  yield graph;
  for (const node of graph.node) for (const inner of subgraphsOf(node)) yield* allGraphs(inner);
}

interface PlacedTensor {
  readonly tensor: TensorProto;
  /** Where it stands, for messages. */
  readonly where: string;
}

/** Every tensor: initializers and attribute values, in inner graphs too. */
export function* allTensors(graph: GraphProto): Generator<PlacedTensor> {
  for (const tensor of graph.initializer) yield { tensor, where: `initializer ${tensor.name ?? '(no name)'}` };
  for (const sparse of graph.sparseInitializer) {
    yield* sparseTensors(sparse, `sparse initializer ${sparse.values?.name ?? '(no name)'}`);
  }
  yield* tensorsOfNodes(graph.node);
}

export function* tensorsOfNodes(nodes: readonly NodeProto[]): Generator<PlacedTensor> {
  for (const node of nodes) {
    for (const attribute of node.attribute) {
      const where = `node ${node.name || node.output[0] || node.opType || ''}, attribute ${attribute.name ?? ''}`;
      if (attribute.t !== undefined) yield { tensor: attribute.t, where };
      for (const tensor of attribute.tensors) yield { tensor, where };
      if (attribute.sparseTensor !== undefined) yield* sparseTensors(attribute.sparseTensor, where);
      for (const sparse of attribute.sparseTensors) yield* sparseTensors(sparse, where);
    }
    for (const inner of subgraphsOf(node)) yield* allTensors(inner);
  }
}

function* sparseTensors({ values, indices }: SparseTensorProto, where: string): Generator<PlacedTensor> {
  if (values !== undefined) yield { tensor: values, where };
  if (indices !== undefined) yield { tensor: indices, where };
}

/** How often each value of the outer graph is read: by nodes, by graphs within them, and as an output of the graph. */
export function readCounts(graph: GraphProto): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (name: string | undefined): void => {
    if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  for (const inner of allGraphs(graph)) {
    for (const node of inner.node) node.input.forEach(count);
    for (const output of inner.output) count(output.name);
  }
  return counts;
}
