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

/**
 * What an optimizer keeps for each weight, in its shape; all begin as zeros. Kept are the sums as the next step takes them, that is
 * momentum m, b1 m and b2 v: a sum is then made in the gradient's memory, and only its decayed form is written elsewhere.
 */
export function slotsOf({ optimizer, momentum }: UpdateOptions): readonly string[] {
  if (optimizer === 'adamw') return ['gradients', 'squares'];
  return momentum > 0 ? ['momentum'] : [];
}

/** Makes the function that appends the update of one weight. */
export function updateRule(n: StepNodes, options: UpdateOptions, scalars: StepScalars): (trained: Trained) => Updated {
  const { learningRate } = scalars;
  const { weightDecay, momentum, optimizer } = options;
  const left = perRate((rate) => n.op('Sub', [n.float(1), n.op('Mul', [learningRate, n.float(weightDecay * rate)])]));
  const rateOf = perRate((rate) => (rate === 1 ? learningRate : n.op('Mul', [learningRate, n.float(rate)])));
  const sharesOf = perRate((rate) => n.op('Div', [rateOf(rate), left(rate)]));
  const directionOf = optimizer === 'adamw' ? adamw(n, scalars) : sgd(n, momentum, scalars);
  return (trained: Trained): Updated => {
    const { weight, rate, decays, into } = trained;
    const { direction, factor, slots } = directionOf(trained);
    const decayed = decays && weightDecay > 0;
    // w (1 - a) - r d = (w - r / (1 - a) d) (1 - a): all but the last in the direction's memory.
    const share = decayed ? sharesOf(rate) : rateOf(rate);
    const scale = factor === undefined ? share : n.op('Mul', [share, factor]);
    const moved = n.op('Sub', [weight, n.op('Mul', [direction, scale])], {}, decayed ? undefined : into.weight);
    return { weight: decayed ? n.op('Mul', [moved, left(rate)], {}, into.weight) : moved, slots };
  };
}

interface Direction {
  /** The weight loses this times the rate times `factor`, a scalar. */
  readonly direction: string;
  readonly factor?: string;
  readonly slots: Readonly<Record<string, string>>;
}

function scaled(n: StepNodes, { gradient }: Trained, { gradientFactor }: StepScalars): string {
  return gradientFactor === undefined ? gradient : n.op('Mul', [gradient, gradientFactor]);
}

function sgd(n: StepNodes, momentum: number, scalars: StepScalars): (trained: Trained) => Direction {
  return (trained) => {
    const g = scaled(n, trained, scalars);
    const before = trained.slots['momentum'];
    if (before === undefined) return { direction: g, slots: {} };
    const m = n.op('Add', [before, g]);
    const next = n.op('Mul', [m, n.float(momentum)], {}, trained.into.slots?.['momentum']);
    return { direction: m, slots: { momentum: next } };
  };
}

function adamw(n: StepNodes, scalars: StepScalars): (trained: Trained) => Direction {
  const t = n.cast(scalars.step, DOUBLE);
  const left = (beta: number): string => n.op('Sub', [n.double(1), n.op('Pow', [n.double(beta), t])]);
  // With M = m/(1-b1), V = v/(1-b2) and r = sqrt((1-b2^t)/(1-b2)):
  // (m/(1-b1^t)) / (sqrt(v/(1-b2^t)) + e) = (r (1-b1)/(1-b1^t)) M / (sqrt(V) + e r).
  const root = n.op('Sqrt', [n.op('Div', [left(BETA_2), n.double(1 - BETA_2)])]);
  const factor = n.cast(n.op('Div', [n.op('Mul', [root, n.double(1 - BETA_1)]), left(BETA_1)]), FLOAT);
  const epsilon = n.cast(n.op('Mul', [root, n.double(EPSILON)]), FLOAT);
  return (trained) => {
    const { slots, into } = trained;
    const g = scaled(n, trained, scalars);
    const V = n.op('Add', [slots['squares'] ?? '', n.op('Mul', [g, g])]);
    const squares = n.op('Mul', [V, n.float(BETA_2)], {}, into.slots?.['squares']);
    const M = n.op('Add', [slots['gradients'] ?? '', g]);
    const gradients = n.op('Mul', [M, n.float(BETA_1)], {}, into.slots?.['gradients']);
    const direction = n.op('Div', [M, n.op('Add', [n.op('Sqrt', [V]), epsilon])]);
    return { direction, factor, slots: { gradients, squares } };
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
