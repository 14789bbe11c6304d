// Which samples are looked at: the state as tabs, the rest as text in the language of `tidegate dataset create --from`.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { SampleSummary } from '@tidegate/shared/wire/data-api.js';
import { go, Link } from '../link.js';
import { REVIEW_TABS, type ReviewTab } from '../route.js';
import { narrowed } from './where.js';

/** With what a reviewer may want to look at in mind. */
const EXAMPLES = ['confidence<0.6', 'reason=random-share', 'captured>1d', 'label=*'] as const;

interface FilterBarProps {
  /** How many samples that fulfil the condition stand in each state, once known. */
  readonly summary: SampleSummary | undefined;
  readonly tab: ReviewTab;
  readonly where: string;
  readonly models: readonly string[];
}

export function FilterBar({ summary, tab, where, models }: FilterBarProps): JSX.Element {
  const [text, setText] = useState(where);
  useEffect(() => setText(where), [where]);
  const apply = (next: string): void => go({ page: 'review', tab, where: next.trim() });
  const examples = [...models.map((name) => `model=${name}`), ...EXAMPLES];
  return (
    <div class="filter">
      <nav class="tabs" aria-label="state of the samples">
        {REVIEW_TABS.map((name) => (
          <Link key={name} to={{ page: 'review', tab: name, where }} current={name === tab}>
            {name} {summary !== undefined && <small>{countOf(summary, name)}</small>}
          </Link>
        ))}
      </nav>
      <form
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          apply(text);
        }}
      >
        <label>
          <span class="hidden">which samples</span>
          <input
            type="search"
            value={text}
            spellcheck={false}
            placeholder="all samples; narrow them: model=digits and confidence<0.8"
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <button type="submit">Show</button>
      </form>
      <p class="examples">
        <small>for example</small>
        {examples.map((example) => (
          <button key={example} class="chip" onClick={() => apply(narrowed(text.trim(), example))}>
            {example}
          </button>
        ))}
      </p>
    </div>
  );
}

/** With a `+` where only the newest samples were counted. */
function countOf({ count, more, states }: SampleSummary, tab: ReviewTab): string {
  return `${tab === 'all' ? count : (states[tab] ?? 0)}${more ? '+' : ''}`;
}
