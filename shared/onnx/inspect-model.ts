// What serving and the registry want to know of a model without loading it: the inputs a caller must give, the outputs it may
// ask for, and which operators it is made of.
import { datatypeOfOnnx } from '../tensor/datatype.js';
import type { TensorSpec } from '../tensor/tensor.js';
import type { GraphProto, ModelProto, NodeProto, ValueInfo } from './model-proto.js';
import { OnnxError } from './onnx-error.js';
import { tensorSizeBytes } from './tensor-data.js';
import { allGraphs, allTensors } from './walk-graph.js';

/** An input or output; `shape` undefined where the model states no rank. */
interface ModelValue extends Omit<TensorSpec, 'shape'> {
  readonly shape: readonly number[] | undefined;
}

interface ModelInspection {
  /** In the graph's order; values that an initializer provides are left out. */
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  readonly irVersion: number;
  /** Domain -> version; the ONNX operators under `ai.onnx`. */
  readonly opsets: Readonly<Record<string, number>>;
  /** By `operatorName`: number of nodes, inner graphs included; sorted by name. */
  readonly operators: Readonly<Record<string, number>>;
  /** Of all constant tensors, external ones included. */
  readonly weightsBytes: number;
}

/** Throws OnnxError `no-graph`, or `bad-type` for an input or output that is no tensor of a datatype of the protocol. */
export function inspectModel(model: ModelProto): ModelInspection {
  const { graph } = model;
  if (graph === undefined) throw new OnnxError('no-graph', 'the file holds no graph');
  const provided = new Set(graph.initializer.map((tensor) => tensor.name));
  return {
    inputs: graph.input.filter(({ name }) => !provided.has(name)).map((value) => modelValue(value, 'input')),
    outputs: graph.output.map((value) => modelValue(value, 'output')),
    irVersion: model.irVersion ?? 0,
    opsets: Object.fromEntries(model.opsetImport.map(({ domain, version }) => [domainName(domain), version ?? 0])),
    operators: countOperators(graph),
    weightsBytes: weightsBytes(graph),
  };
}

/** The ONNX operators' domain has two spellings, `` and `ai.onnx`. */
export function domainName(domain: string | undefined): string {
  return domain === undefined || domain === '' ? 'ai.onnx' : domain;
}

/** Version of the ONNX operators that a model imports; 0 where it imports none. */
export function onnxOpset({ opsetImport }: ModelProto): number {
  return opsetImport.find(({ domain }) => domainName(domain) === 'ai.onnx')?.version ?? 0;
}

/** `MatMul`, `com.microsoft.MatMulNBits`. */
export function operatorName({ opType = '', domain }: NodeProto): string {
  return domainName(domain) === 'ai.onnx' ? opType : `${domain}.${opType}`;
}

function modelValue(value: ValueInfo, role: 'input' | 'output'): ModelValue {
  const name = value.name ?? '';
  const type = value.type?.tensorType;
  if (type === undefined)
    throw new OnnxError('bad-type', 'is no tensor (sequences, maps and optionals are not served)', `${role} ${name}`);
  const datatype = datatypeOfOnnx(type.elemType ?? 0);
  if (datatype === undefined) {
    throw new OnnxError('bad-type', `element type ${type.elemType ?? 0} is none of the protocol's`, `${role} ${name}`);
  }
  const shape = type.shape?.dim.map(({ dimValue }) => (dimValue !== undefined && dimValue >= 0 ? dimValue : -1));
  return { name, datatype, shape };
}

function countOperators(graph: GraphProto): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { node } of allGraphs(graph)) {
    for (const one of node) {
      const name = operatorName(one);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function weightsBytes(graph: GraphProto): number {
  let total = 0;
  for (const { tensor, where } of allTensors(graph)) total += tensorSizeBytes(tensor, where) ?? 0;
  return total;
}
