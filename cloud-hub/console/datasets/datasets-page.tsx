// Datasets and their frozen versions: what each holds, on which side, and how it differs from the version before it.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { DatasetVersion } from '@tidegate/shared/wire/data-api.js';
import { ago, bytes, messageOf, percent, shortDigest } from '../format.js';
import type { HubClient } from '../hub-client.js';
import { Link } from '../link.js';
import { useLiveList, type Live } from '../live-list.js';
import { datasetVersions, specOf } from './dataset-versions.js';
import './datasets.css';
import { LabelBars } from './label-bars.js';

export function DatasetsPage({ live, client }: { live: Live; client: HubClient }): JSX.Element {
  const { items, loading, error } = useLiveList(
    live,
    useMemo(() => datasetVersions(client), [client]),
  );
  if (error !== undefined) return <p class="error">{error}</p>;
  if (items.length === 0) {
    return (
      <p class="empty">
        {loading ? (
          'Reading datasets…'
        ) : (
          <>
            No dataset yet. Label samples in the <Link to={{ page: 'review', tab: 'new', where: '' }}>review</Link> and
            freeze them there, or with{' '}
            <code>tidegate dataset create NAME --from 'model=digits and confidence&lt;0.8'</code>.
          </>
        )}
      </p>
    );
  }
  const names = [...new Set(items.map(({ name }) => name))].sort();
  return (
    <>
      {names.map((name) => {
        const versions = items.filter((one) => one.name === name).sort((a, b) => b.version - a.version);
        return versions.map((one, i) => (
          <DatasetCard key={specOf(one)} client={client} dataset={one} before={versions[i + 1]} />
        ));
      })}
    </>
  );
}

function DatasetCard(props: {
  client: HubClient;
  dataset: DatasetVersion;
  before: DatasetVersion | undefined;
}): JSX.Element {
  const { client, dataset, before } = props;
  const { counts, count } = dataset;
  return (
    <article class="card dataset" aria-label={specOf(dataset)}>
      <div class="card-head">
        <h2>
          {specOf(dataset)} <small>for {dataset.model}</small>
        </h2>
        <span class="spacer" />
        <small class="mono" title={dataset.digest}>
          {shortDigest(dataset.digest)}
        </small>
        <small title={dataset.createdAt}>
          {bytes(dataset.sizeBytes)} · {ago(dataset.createdAt)}
        </small>
        <Link to={{ page: 'training', dataset: specOf(dataset) }} class="action">
          Train on it
        </Link>
      </div>
      <p class="reason">
        <code>{dataset.from}</code>
      </p>
      <div class="sides">
        <div class="side-bar" aria-hidden="true">
          <i class="train" style={{ flexGrow: counts.train }} />
          <i class="held-out" style={{ flexGrow: counts['held-out'] }} />
        </div>
        <p>
          <b>{count}</b> {count === 1 ? 'sample' : 'samples'}: <b class="train">{counts.train}</b> to train,{' '}
          <b class="held-out">{counts['held-out']}</b> held out ({percent(dataset.heldOut, 0)} asked for)
          {dataset.unlabelled > 0 && <>, {dataset.unlabelled} without a label left out</>}
          {dataset.contradicted !== undefined && (
            <>, {dataset.contradicted} left out for a later label of equal inputs</>
          )}
          {before !== undefined && <>. {changeOf(dataset, before)}</>}
        </p>
      </div>
      {before !== undefined && <Diff client={client} before={before} after={dataset} />}
      <LabelBars labels={dataset.labels} before={before?.labels} />
    </article>
  );
}

/** Two manifests are compared on the hub, so it is asked only when someone wants to know. */
function Diff(props: { client: HubClient; before: DatasetVersion; after: DatasetVersion }): JSX.Element {
  const { client, before, after } = props;
  const [known, setKnown] = useState<string>();
  const ask = (): void => {
    client.datasetDiff(after.name, before.version, after.version).then(
      ({ added, removed, relabelled }) =>
        setKnown(`${added.length} added, ${removed.length} removed, ${relabelled.length} labelled differently.`),
      (cause: unknown) => setKnown(messageOf(cause)),
    );
  };
  return (
    <p class="diff" aria-live="polite">
      {known ?? (
        <button class="chip" onClick={ask}>
          what changed since {specOf(before)}
        </button>
      )}
    </p>
  );
}

function changeOf(after: DatasetVersion, before: DatasetVersion): string {
  if (after.digest === before.digest) return `The same as ${specOf(before)}.`;
  const more = after.count - before.count;
  const size = more === 0 ? 'As many' : `${Math.abs(more)} ${more > 0 ? 'more' : 'fewer'}`;
  return `${size} ${more === 0 ? 'as' : 'than'} in ${specOf(before)}.`;
}
