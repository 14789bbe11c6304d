// How often each label occurs, as bars; with the version before it as a thin mark, so that a shift is seen.
import type { JSX } from 'preact';

const LIMIT_BARS = 40;

type Counts = Readonly<Record<string, number>>;

export function LabelBars({ labels, before }: { labels: Counts; before: Counts | undefined }): JSX.Element {
  const names = [...new Set([...Object.keys(labels), ...Object.keys(before ?? {})])].sort((a, b) =>
    a.localeCompare(b, 'en', { numeric: true }),
  );
  const rare = names.length > LIMIT_BARS;
  const shownNames = rare ? [...names].sort((a, b) => (labels[b] ?? 0) - (labels[a] ?? 0)).slice(0, LIMIT_BARS) : names;
  const most = Math.max(1, ...Object.values(labels), ...Object.values(before ?? {}));
  const height = (count: number): { height: string } => ({ height: `${(100 * count) / most}%` });
  return (
    <>
      <ul class="bars" aria-label="samples per label">
        {shownNames.map((name) => {
          const count = labels[name] ?? 0;
          const earlier = before?.[name];
          const title = `${name}: ${count}${earlier === undefined ? '' : `, before ${earlier}`}`;
          return (
            <li key={name} title={title}>
              <small class="count">{count}</small>
              <span class="column" aria-hidden="true">
                <i style={height(count)} />
                {earlier !== undefined && <u style={{ bottom: height(earlier).height }} />}
              </span>
              <small class="name">{name}</small>
            </li>
          );
        })}
      </ul>
      {rare && (
        <small>
          the {LIMIT_BARS} most frequent of {names.length} labels
        </small>
      )}
    </>
  );
}
