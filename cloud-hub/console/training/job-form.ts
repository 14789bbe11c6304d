// What the form that starts a run begins with, and its text fields as an order for the hub. Only what differs from a default is sent, so
// that the hub's defaults hold; what the figures may be is the hub's to judge, what is no figure at all is said here.
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import type { TrainingParameters } from '@tidegate/shared/wire/training-api.js';

/** What the hub takes where an order says nothing: a test holds this to the wire contract, which itself would bring zod into the page. */
export const DEFAULT_PARAMETERS: TrainingParameters = {
  epochs: 3,
  batchSize: 32,
  accumulate: 1,
  optimizer: 'adamw',
  learningRate: 0.001,
  momentum: 0.9,
  weightDecay: 0.01,
  schedule: 'cosine',
  warmupSteps: 0,
  clipNorm: 1,
  loss: 'cross-entropy',
  freeze: [],
  rates: [],
  fromScratch: false,
  seed: 7,
};
export const DEFAULT_PRIORITY = 0;
export const DEFAULT_MAX_DROP = 0.01;

export type NumberField =
  | 'epochs'
  | 'maxSteps'
  | 'batchSize'
  | 'accumulate'
  | 'learningRate'
  | 'momentum'
  | 'weightDecay'
  | 'warmupSteps'
  | 'clipNorm'
  | 'seed';

export interface JobFields {
  readonly model: string;
  readonly parent: string;
  readonly datasets: readonly string[];
  readonly slices: readonly string[];
  readonly label: string;
  /** As typed; empty = the default. */
  readonly numbers: Readonly<Partial<Record<NumberField | 'threads' | 'priority' | 'maxDrop', string>>>;
  readonly optimizer: TrainingParameters['optimizer'];
  readonly schedule: TrainingParameters['schedule'];
  readonly loss: TrainingParameters['loss'];
  readonly fromScratch: boolean;
  /** Patterns of parameters' names, apart by commas or spaces. */
  readonly freeze: string;
}

export const EMPTY_FIELDS: JobFields = {
  model: '',
  parent: '',
  datasets: [],
  slices: [],
  label: '',
  numbers: {},
  optimizer: DEFAULT_PARAMETERS.optimizer,
  schedule: DEFAULT_PARAMETERS.schedule,
  loss: DEFAULT_PARAMETERS.loss,
  fromScratch: false,
  freeze: '',
};

type Trainable = Pick<Version, 'model' | 'version'>;

/** What changes with the model: another one has other versions and datasets. `ready`: the versions that can be trained. */
export function onModel(model: string, ready: readonly Trainable[]): Partial<JobFields> {
  const newest = Math.max(...ready.filter((version) => version.model === model).map(({ version }) => version));
  return { model, parent: Number.isFinite(newest) ? String(newest) : '', datasets: [], slices: [] };
}

/** What the form begins with: the dataset that was asked for, with its own model; the first model where that has no version to train. */
export function firstChoice(
  dataset: { readonly spec: string; readonly model: string } | undefined,
  ready: readonly Trainable[],
): Partial<JobFields> {
  if (dataset !== undefined && ready.some(({ model }) => model === dataset.model)) {
    return { ...onModel(dataset.model, ready), datasets: [dataset.spec] };
  }
  const [first] = ready;
  return first === undefined ? {} : onModel(first.model, ready);
}

/** Body of POST /api/v1/jobs, or what is missing. */
export function orderOf(fields: JobFields): { readonly order: Record<string, unknown> } | { readonly missing: string } {
  const { model, parent, datasets, slices, label, numbers } = fields;
  if (model === '' || parent === '') return { missing: 'choose the version to start from' };
  if (datasets.length === 0) return { missing: 'choose at least one dataset to train on' };
  const order: Record<string, unknown> = { model, parent, datasets, slices };
  const parameters: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(numbers)) {
    if (text.trim() === '') continue;
    const value = Number(text);
    if (!Number.isFinite(value)) return { missing: `${name}: ${text} is no number` };
    const place = name === 'threads' || name === 'priority' || name === 'maxDrop' ? order : parameters;
    place[name] = value;
  }
  for (const name of ['optimizer', 'schedule', 'loss', 'fromScratch'] as const) {
    if (fields[name] !== DEFAULT_PARAMETERS[name]) parameters[name] = fields[name];
  }
  const freeze = fields.freeze.split(/[\s,]+/).filter((pattern) => pattern !== '');
  if (freeze.length > 0) parameters['freeze'] = freeze;
  if (label.trim() !== '') order['label'] = label.trim();
  return { order: { ...order, parameters } };
}
