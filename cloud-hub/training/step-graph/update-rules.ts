// How a weight moves by its gradient, as nodes. Both rules decay weights apart from the gradient (Loshchilov & Hutter,
// "Decoupled Weight Decay Regularization", ICLR 2019, algorithms 1 and 2): w loses rate x decay x w.
//   SGD    m' = momentum m + g                           w' = w - rate m'
//   AdamW  m' = b1 m + (1-b1) g,  v' = b2 v + (1-b2) g^2  w' = w - rate (m'/(1-b1^t)) / (sqrt(v'/(1-b2^t)) + epsilon)
// The gradient comes unscaled with a factor (clipping, mean over an accumulation), which is multiplied into scalars where that
// saves a pass over the tensor. What depends on the step number alone is computed once, in DOUBLE: 1-b2^t loses digits.
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
}

interface Updated {
  readonly weight: string;
  readonly slots: Readonly<Record<string, string>>;
}

/** What an optimizer keeps for each weight, in its shape; all begin as zeros. */
export function slotsOf({ optimizer, momentum }: UpdateOptions): readonly string[] {
  if (optimizer === 'adamw') return ['mean', 'square'];
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
    const before = trained.slots['momentum'];
    const m = before === undefined ? gradient : n.op('Add', [n.op('Mul', [before, n.float(momentum)]), gradient]);
    const weight = n.op('Sub', [decayed(trained), n.op('Mul', [m, rateOf(trained.rate)])]);
    return { weight, slots: before === undefined ? {} : { momentum: m } };
  };
}

function adamw(n: StepNodes, { learningRate, step, gradientFactor }: StepScalars, decayed: Decay) {
  const t = n.cast(step, DOUBLE);
  const left = (beta: number): string => n.op('Sub', [n.double(1), n.op('Pow', [n.double(beta), t])]);
  // rate (m/c1) / (sqrt(v/c2) + e) = rate (sqrt(c2)/c1) m / (sqrt(v) + e sqrt(c2)): two scalars instead of two passes.
  const root = n.op('Sqrt', [left(BETA_2)]);
  const correction = n.cast(n.op('Div', [root, left(BETA_1)]), FLOAT);
  const epsilon = n.cast(n.op('Mul', [root, n.double(EPSILON)]), FLOAT);
  const rateOf = perRate((rate) => {
    const factored = rate === 1 ? learningRate : n.op('Mul', [learningRate, n.float(rate)]);
    return n.op('Mul', [factored, correction]);
  });
  const factor = gradientFactor ?? n.float(1);
  const intoMean = n.op('Mul', [n.float(1 - BETA_1), factor]);
  const intoSquare = n.op('Mul', [n.float(1 - BETA_2), n.op('Mul', [factor, factor])]);
  return (trained: Trained): Updated => {
    const { gradient: g, slots } = trained;
    const mean = n.op('Add', [n.op('Mul', [slots['mean'] ?? '', n.float(BETA_1)]), n.op('Mul', [g, intoMean])]);
    const square = n.op('Add', [
      n.op('Mul', [slots['square'] ?? '', n.float(BETA_2)]),
      n.op('Mul', [n.op('Mul', [g, g]), intoSquare]),
    ]);
    const direction = n.op('Div', [mean, n.op('Add', [n.op('Sqrt', [square]), epsilon])]);
    const weight = n.op('Sub', [decayed(trained), n.op('Mul', [direction, rateOf(trained.rate)])]);
    return { weight, slots: { mean, square } };
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
