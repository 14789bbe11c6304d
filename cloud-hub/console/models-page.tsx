// Models, their versions, and the variants' table: what was measured, which was chosen and why.
import type { JSX } from 'preact';
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import { ago, bytes, ms, ratio, shortDigest } from './format.js';
import { Link } from './link.js';
import type { LiveState } from './live-state.js';

const TONE: Readonly<Record<Version['state'], string>> = {
  validating: 'busy',
  optimizing: 'busy',
  ready: 'good',
  refused: 'bad',
};
const OUTCOME: Readonly<Record<Version['variants'][number]['outcome'], string>> = {
  chosen: 'good',
  kept: 'idle',
  refused: 'bad',
  'not-applicable': 'idle',
};

export function ModelsPage({ state }: { state: LiveState }): JSX.Element {
  if (state.versions.length === 0) {
    return (
      <p class="empty">
        No model yet. Publish one with <code>tidegate model publish DIR</code>.
      </p>
    );
  }
  const versions = [...state.versions].sort((a, b) => a.model.localeCompare(b.model) || b.version - a.version);
  return (
    <>
      {versions.map((version) => (
        <article class="card" key={`${version.model}@${version.version}`}>
          <div class="card-head">
            <h2>
              {version.model}@{version.version} {version.label !== undefined && <small>{version.label}</small>}
            </h2>
            <span class={`badge ${TONE[version.state]}`}>{version.state}</span>
            {version.evaluation?.passed === true && <span class="badge good">evaluation passed</span>}
            {version.evaluation?.passed === false && <span class="badge bad">may not roll out</span>}
            <span class="spacer" />
            <small class="mono" title={version.digest}>
              {shortDigest(version.digest)}
            </small>
            <small>
              {bytes(version.sizeBytes)} · {version.licence} · {ago(version.createdAt)}
            </small>
            <Link to={{ page: 'lineage', model: version.model, version: String(version.version) }} class="action">
              Lineage
            </Link>
          </div>
          {version.detail !== undefined && <p class="reason">{version.detail}</p>}
          {version.evaluation !== undefined && <p class="reason">{version.evaluation.reason}</p>}
          {version.variants.length > 0 && <VariantTable variants={version.variants} />}
        </article>
      ))}
    </>
  );
}

function VariantTable({ variants }: { variants: Version['variants'] }): JSX.Element {
  return (
    <table>
      <thead>
        <tr>
          <th>Variant</th>
          <th>Size</th>
          <th>Load</th>
          <th>p50</th>
          <th>p99</th>
          <th>Score</th>
          <th>Outcome</th>
          <th>Why</th>
        </tr>
      </thead>
      <tbody>
        {variants.map((variant) => (
          <tr key={`${variant.variant}/${variant.deviceClass}`}>
            <td class="name">
              <b>{variant.variant}</b>
            </td>
            <td class="figure-cell">{bytes(variant.sizeBytes)}</td>
            <td class="figure-cell">{ms(variant.loadMs)}</td>
            <td class="figure-cell">{ms(variant.latencyP50Ms)}</td>
            <td class="figure-cell">{ms(variant.latencyP99Ms)}</td>
            <td class="figure-cell">{ratio(variant.score)}</td>
            <td>
              <span class={`badge ${OUTCOME[variant.outcome]}`}>{variant.outcome}</span>
            </td>
            <td>
              <small>{variant.reason}</small>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
