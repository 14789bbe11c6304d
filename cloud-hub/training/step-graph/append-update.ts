// From gradients to the next weights: the mean over an accumulation, the global norm, clipping to it (Pascanu et al., "On the
// difficulty of training recurrent neural networks", ICML 2013, algorithm 1), then the rule of update-rules.ts for each weight.
import { makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { ValueInfo } from '@tidegate/shared/onnx/model-proto.js';
import { elementCount, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { Loss } from './append-loss.js';
import type { TrainedParameter } from './choose-parameters.js';
import { BOOL, FLOAT, INT64, type StepNodes } from './step-nodes.js';
import { groupParameters, joined, parted, type ParameterGroup } from './parameter-groups.js';
import { slotsOf, updateRule, type UpdateOptions } from './update-rules.js';

interface AppendUpdateOptions extends UpdateOptions {
  readonly clipNorm: number;
  readonly accumulate: number;
}

/** A value of the state: the input that takes it and the output that replaces it, both in `dims`. */
interface CarriedValue {
  readonly input: string;
  readonly output: string;
  readonly dims: readonly number[];
}

interface Update {
  readonly carried: readonly CarriedValue[];
  /** Inputs for everything that is carried, and for what is fed. */
  readonly inputs: readonly ValueInfo[];
  /** First values of what the optimizer keeps. */
  readonly zeros: readonly NamedTensor[];
  /** FLOAT scalar: the gradients' norm before clipping. */
  readonly norm: string;
}

export const LEARNING_RATE = 'step/learning-rate';
export const STEP = 'step/number';
export const APPLY = 'step/apply';
const NORM_EPSILON = 1e-6;
const TOTAL = 'step/accumulated/samples';

/** `gradientOf` names the gradient of a parameter; it is that of the batch's mean loss. */
export function appendUpdate(
  n: StepNodes,
  parameters: readonly TrainedParameter[],
  gradientOf: (name: string) => string,
  loss: Pick<Loss, 'labels'>,
  options: AppendUpdateOptions,
): Update {
  const carried: CarriedValue[] = [];
  const gather = options.accumulate > 1 ? accumulation(n, loss.labels, carried) : undefined;
  const groups = groupParameters(parameters).map((group) => {
    const gradient = joined(n, group, gradientOf);
    return { group, gradient: gather?.add(group.name, gradient, group.dims) ?? gradient };
  });
  const mean = gather?.perSample;
  const squares = groups.map(({ gradient }) => n.op('ReduceSumSquare', [gradient], { keepdims: 0n }));
  const sum = n.op('Sqrt', [n.op('Sum', squares)]);
  const norm =
    mean === undefined ? n.op('Identity', [sum], {}, 'step/norm') : n.op('Mul', [sum, mean], {}, 'step/norm');
  const clip =
    options.clipNorm > 0
      ? n.op('Min', [n.float(1), n.op('Div', [n.float(options.clipNorm), n.op('Add', [norm, n.float(NORM_EPSILON)])])])
      : undefined;
  const gradientFactor = clip !== undefined && mean !== undefined ? n.op('Mul', [clip, mean]) : (clip ?? mean);
  const rule = updateRule(n, options, { learningRate: LEARNING_RATE, step: STEP, gradientFactor });
  const slots = slotsOf(options);
  for (const { group, gradient } of groups) {
    carried.push(...appendGroup(n, { group, gradient, slots, rule, accumulates: gather !== undefined }));
  }
  const own = carried.filter(({ input }) => !parameters.some(({ name }) => name === input));
  return {
    carried,
    inputs: [
      ...own.map(({ input, dims }) => makeValue(input, FLOAT, dims)),
      makeValue(LEARNING_RATE, FLOAT, []),
      makeValue(STEP, INT64, []),
      ...(gather === undefined ? [] : [makeValue(APPLY, BOOL, [])]),
    ],
    zeros: own.map(({ input, dims }) => tensor(input, 'FP32', dims, new Uint8Array(4 * (elementCount(dims) ?? 0)))),
    norm,
  };
}

interface GroupUpdate {
  readonly group: ParameterGroup;
  readonly gradient: string;
  readonly slots: readonly string[];
  readonly rule: ReturnType<typeof updateRule>;
  /** Between its updates everything stays as it is; without one, results are what is carried, with no copy between. */
  readonly accumulates: boolean;
}

function appendGroup(n: StepNodes, { group, gradient, slots, rule, accumulates }: GroupUpdate): CarriedValue[] {
  const { members, rate, decays, dims } = group;
  const isAlone = members.length === 1;
  const places = Object.fromEntries(slots.map((slot) => [slot, `step/${slot}/${group.name}`]));
  const weight = joined(n, group, (name) => name);
  const next = isAlone ? nextOf(weight) : undefined;
  const nextPlaces = Object.fromEntries(Object.entries(places).map(([slot, place]) => [slot, nextOf(place)]));
  const into = accumulates ? {} : { weight: next, slots: nextPlaces };
  const updated = rule({ weight, gradient, rate, decays, slots: places, into });
  let settled = updated.weight;
  if (accumulates) {
    settled = n.op('Where', [APPLY, updated.weight, weight], {}, next);
    for (const [slot, place] of Object.entries(places)) {
      n.op('Where', [APPLY, updated.slots[slot] ?? '', place], {}, nextOf(place));
    }
  }
  if (!isAlone) parted(n, group, settled, nextOf);
  return [
    ...members.map(({ name, tensor: t }) => ({ input: name, output: nextOf(name), dims: t.dims })),
    ...Object.values(places).map((place) => ({ input: place, output: nextOf(place), dims })),
  ];
}

/** The name of the output that holds a carried value's next one. */
export function nextOf(name: string): string {
  return `step/next/${name}`;
}

interface Accumulation {
  /** Adds a micro-batch's gradient, weighed by its samples; answers the sum so far. */
  add(name: string, gradient: string, dims: readonly number[]): string;
  /** 1 / samples so far. */
  readonly perSample: string;
}

function accumulation(n: StepNodes, labels: string, carried: CarriedValue[]): Accumulation {
  const first = n.op('Gather', [n.op('Shape', [labels]), n.int(0)], { axis: 0n });
  const rows = n.cast(first, FLOAT);
  const total = n.op('Add', [TOTAL, rows]);
  n.op('Where', [APPLY, n.float(0), total], {}, nextOf(TOTAL));
  carried.push({ input: TOTAL, output: nextOf(TOTAL), dims: [] });
  return {
    add: (name, gradient, dims) => {
      const place = `step/accumulated/${name}`;
      const sum = n.op('Add', [place, n.op('Mul', [gradient, rows])]);
      n.op('Where', [APPLY, n.zerosLike(sum), sum], {}, nextOf(place));
      carried.push({ input: place, output: nextOf(place), dims });
      return sum;
    },
    perSample: n.op('Div', [n.float(1), total]),
  };
}
