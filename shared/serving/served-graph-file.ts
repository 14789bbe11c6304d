// What serving reads from an .onnx file itself, without loading it: its signature, for a bare graph without a model.yaml;
// whether it draws random numbers, in which case its answers are never cached; and whether it looks at a whole tensor at run
// time, in which case requests are never batched together.
import { externalDataOf, isExternal } from '../onnx/external-data.js';
import { inspectModel } from '../onnx/inspect-model.js';
import type { ModelProto, NodeProto } from '../onnx/model-proto.js';
import { OnnxError } from '../onnx/onnx-error.js';
import { readModelStructure } from '../onnx/read-structure.js';
import { allGraphs, allTensors } from '../onnx/walk-graph.js';
import type { GraphSignature } from '../package/model-package.js';
import { PackageError } from '../package/package-error.js';

/** Operators whose outputs differ from run to run (onnx/onnx docs/Operators.md; `Sampling` is ONNX Runtime's own). */
const RANDOM_OPERATORS: ReadonlySet<string> = new Set([
  'RandomNormal',
  'RandomNormalLike',
  'RandomUniform',
  'RandomUniformLike',
  'Multinomial',
  'Bernoulli',
  'Sampling',
]);
/** Random only in training mode, which is an input: the third, or the fifth of the fused forms. */
const DROPOUTS: ReadonlySet<string> = new Set(['Dropout', 'BiasDropout', 'BitmaskDropout']);

/**
 * Operators that quantize by the range of the whole tensor: a row's result depends on the rows beside it, if only a little. The
 * scheduler's trial can miss that when the rows are alike.
 */
const ROW_COUPLING_OPERATORS: ReadonlySet<string> = new Set([
  'DynamicQuantizeLinear',
  'DynamicQuantizeMatMul',
  'DynamicQuantizeLSTM',
]);

/** For openPackage. Rejects with PackageError `invalid-model` for a file that is no graph that can be served. */
export async function inspectGraphFile(path: string): Promise<GraphSignature> {
  const model = await structureOf(path);
  try {
    const { inputs, outputs } = inspectModel(model);
    const externalData = [...new Set(externalFiles(model))];
    const specs = (values: typeof inputs): GraphSignature['inputs'] =>
      values.map(({ name, datatype, shape }) => {
        if (shape !== undefined) return { name, datatype, shape };
        throw new OnnxError('bad-type', 'states no rank; give the model a model.yaml', name);
      });
    return { inputs: specs(inputs), outputs: specs(outputs), externalData };
  } catch (cause) {
    throw invalidGraph(path, cause);
  }
}

/** Operators that go on as long as their data make them; those of the contrib domain generate text. */
const LOOPING_OPERATORS: ReadonlySet<string> = new Set([
  'Loop',
  'BeamSearch',
  'GreedySearch',
  'Sampling',
  'WhisperBeamSearch',
]);

interface GraphTraits {
  /** Two runs with equal inputs give equal outputs. */
  readonly deterministic: boolean;
  /** Nothing in it is known to make a row's result depend on other rows. */
  readonly rowsMayBatch: boolean;
  /** How long it takes isn't said by the size of its input. */
  readonly timeVaries: boolean;
  /** Paths of external data, relative to the file's folder, sorted. */
  readonly externalData: readonly string[];
  /** Nodes that compute: constants are none. Those of inner graphs count. */
  readonly nodes: number;
}

export async function graphTraits(path: string): Promise<GraphTraits> {
  const model = await structureOf(path);
  const { graph } = model;
  const nodes = graph === undefined ? [] : [...allGraphs(graph)].flatMap((inner) => inner.node);
  return {
    deterministic: !nodes.some(isRandom),
    rowsMayBatch: !nodes.some((node) => ROW_COUPLING_OPERATORS.has(node.opType ?? '')),
    timeVaries: nodes.some((node) => LOOPING_OPERATORS.has(node.opType ?? '')),
    externalData: [...new Set(externalFiles(model))].sort(),
    nodes: nodes.filter(({ opType }) => opType !== 'Constant').length,
  };
}

function isRandom(node: NodeProto): boolean {
  const operator = node.opType ?? '';
  if (RANDOM_OPERATORS.has(operator)) return true;
  const trainingMode = node.input[operator === 'Dropout' ? 2 : 4];
  return DROPOUTS.has(operator) && trainingMode !== undefined && trainingMode !== '';
}

function* externalFiles(model: ModelProto): Generator<string> {
  if (model.graph === undefined) return;
  for (const { tensor, where } of allTensors(model.graph)) {
    if (isExternal(tensor)) yield externalDataOf(tensor, where).path;
  }
}

async function structureOf(path: string): Promise<ModelProto> {
  try {
    return await readModelStructure(path);
  } catch (cause) {
    if (!(cause instanceof OnnxError)) throw cause; // it can't be read
    throw invalidGraph(path, cause);
  }
}

function invalidGraph(path: string, cause: unknown): PackageError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new PackageError(
    'invalid-model',
    `is no ONNX graph that can be served: ${message}`,
    { file: path },
    { cause },
  );
}
