// Nodes, attributes, values and graphs in few words, for graph passes and tests.
import { ATTRIBUTE_TYPE } from './model-proto.js';
import type { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfo } from './model-proto.js';

/** number: FLOAT; bigint: INT; string: STRING; bigint[]: INTS; number[]: FLOATS. */
type AttributeValue = number | bigint | string | readonly bigint[] | readonly number[] | TensorProto;

interface NodeOptions {
  readonly name?: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
}

export function makeNode(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  options: NodeOptions = {},
): NodeProto {
  return {
    input,
    output,
    opType,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.domain === undefined ? {} : { domain: options.domain }),
    attribute: Object.entries(options.attributes ?? {}).map(([name, value]) => makeAttribute(name, value)),
    metadataProps: [],
  };
}

export function makeAttribute(name: string, value: AttributeValue): AttributeProto {
  const empty = {
    name,
    floats: new Float32Array(0),
    ints: new BigInt64Array(0),
    strings: [],
    tensors: [],
    graphs: [],
    sparseTensors: [],
    typeProtos: [],
  };
  if (typeof value === 'number') return { ...empty, type: ATTRIBUTE_TYPE.FLOAT, f: value };
  if (typeof value === 'bigint') return { ...empty, type: ATTRIBUTE_TYPE.INT, i: value };
  if (typeof value === 'string') return { ...empty, type: ATTRIBUTE_TYPE.STRING, s: Buffer.from(value) };
  if ('dims' in value) return { ...empty, type: ATTRIBUTE_TYPE.TENSOR, t: value };
  if (value.length > 0 && typeof value[0] === 'number') {
    return { ...empty, type: ATTRIBUTE_TYPE.FLOATS, floats: Float32Array.from(value as readonly number[]) };
  }
  return { ...empty, type: ATTRIBUTE_TYPE.INTS, ints: BigInt64Array.from(value as readonly bigint[]) };
}

/** A tensor value; a dimension is a size or the name of a dynamic one. */
export function makeValue(name: string, elemType: number, shape: readonly (number | string)[]): ValueInfo {
  const dim = shape.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d }));
  return { name, type: { tensorType: { elemType, shape: { dim } } }, metadataProps: [] };
}

export function makeGraph(
  node: readonly NodeProto[],
  input: readonly ValueInfo[],
  output: readonly ValueInfo[],
  initializer: readonly TensorProto[] = [],
): GraphProto {
  return { node, name: 'graph', initializer, sparseInitializer: [], input, output, valueInfo: [], metadataProps: [] };
}

/** IR version 8; `opsets`: domain (empty = ONNX operators) -> version. */
export function makeModel(graph: GraphProto, opsets: Readonly<Record<string, number>> = { '': 17 }): ModelProto {
  return {
    irVersion: 8,
    graph,
    opsetImport: Object.entries(opsets).map(([domain, version]) => ({ domain, version })),
    metadataProps: [],
    trainingInfo: [],
    functions: [],
  };
}
