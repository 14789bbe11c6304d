// Review: samples one after another, each with what the device said, until each has a label or is rejected. Made for the keyboard:
// a class's key labels, Enter accepts what the hub's model proposes, x rejects, u takes back, p asks the hub, e edits, arrows move.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { SampleSummary } from '@tidegate/shared/wire/data-api.js';
import { messageOf } from '../format.js';
import type { HubClient } from '../hub-client.js';
import type { LiveState } from '../live-state.js';
import type { ReviewTab } from '../route.js';
import { classesOf, keysOf } from './classes.js';
import { FilterBar } from './filter-bar.js';
import { FocusPanel } from './focus-panel.js';
import { FreezeForm } from './freeze-form.js';
import { Pictures } from './pictures.js';
import { shown, tally, type Change, type Queue } from './queue.js';
import './review.css';
import { columnsOf, SampleGrid } from './sample-grid.js';
import { useReview, type Review } from './use-review.js';
import { useSummary } from './use-summary.js';
import { queryOf } from './where.js';

interface ReviewPageProps {
  readonly state: LiveState;
  readonly client: HubClient;
  readonly tab: ReviewTab;
  readonly where: string;
}

export function ReviewPage({ state, client, tab, where }: ReviewPageProps): JSX.Element {
  const review = useReview(client, state, queryOf(tab, where));
  const summary = useSummary(client, state, where);
  const pictures = useMemo(() => new Pictures(client), [client]);
  useEffect(() => () => pictures.close(), [pictures]);
  const [freezing, setFreezing] = useState(false);
  const models = [...new Set(state.versions.map(({ model }) => model))].sort();
  const { queue, loading, error, arrived } = review;
  const seen = useMemo(() => labelsOf(summary), [summary]);
  return (
    <div class="review">
      <div class="review-head">
        <FilterBar summary={summary} tab={tab} where={where} models={models} />
        <button class="quiet" aria-expanded={freezing} onClick={() => setFreezing(!freezing)}>
          Freeze as dataset…
        </button>
      </div>
      {freezing && (
        <FreezeForm
          client={client}
          from={where === '' && models.length === 1 ? `model=${models[0]}` : where}
          onClose={() => setFreezing(false)}
        />
      )}
      {error !== undefined && (
        <p class="error" role="alert">
          {error}{' '}
          <button class="quiet" onClick={review.reload}>
            Try again
          </button>
        </p>
      )}
      {arrived > 0 && (
        <p class="notice" role="status">
          {arrived === 1 ? 'A sample has' : `${arrived} samples have`} come in.{' '}
          <button class="quiet" onClick={review.reload}>
            Read the list again
          </button>
        </p>
      )}
      {queue.items.length > 0 ? (
        <Desk review={review} pictures={pictures} seen={seen}>
          <AskAll client={client} where={queryOf(tab, where)} queue={queue} />
        </Desk>
      ) : (
        error === undefined && (loading ? <p class="empty">Reading samples…</p> : <Nothing tab={tab} where={where} />)
      )}
    </div>
  );
}

/** Of one model; those of several together would be nobody's classes. */
function labelsOf(summary: SampleSummary | undefined): readonly string[] {
  if (summary === undefined || Object.keys(summary.models).length > 1) return [];
  return Object.keys({ ...summary.labels, ...summary.answers });
}

function Nothing({ tab, where }: { tab: ReviewTab; where: string }): JSX.Element {
  if (where !== '')
    return <p class="empty">No sample {tab === 'all' ? '' : `that is ${tab} `}fulfils this condition.</p>;
  if (tab === 'labelled' || tab === 'rejected') return <p class="empty">No sample is {tab}.</p>;
  return (
    <p class="empty">
      No sample to look at. Devices send what they were unsure of where the model's package says{' '}
      <code>{'privacy: { capture: hub }'}</code>; pictures that you have are brought in with{' '}
      <code>tidegate dataset import</code>.
    </p>
  );
}

/** The picture in focus beside the queue, and the keys for both. */
function Desk(props: {
  review: Review;
  pictures: Pictures;
  /** Labels and answers that other samples have. */
  seen: readonly string[];
  children: ComponentChildren;
}): JSX.Element {
  const { review, pictures, seen } = props;
  const { queue, loading } = review;
  const model = queue.items[queue.at]?.server.model;
  const classes = useMemo(
    () =>
      classesOf(
        queue.items.map(shown).filter((one) => one.model === model),
        seen,
      ),
    [queue.items, seen, model],
  );
  const keys = useMemo(() => keysOf(classes), [classes]);
  const item = queue.items[queue.at];
  const grid = useRef<HTMLDivElement>(null);
  const change = (wanted: Change): void => {
    if (item !== undefined) review.change(item.server.id, wanted);
  };
  // Effects run after the next frame; two keys may come within one, and the second must find what the first has changed.
  const context = useRef<KeyContext>();
  context.current = { review, keys, columns: () => columnsOf(grid.current?.firstElementChild ?? null) };
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const act = context.current && actionOf(event, context.current);
      if (act === undefined) return;
      event.preventDefault();
      act();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <div class="desk">
      {item !== undefined && (
        <FocusPanel item={item} pictures={pictures} classes={classes} keys={keys} onChange={change} />
      )}
      <section class="queue" ref={grid} aria-label="queue">
        <SampleGrid queue={queue} pictures={pictures} onSelect={review.select} />
        <div class="queue-foot">
          <Counts queue={queue} />
          <span class="spacer" />
          {props.children}
          {queue.nextCursor !== undefined && (
            <button class="quiet" disabled={loading} onClick={review.more}>
              {loading ? 'Reading…' : 'Show more'}
            </button>
          )}
        </div>
        <Failures queue={queue} onSelect={review.select} />
      </section>
    </div>
  );
}

/** Proposals come back as live events, sample by sample; what they could not be had for is said here. */
function AskAll(props: { client: HubClient; where: string; queue: Queue }): JSX.Element | null {
  const { client, where, queue } = props;
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState('');
  const unasked = queue.items.filter((one) => shown(one).state === 'new' && shown(one).proposal === undefined).length;
  const ask = (): void => {
    setBusy(true);
    client
      .proposeAll(where)
      .then(
        ({ failed, failures, more }) => {
          const why = failed === 0 ? '' : `${failed} could not be answered: ${failures[0]?.reason ?? ''}. `;
          setSaid(`${why}${more ? 'Some are left; ask again.' : ''}`);
        },
        (cause: unknown) => setSaid(messageOf(cause)),
      )
      .finally(() => setBusy(false));
  };
  return (
    <>
      <small role="status">{said}</small>
      {unasked > 0 && (
        <button class="quiet" disabled={busy} onClick={ask}>
          {busy ? 'Asking…' : "Ask the hub's model about all"}
        </button>
      )}
    </>
  );
}

function Counts({ queue }: { queue: Queue }): JSX.Element {
  const counts = tally(queue);
  return (
    <small role="status">
      {queue.items.length}
      {queue.nextCursor === undefined ? '' : ' and more'}: {counts.new} new, {counts.labelled} labelled,{' '}
      {counts.rejected} rejected
    </small>
  );
}

/** A change that the hub refused is easily missed once the focus has gone on. */
function Failures({ queue, onSelect }: { queue: Queue; onSelect: (at: number) => void }): JSX.Element | null {
  const failed = queue.items.flatMap((item, at) => (item.error === undefined ? [] : [{ at, error: item.error }]));
  const [first] = failed;
  if (first === undefined) return null;
  return (
    <p class="error" role="alert">
      {failed.length === 1 ? 'A change was not taken' : `${failed.length} changes were not taken`}: {first.error}{' '}
      <button class="quiet" onClick={() => onSelect(first.at)}>
        Show it
      </button>
    </p>
  );
}

interface KeyContext {
  readonly review: Review;
  readonly keys: ReadonlyMap<string, string>;
  readonly columns: () => number;
}

/** What a key does; undefined where it is not the page's: while someone types, and Enter or space on a button or link. */
function actionOf(event: KeyboardEvent, { review, keys, columns }: KeyContext): (() => void) | undefined {
  const target = event.target instanceof HTMLElement ? event.target : undefined;
  if (event.ctrlKey || event.metaKey || event.altKey || target?.closest('input, select, textarea')) return undefined;
  const { queue } = review;
  const item = queue.items[queue.at];
  if (item === undefined) return undefined;
  const sample = shown(item);
  const change = (wanted: Change): (() => void) => {
    return () => review.change(sample.id, wanted);
  };
  const move = (by: number): (() => void) => {
    return () => review.select(queue.at + by);
  };
  if (event.repeat && !event.key.startsWith('Arrow')) return undefined; // a key held too long decides one sample, not the queue
  const label = keys.get(event.key);
  if (label !== undefined) return change({ kind: 'label', label });
  switch (event.key) {
    case 'ArrowRight':
      return move(1);
    case 'ArrowLeft':
      return move(-1);
    case 'ArrowDown':
      return move(columns());
    case 'ArrowUp':
      return move(-columns());
    case 'Enter':
      if (target?.closest('button, a, summary') || sample.proposal === undefined || sample.state === 'labelled')
        return undefined;
      return change({ kind: 'accept' });
    case 'x':
      return sample.state === 'rejected' ? undefined : change({ kind: 'reject' });
    case 'p':
      return item.inFlight > 0 ? undefined : change({ kind: 'propose' });
    case 'u': {
      const last = queue.decided.at(-1) ?? (sample.state === 'new' ? undefined : sample.id);
      return last === undefined ? undefined : () => review.change(last, { kind: 'reopen' });
    }
    case 'e':
      return () => document.querySelector<HTMLInputElement>('#label-text')?.select();
    default:
      return undefined;
  }
}
