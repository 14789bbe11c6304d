// Starts a training run: from which version, on which datasets, and how. Every parameter shows the default that holds if it is left
// empty.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import type { DatasetVersion } from '@tidegate/shared/wire/data-api.js';
import { datasetVersions, specOf } from '../datasets/dataset-versions.js';
import { messageOf } from '../format.js';
import type { HubClient } from '../hub-client.js';
import { go, Link } from '../link.js';
import { useLiveList } from '../live-list.js';
import type { LiveState } from '../live-state.js';
import {
  DEFAULT_MAX_DROP,
  DEFAULT_PARAMETERS,
  DEFAULT_PRIORITY,
  EMPTY_FIELDS,
  firstChoice,
  onModel,
  orderOf,
  type JobFields,
  type NumberField,
} from './job-form.js';

type Set = (change: Partial<JobFields>) => void;

export function StartForm(props: {
  state: LiveState;
  client: HubClient;
  /** Chosen from the start. */
  dataset: string | undefined;
  onClose: () => void;
}): JSX.Element {
  const { state, client, dataset, onClose } = props;
  const datasets = useLiveList(
    state,
    useMemo(() => datasetVersions(client), [client]),
  );
  const [fields, setFields] = useState<JobFields>(EMPTY_FIELDS);
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const set: Set = (change) => setFields((old) => ({ ...old, ...change }));
  const ready = state.versions.filter((version) => version.state === 'ready');
  useEffect(() => {
    if (fields.model !== '' || (dataset !== undefined && datasets.loading)) return;
    const found = datasets.items.find((one) => specOf(one) === dataset);
    set(firstChoice(found && { spec: specOf(found), model: found.model }, ready));
  }, [datasets.items, datasets.loading, state.versions, dataset]);
  const submit = (event: Event): void => {
    event.preventDefault();
    const made = orderOf(fields);
    if ('missing' in made) {
      setError(made.missing);
      return;
    }
    setBusy(true);
    client
      .startJob(made.order)
      .then(
        (job) => go({ page: 'training', job: job.id }),
        (cause: unknown) => setError(messageOf(cause)),
      )
      .finally(() => setBusy(false));
  };
  return (
    <form class="card start" onSubmit={submit} aria-label="start a training run">
      <div class="card-head">
        <h2>Train a version</h2>
        <span class="spacer" />
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
      </div>
      <div class="fields">
        <VersionFields fields={fields} set={set} ready={ready} />
        <label>
          Label of the result
          <input
            value={fields.label}
            maxLength={64}
            placeholder="none"
            onInput={(e) => set({ label: e.currentTarget.value })}
          />
        </label>
      </div>
      {datasets.error !== undefined && <p class="error">{datasets.error}</p>}
      <DatasetFields fields={fields} set={set} all={datasets.items} />
      <ParameterFields fields={fields} set={set} />
      {error !== undefined && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      <button type="submit" disabled={busy}>
        {busy ? 'Starting…' : 'Start'}
      </button>
    </form>
  );
}

function VersionFields(props: { fields: JobFields; set: Set; ready: readonly Version[] }): JSX.Element {
  const { fields, set, ready } = props;
  const models = [...new Set(ready.map(({ model }) => model))].sort();
  const versions = ready.filter(({ model }) => model === fields.model).sort((a, b) => b.version - a.version);
  return (
    <>
      <label>
        Model
        <select value={fields.model} onChange={(e) => set(onModel(e.currentTarget.value, ready))}>
          {models.length === 0 && <option value="">no version is ready</option>}
          {models.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        Parent
        <select value={fields.parent} onChange={(e) => set({ parent: e.currentTarget.value })}>
          {versions.map(({ version, label }) => (
            <option key={version} value={String(version)}>
              {fields.model}@{version} {label === undefined ? '' : `(${label})`}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

function DatasetFields(props: { fields: JobFields; set: Set; all: readonly DatasetVersion[] }): JSX.Element {
  const { fields, set } = props;
  const all = props.all
    .filter(({ model }) => model === fields.model)
    .sort((a, b) => a.name.localeCompare(b.name) || b.version - a.version);
  if (all.length === 0) {
    return (
      <p class="reason">
        {fields.model === '' ? 'A model' : fields.model} has no dataset yet: label samples in the{' '}
        <Link to={{ page: 'review', tab: 'new', where: '' }}>review</Link> and freeze them.
      </p>
    );
  }
  const choice = (name: 'datasets' | 'slices', legend: string): JSX.Element => (
    <fieldset>
      <legend>{legend}</legend>
      {all.map((one) => {
        const spec = specOf(one);
        const chosen = fields[name];
        return (
          <label key={spec} class="check">
            <input
              type="checkbox"
              checked={chosen.includes(spec)}
              onChange={(e) =>
                set({ [name]: e.currentTarget.checked ? [...chosen, spec] : chosen.filter((other) => other !== spec) })
              }
            />
            {spec} <small>{name === 'datasets' ? one.counts.train : one.counts['held-out']}</small>
          </label>
        );
      })}
    </fieldset>
  );
  return (
    <div class="choices">
      {choice('datasets', 'Train on')}
      {choice('slices', 'Must not get worse on (held-out side)')}
    </div>
  );
}

function ParameterFields({ fields, set }: { fields: JobFields; set: Set }): JSX.Element {
  const number = (name: keyof JobFields['numbers'], label: string, placeholder: number | string): JSX.Element => (
    <label>
      {label}
      <input
        inputMode="decimal"
        value={fields.numbers[name] ?? ''}
        placeholder={String(placeholder)}
        onInput={(e) => set({ numbers: { ...fields.numbers, [name]: e.currentTarget.value } })}
      />
    </label>
  );
  const plain = (name: Exclude<NumberField, 'maxSteps'>, label: string): JSX.Element =>
    number(name, label, DEFAULT_PARAMETERS[name]);
  const choice = (name: 'optimizer' | 'schedule' | 'loss', label: string, values: readonly string[]): JSX.Element => (
    <label>
      {label}
      <select value={fields[name]} onChange={(e) => set({ [name]: e.currentTarget.value })}>
        {values.map((value) => (
          <option key={value}>{value}</option>
        ))}
      </select>
    </label>
  );
  return (
    <>
      <div class="fields">
        {plain('epochs', 'Epochs')}
        {plain('learningRate', 'Learning rate')}
        {plain('batchSize', 'Batch size')}
        <label class="wide">
          Frozen parameters
          <input
            value={fields.freeze}
            spellcheck={false}
            placeholder="none; conv* keeps all that begin so"
            onInput={(e) => set({ freeze: e.currentTarget.value })}
          />
        </label>
      </div>
      <More>
        {choice('optimizer', 'Optimizer', ['adamw', 'sgd'])}
        {choice('schedule', 'Schedule', ['cosine', 'linear', 'constant'])}
        {choice('loss', 'Loss', ['cross-entropy', 'mse'])}
        {number('maxSteps', 'At most steps', 'as the epochs say')}
        {plain('warmupSteps', 'Warm-up steps')}
        {plain('accumulate', 'Batches per update')}
        {plain('weightDecay', 'Weight decay')}
        {plain('momentum', 'Momentum (sgd)')}
        {plain('clipNorm', 'Largest gradient norm')}
        {plain('seed', 'Seed')}
        {number('threads', 'Threads', 'half of the cores')}
        {number('priority', 'Priority', DEFAULT_PRIORITY)}
        {number('maxDrop', 'Largest drop', DEFAULT_MAX_DROP)}
        <label class="check">
          <input
            type="checkbox"
            checked={fields.fromScratch}
            onChange={(e) => set({ fromScratch: e.currentTarget.checked })}
          />
          from random weights
        </label>
      </More>
    </>
  );
}

function More({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <details>
      <summary>More parameters</summary>
      <div class="fields">{children}</div>
    </details>
  );
}
