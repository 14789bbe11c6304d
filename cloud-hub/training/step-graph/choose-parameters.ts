// Which of a graph's parameters a job trains, and how fast: all that find-parameters.ts finds, without those that `freeze` names, each
// at the factor of the first pattern of `rates` that matches. A pattern is held against a parameter's name and against the name of the node
// that reads it: an exporter that folds a normalization into a convolution renames the weights (`onnx::Conv_538`), but the node still
// says where it stands (`features/0/Conv`). Weights of two axes and more decay; biases and scales don't.
import type { GraphProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import type { TrainingParameters } from '@tidegate/shared/wire/training-api.js';
import { findParameters, type ForeignParameter, type RunningStatistics } from './find-parameters.js';
import { matchesPattern } from './name-pattern.js';
import { StepGraphError } from './step-graph-error.js';

/** Names in a message. */
const SHOWN_MAX = 60;

export interface TrainedParameter {
  readonly name: string;
  readonly tensor: TensorProto;
  /** Multiplies the learning rate. */
  readonly rate: number;
  readonly decays: boolean;
}

export interface ChosenParameters {
  readonly trained: readonly TrainedParameter[];
  /** Running statistics that are carried; empty where they stay frozen. */
  readonly statistics: readonly RunningStatistics[];
}

interface ChoiceOptions extends Pick<TrainingParameters, 'freeze' | 'rates'> {
  readonly batchNormalization: 'frozen' | 'batch';
}

/**
 * Throws StepGraphError `nothing-to-train`, `wrong-type` for a weight that is not FLOAT and not frozen, or `unmatched-pattern` for a
 * pattern that names nothing: most likely a slip.
 */
export function chooseParameters(graph: GraphProto, options: ChoiceOptions): ChosenParameters {
  const { parameters, foreign, statistics } = findParameters(graph);
  const isFrozen = (one: Named): boolean => options.freeze.some((pattern) => names(pattern, one));
  const strange = foreign.find((one) => !isFrozen(one));
  if (strange !== undefined) throw new StepGraphError('wrong-type', messageOf(strange));
  if (parameters.length === 0)
    throw new StepGraphError('nothing-to-train', 'no FLOAT weight of the graph reaches the loss');
  const all = [...parameters, ...foreign];
  for (const pattern of [...options.freeze, ...options.rates.map(({ pattern }) => pattern)]) {
    if (all.some((one) => names(pattern, one))) continue;
    throw new StepGraphError('unmatched-pattern', `${pattern} names no parameter; they are ${listed(all)}`);
  }
  const trained = parameters
    .filter((one) => !isFrozen(one))
    .map((one) => ({
      name: one.name,
      tensor: one.tensor,
      rate: options.rates.find(({ pattern }) => names(pattern, one))?.factor ?? 1,
      decays: one.tensor.dims.length >= 2,
    }))
    .filter(({ rate }) => rate > 0);
  if (trained.length === 0) throw new StepGraphError('nothing-to-train', 'every parameter of the graph is frozen');
  const frozen = new Set(parameters.filter(isFrozen).map(({ name }) => name));
  const free = options.batchNormalization === 'batch' ? statistics.filter(({ scale }) => !frozen.has(scale)) : [];
  return { trained, statistics: free };
}

interface Named {
  readonly name: string;
  readonly place: string;
}

function names(pattern: string, { name, place }: Named): boolean {
  return matchesPattern(pattern, name) || matchesPattern(pattern.replace(/^\//, ''), place);
}

/** With the place where the name says nothing of it. */
function listed(all: readonly Named[]): string {
  const shown = all.slice(0, SHOWN_MAX).map(({ name, place }) => {
    const layer = place.split('/').slice(0, -1).join('.');
    return layer === '' || name.startsWith(layer) ? name : `${name} (${place})`;
  });
  const more = all.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function messageOf({ name, type }: ForeignParameter): string {
  const way = type === 'quantized' ? 'train the graph before its quantization' : 'export the model in single precision';
  return `the weight ${name} is ${type}, training needs FLOAT: ${way}, or freeze this weight`;
}
