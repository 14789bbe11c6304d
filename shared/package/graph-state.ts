// What a package's graph carries over a sequence (`state` in model.yaml), completed with what the graph itself declares: which
// output follows which input, and the tensors that a sequence begins with. Pure.
import type { CarriedState } from '../runtime/engine.js';
import { tensorDataFromJson } from '../tensor/json-data.js';
import { TensorDataError } from '../tensor/tensor-data-error.js';
import { shapeMatches, sizeBytes, type NamedTensor, type TensorSpec } from '../tensor/tensor.js';
import type { GraphNode, ModelYaml } from '../wire/model-yaml.js';
import type { GraphSignature } from './model-package.js';
import { PackageError } from './package-error.js';

/** Of all tensors that one sequence carries: what a sequence begins with is made for each. */
const LIMIT_STATE_BYTES = 64 * 1024 * 1024;

type CarriedTensor = NonNullable<GraphNode['state']>[number];

/** Does any graph of the package carry state? */
export function hasState(yaml: Pick<ModelYaml, 'pipeline'>): boolean {
  return yaml.pipeline.some((node) => 'graph' in node && node.state !== undefined);
}

/** Undefined for a graph without state. Throws PackageError `invalid-model` naming the field. */
export function carriedState(
  { pipeline }: Pick<ModelYaml, 'pipeline'>,
  graph: string,
  signature: GraphSignature,
): CarriedState | undefined {
  const index = pipeline.findIndex((node) => 'graph' in node && node.graph === graph);
  const node = pipeline[index];
  if (node === undefined || !('graph' in node) || node.state === undefined) return undefined;
  const initial = node.state.map((carried, at) => initialTensor(carried, signature, `pipeline.${index}.state.${at}`));
  const bytes = initial.reduce((sum, { data }) => sum + data.byteLength, 0);
  if (bytes > LIMIT_STATE_BYTES) {
    throw wrong(`pipeline.${index}.state`, `takes ${bytes} bytes a sequence; at most ${LIMIT_STATE_BYTES} are allowed`);
  }
  return { initial, carried: new Map(node.state.map(({ input, output }) => [output, input])) };
}

function initialTensor(carried: CarriedTensor, { inputs, outputs }: GraphSignature, field: string): NamedTensor {
  const input = inputs.find(({ name }) => name === carried.input);
  const output = outputs.find(({ name }) => name === carried.output);
  if (input === undefined) throw wrong(`${field}.input`, `the graph has no input '${carried.input}'`);
  if (output === undefined) throw wrong(`${field}.output`, `the graph has no output '${carried.output}'`);
  const { name, datatype } = input;
  if (output.datatype !== datatype) {
    throw wrong(`${field}.output`, `'${output.name}' is ${output.datatype}, but '${name}' takes ${datatype}`);
  }
  const shape = carried.shape ?? fixedShape(input);
  if (shape === undefined) {
    throw wrong(`${field}.shape`, `is missing: the graph leaves the shape of '${name}' open ([${input.shape.join()}])`);
  }
  if (!shapeMatches(input.shape, shape)) {
    throw wrong(`${field}.shape`, `[${shape.join()}] is none that '${name}' takes ([${input.shape.join()}])`);
  }
  const size = sizeBytes(datatype, shape);
  if (size === undefined) throw wrong(`${field}.input`, `'${name}' is ${datatype} of [${shape.join()}]: no state`);
  if (size > LIMIT_STATE_BYTES) throw wrong(`${field}.shape`, `takes ${size} bytes; at most ${LIMIT_STATE_BYTES}`);
  if (carried.initial === 'zeros') return { name, datatype, shape, data: new Uint8Array(size) };
  try {
    const data = tensorDataFromJson(datatype, shape, carried.initial, `${field}.initial`);
    return { name, datatype, shape, data };
  } catch (cause) {
    if (cause instanceof TensorDataError) throw wrong(`${field}.initial`, cause.message, cause);
    throw cause;
  }
}

function fixedShape({ shape }: TensorSpec): readonly number[] | undefined {
  return shape.every((dimension) => dimension >= 0) ? shape : undefined;
}

function wrong(field: string, message: string, cause?: unknown): PackageError {
  const place = { file: 'model.yaml', field };
  return new PackageError('invalid-model', message, place, cause === undefined ? {} : { cause });
}
