// Freezes the samples that a query picks as a dataset version, and shows what came of it.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { DatasetVersion } from '@tidegate/shared/wire/data-api.js';
import { specOf } from '../datasets/dataset-versions.js';
import { messageOf, percent } from '../format.js';
import type { HubClient } from '../hub-client.js';
import { Link } from '../link.js';

export function FreezeForm(props: { client: HubClient; from: string; onClose: () => void }): JSX.Element {
  const [name, setName] = useState('');
  const [from, setFrom] = useState(props.from);
  const [heldOut, setHeldOut] = useState('20');
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState<DatasetVersion | { readonly error: string }>();
  useEffect(() => setFrom(props.from), [props.from]);
  const submit = (event: Event): void => {
    event.preventDefault();
    setBusy(true);
    props.client
      .createDataset({ name: name.trim(), from: from.trim(), heldOut: Number(heldOut) / 100 })
      .then(setOutcome, (cause: unknown) => setOutcome({ error: messageOf(cause) }))
      .finally(() => setBusy(false));
  };
  return (
    <form class="card freeze" onSubmit={submit} aria-label="freeze as dataset">
      <div class="card-head">
        <h2>Freeze as dataset</h2>
        <span class="spacer" />
        <button type="button" class="quiet" onClick={props.onClose}>
          Close
        </button>
      </div>
      <p class="reason">
        Takes the labelled samples that the query picks, as they are now, for ever. Which side a sample stands on
        follows from its inputs, so it never changes sides.
      </p>
      <div class="fields">
        <label>
          Name
          <input
            required
            pattern="[a-z0-9][a-z0-9._\-]{0,62}"
            title="1 to 63 of a-z 0-9 . _ - and begins with a letter or digit"
            value={name}
            placeholder="hard"
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <label class="wide">
          Samples
          <input
            required
            value={from}
            spellcheck={false}
            placeholder="model=digits and confidence<0.8"
            onInput={(event) => setFrom(event.currentTarget.value)}
          />
        </label>
        <label>
          Held out, %
          <input
            type="number"
            required
            min="0"
            max="100"
            step="any"
            value={heldOut}
            onInput={(event) => setHeldOut(event.currentTarget.value)}
          />
        </label>
        <button type="submit" disabled={busy}>
          {busy ? 'Freezing…' : 'Freeze'}
        </button>
      </div>
      <div aria-live="polite">{outcome !== undefined && <Outcome outcome={outcome} />}</div>
    </form>
  );
}

function Outcome({ outcome }: { outcome: DatasetVersion | { readonly error: string } }): JSX.Element {
  if ('error' in outcome) return <p class="error">{outcome.error}</p>;
  const { count, counts, unlabelled } = outcome;
  const spec = specOf(outcome);
  return (
    <p class="success">
      <b>{spec}</b> holds {count} samples: {counts.train} to train, {counts['held-out']} held out (
      {percent(count === 0 ? 0 : counts['held-out'] / count, 0)}).{' '}
      {unlabelled > 0 && `${unlabelled} more have no label and were left out. `}
      <Link to={{ page: 'datasets' }}>Datasets</Link> ·{' '}
      <Link to={{ page: 'training', dataset: spec }}>Train on it</Link>
    </p>
  );
}
