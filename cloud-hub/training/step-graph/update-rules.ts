// How a weight moves by its gradient, as nodes. Both rules decay weights apart from the gradient (Loshchilov & Hutter,
// "Decoupled Weight Decay Regularization", ICLR 2019, algorithms 1 and 2): w loses rate x decay x w.
//   SGD    m' = momentum m + g                           w' = w - rate m'
//   AdamW  m' = b1 m + (1-b1) g,  v' = b2 v + (1-b2) g^2  w' = w - rate (m'/(1-b1^t)) / (sqrt(v'/(1-b2^t)) + epsilon)
// A step over large weights is bound by passes over memory, so whatever is one number for all elements is taken out of them: AdamW
// keeps m/(1-b1) and v/(1-b2), and its corrections are multiplied into the rate and epsilon. What depends on the step number
// alone is computed once, in DOUBLE: 1-b2^t loses digits.
import { DOUBLE, FLOAT, type StepNodes } from './step-nodes.js';

/** Kingma & Ba, and every library's default. */
const BETA_1 = 0.9;
const BETA_2 = 0.999;
const EPSILON = 1e-8;

export interface UpdateOptions {
  readonly optimizer: 'adamw' | 'sgd';
  readonly momentum: number;
  readonly weightDecay: number;
}

/** Names of scalars that all updates of a step share. */
interface StepScalars {
  readonly learningRate: string;
  /** INT64, 1 for the first update. */
  readonly step: string;
  /** FLOAT, multiplies every gradient; undefined = 1. */
  readonly gradientFactor: string | undefined;
}

interface Trained {
  readonly weight: string;
  readonly gradient: string;
  /** Multiplies the learning rate. */
  readonly rate: number;
  readonly decays: boolean;
  /** Values that the optimizer keeps for this weight, by the names in `slotsOf`. */
  readonly slots: Readonly<Record<string, string>>;
  /** Names for the results; new ones where there is none. */
  readonly into: {
    readonly weight?: string | undefined;
    readonly slots?: Readonly<Record<string, string>> | undefined;
  };
}

interface Updated {
  readonly weight: string;
  readonly slots: Readonly<Record<string, string>>;
}

/** What an optimizer keeps for each weight, in its shape; all begin as zeros. */
export function slotsOf({ optimizer, momentum }: UpdateOptions): readonly string[] {
  if (optimizer === 'adamw') return ['gradients', 'squares'];
  return momentum > 0 ? ['momentum'] : [];
}

/** Makes the function that appends the update of one weight. */
export function updateRule(n: StepNodes, options: UpdateOptions, scalars: StepScalars): (trained: Trained) => Updated {
  const decayed = decay(n, options, scalars);
  return options.optimizer === 'adamw' ? adamw(n, scalars, decayed) : sgd(n, options, scalars, decayed);
}

type Decay = (trained: Trained) => string;

function decay(n: StepNodes, { weightDecay }: UpdateOptions, { learningRate }: StepScalars): Decay {
  const kept = perRate((rate) => n.op('Sub', [n.float(1), n.op('Mul', [learningRate, n.float(weightDecay * rate)])]));
  return ({ weight, rate, decays }) => (decays && weightDecay > 0 ? n.op('Mul', [weight, kept(rate)]) : weight);
}

function sgd(n: StepNodes, { momentum }: UpdateOptions, scalars: StepScalars, decayed: Decay) {
  const { learningRate, gradientFactor } = scalars;
  const rateOf = perRate((rate) => (rate === 1 ? learningRate : n.op('Mul', [learningRate, n.float(rate)])));
  return (trained: Trained): Updated => {
    const gradient = gradientFactor === undefined ? trained.gradient : n.op('Mul', [trained.gradient, gradientFactor]);
    const { slots, into } = trained;
    const before = slots['momentum'];
    const m =
      before === undefined
        ? gradient
        : n.op('Add', [n.op('Mul', [before, n.float(momentum)]), gradient], {}, into.slots?.['momentum']);
    const weight = n.op('Sub', [decayed(trained), n.op('Mul', [m, rateOf(trained.rate)])], {}, into.weight);
    return { weight, slots: before === undefined ? {} : { momentum: m } };
  };
}

function adamw(n: StepNodes, { learningRate, step, gradientFactor }: StepScalars, decayed: Decay) {
  const t = n.cast(step, DOUBLE);
  const left = (beta: number): string => n.op('Sub', [n.double(1), n.op('Pow', [n.double(beta), t])]);
  // With M = m/(1-b1), V = v/(1-b2) and r = sqrt((1-b2^t)/(1-b2)):
  // rate (m/(1-b1^t)) / (sqrt(v/(1-b2^t)) + e) = rate (r (1-b1)/(1-b1^t)) M / (sqrt(V) + e r).
  const root = n.op('Sqrt', [n.op('Div', [left(BETA_2), n.double(1 - BETA_2)])]);
  const correction = n.cast(n.op('Div', [n.op('Mul', [root, n.double(1 - BETA_1)]), left(BETA_1)]), FLOAT);
  const epsilon = n.cast(n.op('Mul', [root, n.double(EPSILON)]), FLOAT);
  const rateOf = perRate((rate) => {
    const factored = rate === 1 ? learningRate : n.op('Mul', [learningRate, n.float(rate)]);
    return n.op('Mul', [factored, correction]);
  });
  return (trained: Trained): Updated => {
    const { slots, into } = trained;
    const g = gradientFactor === undefined ? trained.gradient : n.op('Mul', [trained.gradient, gradientFactor]);
    const kept = (slot: string, beta: number, added: string): string =>
      n.op('Add', [n.op('Mul', [slots[slot] ?? '', n.float(beta)]), added], {}, into.slots?.[slot]);
    const gradients = kept('gradients', BETA_1, g);
    const squares = kept('squares', BETA_2, n.op('Mul', [g, g]));
    const direction = n.op('Div', [gradients, n.op('Add', [n.op('Sqrt', [squares]), epsilon])]);
    const moved = n.op('Mul', [direction, rateOf(trained.rate)]);
    const weight = n.op('Sub', [decayed(trained), moved], {}, into.weight);
    return { weight, slots: { gradients, squares } };
  };
}

/** Scalars that depend on a rate factor are made once for each. */
function perRate(make: (rate: number) => string): (rate: number) => string {
  const made = new Map<number, string>();
  return (rate) => {
    const name = made.get(rate) ?? make(rate);
    made.set(rate, name);
    return name;
  };
}
