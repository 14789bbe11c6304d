// One sample, large: what the device said and how sure it was, what the hub's model says, and the label that a person gives it.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { SampleView } from '@tidegate/shared/wire/data-api.js';
import { ago, bytes, ratio, shortDigest } from '../format.js';
import { Link } from '../link.js';
import type { Change, QueueItem } from './queue.js';
import { shown } from './queue.js';
import type { Pictures } from './pictures.js';
import { SamplePicture } from './sample-picture.js';

interface FocusPanelProps {
  readonly item: QueueItem;
  readonly pictures: Pictures;
  readonly classes: readonly string[];
  /** Key -> class. */
  readonly keys: ReadonlyMap<string, string>;
  readonly onChange: (change: Change) => void;
}

export function FocusPanel({ item, pictures, classes, keys, onChange }: FocusPanelProps): JSX.Element {
  const sample = shown(item);
  return (
    <article class="card focus" aria-label="the sample in focus">
      <div class="stage">
        <SamplePicture sample={item.server} pictures={pictures} alt={`input of ${sample.model}`} />
      </div>
      <div class="verdict">
        <StateLine item={item} />
        {item.error !== undefined && (
          <p class="error" role="alert">
            {item.error}
          </p>
        )}
        <Said who="device" label={sample.answer} confidence={sample.confidence} />
        <Proposal sample={sample} busy={item.inFlight > 0} onChange={onChange} />
        <Classes classes={classes} keys={keys} sample={sample} onChange={onChange} />
        <LabelForm sample={sample} onChange={onChange} />
        <div class="row">
          <button class="danger" disabled={sample.state === 'rejected'} onClick={() => onChange({ kind: 'reject' })}>
            Reject <kbd>x</kbd>
          </button>
          <button class="quiet" disabled={sample.state === 'new'} onClick={() => onChange({ kind: 'reopen' })}>
            Reopen <kbd>u</kbd>
          </button>
        </div>
      </div>
      <Facts sample={sample} />
    </article>
  );
}

function StateLine({ item }: { item: QueueItem }): JSX.Element {
  const { state, label, labelSource } = shown(item);
  const tone = state === 'labelled' ? 'good' : state === 'rejected' ? 'bad' : 'idle';
  return (
    <p class="state-line" aria-live="polite">
      <span class={`badge ${tone}`}>{state}</span> {state === 'labelled' && <b class="given">{label}</b>}
      {state === 'labelled' && labelSource !== undefined && <small> by {SOURCE[labelSource]}</small>}
      {item.inFlight > 0 && <small> saving…</small>}
    </p>
  );
}

const SOURCE: Readonly<Record<NonNullable<SampleView['labelSource']>, string>> = {
  person: 'a person',
  'hub-model': "the hub's model, accepted",
  import: 'its import',
};

function Said(props: { who: string; label: string | undefined; confidence: number | undefined }): JSX.Element {
  return (
    <p class="said">
      <small>{props.who}</small>
      <b>{props.label ?? '–'}</b>
      {props.confidence !== undefined && (
        <span>
          <meter min="0" max="1" value={props.confidence} aria-label={`confidence of the ${props.who}`} />{' '}
          {ratio(props.confidence)}
        </span>
      )}
    </p>
  );
}

function Proposal(props: { sample: SampleView; busy: boolean; onChange: (change: Change) => void }): JSX.Element {
  const { sample, busy, onChange } = props;
  const { proposal } = sample;
  if (proposal === undefined) {
    return (
      <p class="said">
        <small>hub</small>
        <button class="quiet" disabled={busy} onClick={() => onChange({ kind: 'propose' })}>
          Ask the hub's model <kbd>p</kbd>
        </button>
      </p>
    );
  }
  return (
    <>
      <Said who="hub" label={proposal.label} confidence={proposal.confidence} />
      <p class="row">
        <button disabled={sample.state === 'labelled'} onClick={() => onChange({ kind: 'accept' })}>
          Accept {proposal.label.length <= 24 && `“${proposal.label}”`} <kbd>Enter</kbd>
        </button>
        <small>
          {sample.model}@{proposal.version}
        </small>
      </p>
    </>
  );
}

function Classes(props: {
  classes: readonly string[];
  keys: ReadonlyMap<string, string>;
  sample: SampleView;
  onChange: (change: Change) => void;
}): JSX.Element | null {
  if (props.classes.length === 0) return null;
  const keyOf = new Map([...props.keys].map(([key, name]) => [name, key]));
  return (
    <div class="classes" role="group" aria-label="label as">
      {props.classes.map((name) => (
        <button
          key={name}
          class="choice"
          aria-pressed={props.sample.label === name}
          onClick={() => props.onChange({ kind: 'label', label: name })}
        >
          {name}
          {keyOf.has(name) && keyOf.get(name) !== name && <kbd>{keyOf.get(name)}</kbd>}
        </button>
      ))}
    </div>
  );
}

/** Begins with the best guess there is, since a text is rather corrected than typed. */
function LabelForm(props: { sample: SampleView; onChange: (change: Change) => void }): JSX.Element {
  const { sample, onChange } = props;
  const guess = sample.label ?? sample.proposal?.label ?? sample.answer ?? '';
  const [text, setText] = useState(guess);
  useEffect(() => setText(guess), [sample.id, guess]);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (text !== '') onChange({ kind: 'label', label: text });
    (document.activeElement as HTMLElement | null)?.blur();
  };
  return (
    <form class="row label-form" onSubmit={submit}>
      <label>
        <span class="hidden">label</span>
        <input
          id="label-text"
          value={text}
          maxLength={1000}
          placeholder="label"
          autocomplete="off"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => event.key === 'Escape' && event.currentTarget.blur()}
        />
      </label>
      <button type="submit" class="quiet" disabled={text === ''}>
        Set label <kbd>e</kbd>
      </button>
    </form>
  );
}

function Facts({ sample }: { sample: SampleView }): JSX.Element {
  const { model, version, device, deviceName, batch } = sample;
  const since = batch === undefined ? sample.capturedAt : sample.receivedAt; // a file says nothing of when
  return (
    <dl class="facts">
      <dt>reason</dt>
      <dd>{sample.reason}</dd>
      <dt>{batch === undefined ? 'device' : 'import'}</dt>
      <dd title={device}>{batch ?? deviceName ?? device ?? '–'}</dd>
      <dt>{batch === undefined ? 'captured' : 'imported'}</dt>
      <dd title={since}>{ago(since)}</dd>
      <dt>answered by</dt>
      <dd title={sample.variantDigest}>
        {version === undefined ? (
          model
        ) : (
          <Link to={{ page: 'lineage', model, version: String(version) }}>{`${model}@${version}`}</Link>
        )}
      </dd>
      <dt>inputs</dt>
      <dd>
        {sample.inputs.map(({ name, datatype, shape }) => `${name} ${datatype} [${shape.join(', ')}]`).join(', ')}
        {', '}
        {bytes(sample.sizeBytes)}
      </dd>
      <dt>sample</dt>
      <dd class="mono" title={sample.id}>
        {shortDigest(sample.id)}
      </dd>
    </dl>
  );
}
