// Which of a graph's parameters a job trains, and how fast: all that find-parameters.ts finds, without those that `freeze` names, each
// at the factor of the first pattern of `rates` that matches. Weights of two axes and more decay; biases and scales don't.
import type { GraphProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import type { TrainingParameters } from '@tidegate/shared/wire/training-api.js';
import { findParameters, type ForeignParameter, type RunningStatistics } from './find-parameters.js';
import { matchesPattern } from './name-pattern.js';
import { StepGraphError } from './step-graph-error.js';

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
  const isFrozen = (name: string): boolean => options.freeze.some((pattern) => matchesPattern(pattern, name));
  const strange = foreign.find(({ name }) => !isFrozen(name));
  if (strange !== undefined) throw new StepGraphError('wrong-type', messageOf(strange));
  if (parameters.length === 0)
    throw new StepGraphError('nothing-to-train', 'no FLOAT weight of the graph reaches the loss');
  const names = [...parameters, ...foreign].map(({ name }) => name);
  for (const pattern of [...options.freeze, ...options.rates.map(({ pattern }) => pattern)]) {
    if (names.some((name) => matchesPattern(pattern, name))) continue;
    throw new StepGraphError('unmatched-pattern', `${pattern} names no parameter; they are ${names.join(', ')}`);
  }
  const trained = parameters
    .filter(({ name }) => !isFrozen(name))
    .map(({ name, tensor }) => ({
      name,
      tensor,
      rate: options.rates.find(({ pattern }) => matchesPattern(pattern, name))?.factor ?? 1,
      decays: tensor.dims.length >= 2,
    }))
    .filter(({ rate }) => rate > 0);
  if (trained.length === 0) throw new StepGraphError('nothing-to-train', 'every parameter of the graph is frozen');
  const free = options.batchNormalization === 'batch' ? statistics.filter(({ scale }) => !isFrozen(scale)) : [];
  return { trained, statistics: free };
}

function messageOf({ name, type }: ForeignParameter): string {
  const way = type === 'quantized' ? 'train the graph before its quantization' : 'export the model in single precision';
  return `the weight ${name} is ${type}, training needs FLOAT: ${way}, or freeze this weight`;
}
