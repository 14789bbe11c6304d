// What a version was made from, back to the samples: as a graph, and the facts of the node that was chosen; at first the version
// itself, which the hub names first.
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Lineage } from '@tidegate/shared/wire/training-api.js';
import { ago, messageOf, words } from '../format.js';
import type { HubClient } from '../hub-client.js';
import { Link } from '../link.js';
import type { Route } from '../route.js';
import { layoutLineage } from './layout.js';
import { LineageGraph } from './lineage-graph.js';
import './lineage.css';

type Node = Lineage['nodes'][number];

export function LineagePage(props: { client: HubClient; model: string; version: string }): JSX.Element {
  const { client, model, version } = props;
  const [lineage, setLineage] = useState<Lineage>();
  const [error, setError] = useState<string>();
  const [chosen, setChosen] = useState<string>();
  useEffect(() => {
    let gone = false;
    setLineage(undefined);
    setError(undefined);
    client.lineage(model, version).then(
      (known) => {
        if (gone) return;
        setLineage(known);
        setChosen(known.nodes[0]?.id);
      },
      (cause: unknown) => !gone && setError(messageOf(cause)),
    );
    return () => {
      gone = true;
    };
  }, [client, model, version]);
  const layout = useMemo(() => lineage && layoutLineage(lineage), [lineage]);
  const node = lineage?.nodes.find(({ id }) => id === chosen);
  return (
    <>
      <div class="card-head page-head">
        <h1>Lineage of {lineage?.nodes[0]?.title ?? `${model}@${version}`}</h1>
        <span class="spacer" />
        <small>from what it was made, left to right; choose a box for its facts</small>
      </div>
      {error !== undefined && <p class="error">{error}</p>}
      {layout === undefined && error === undefined && <p class="empty">Reading the lineage…</p>}
      {layout !== undefined && (
        <div class="lineage">
          <LineageGraph layout={layout} chosen={chosen} onChoose={setChosen} />
          {node !== undefined && <Facts node={node} here={lineage?.nodes[0]?.id} />}
        </div>
      )}
    </>
  );
}

function Facts({ node, here }: { node: Node; here: string | undefined }): JSX.Element {
  const { kind, title, facts } = node;
  const route = node.id === here ? undefined : routeOfNode(node);
  return (
    <aside class="card" aria-label="facts" aria-live="polite">
      <div class="card-head">
        <h2>
          {title} <small>{kind}</small>
        </h2>
        <span class="spacer" />
        {route !== undefined && (
          <Link to={route} class="action">
            Open
          </Link>
        )}
      </div>
      <dl class="facts">
        {Object.entries(facts).map(([name, value]) => (
          <>
            <dt>{words(name)}</dt>
            <dd class={String(value).startsWith('sha256:') ? 'mono' : ''} title={String(value)}>
              {/^\d{4}-\d\d-\d\dT/.test(String(value)) ? ago(String(value)) : value}
            </dd>
          </>
        ))}
      </dl>
    </aside>
  );
}

/** Ids say what they are of: `version:digits@2`, `job:j1`, `dataset:hard@1`, `samples:hard@1/device-1`. */
function routeOfNode({ id, kind }: Node): Route | undefined {
  const name = id.slice(id.indexOf(':') + 1);
  if (kind === 'job') return { page: 'training', job: name };
  if (kind === 'dataset') return { page: 'datasets' };
  const at = name.lastIndexOf('@');
  return kind === 'version' && at > 0
    ? { page: 'lineage', model: name.slice(0, at), version: name.slice(at + 1) }
    : undefined;
}
