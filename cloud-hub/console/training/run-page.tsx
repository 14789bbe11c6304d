// One training run, live: how far it is, how it learns, and in the end whether the result is better than its parent.
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Evaluation, Job, JobPoint } from '@tidegate/shared/wire/training-api.js';
import { Figure } from '../figure.js';
import { ago, bytes, duration, figure, messageOf, percent, words } from '../format.js';
import type { HubClient } from '../hub-client.js';
import { Link } from '../link.js';
import { useLiveList, type Live } from '../live-list.js';
import { withProgress } from './chart-points.js';
import { DEFAULT_PARAMETERS } from './job-form.js';
import { isOpen, mayCancel, shareDone, TONE } from './job-state.js';
import { RunChart } from './run-chart.js';

export function RunPage({ id, live, client }: { id: string; live: Live; client: HubClient }): JSX.Element {
  const { items, loading, error } = useLiveList(
    live,
    useMemo(
      () => ({
        read: async () => [await client.job(id)],
        pick: (event) => (event.kind === 'job' && event.job.id === id ? event.job : undefined),
        key: (job: Job) => job.id,
      }),
      [client, id],
    ),
  );
  const [job] = items;
  const { points, error: pointsError } = usePoints(job, live, client);
  const back = <Link to={{ page: 'training' }}>all runs</Link>;
  if (job === undefined) {
    return loading ? (
      <p class="empty">Reading the run…</p>
    ) : (
      <p class="error">
        {error} ({back})
      </p>
    );
  }
  return (
    <>
      <Head job={job} client={client} />
      {pointsError !== undefined && <p class="error">{pointsError}</p>}
      <Charts job={job} points={points} />
      {job.evaluation !== undefined && <EvaluationTable evaluation={job.evaluation} job={job} />}
      <Order job={job} />
      <p>{back}</p>
    </>
  );
}

/** Read anew after each reconnection and when the run's state changes; between those, continued by the run's own progress. */
function usePoints(
  job: Job | undefined,
  live: Live,
  client: HubClient,
): { points: readonly JobPoint[]; error?: string } {
  const [known, setKnown] = useState<{ points: readonly JobPoint[]; error?: string }>({ points: [] });
  const { id, state, progress } = job ?? {};
  useEffect(() => {
    if (id === undefined || !live.connected) return undefined;
    let gone = false;
    client.points(id).then(
      (points) => {
        const last = points.at(-1)?.step ?? -1;
        if (!gone) setKnown((old) => ({ points: [...points, ...old.points.filter(({ step }) => step > last)] }));
      },
      (cause: unknown) => {
        if (!gone) setKnown((old) => ({ ...old, error: messageOf(cause) }));
      },
    );
    return () => {
      gone = true;
    };
  }, [id, state, live.connected, client]);
  useEffect(() => {
    if (progress !== undefined) setKnown((old) => ({ ...old, points: withProgress(old.points, progress) }));
  }, [progress]);
  return known;
}

function Head({ job, client }: { job: Job; client: HubClient }): JSX.Element {
  const [error, setError] = useState<string>();
  const cancel = (): void => {
    if (!confirm(`Cancel ${job.id}? What it has learned is lost.`)) return;
    client.cancelJob(job.id).then(
      () => setError(undefined),
      (cause: unknown) => setError(messageOf(cause)),
    );
  };
  const { progress, model, version } = job;
  return (
    <article class="card run" aria-label={`run ${job.id}`}>
      <div class="card-head">
        <h2>
          run {job.id}{' '}
          <small>
            from {model}@{job.parent}
          </small>
        </h2>
        <span class={`badge ${TONE[job.state]}`}>{job.state}</span>
        {version !== undefined && (
          <span>
            made{' '}
            <b>
              {model}@{version}
            </b>
          </span>
        )}
        <span class="spacer" />
        {version !== undefined && (
          <>
            <Link to={{ page: 'models' }} class="action">
              Version
            </Link>
            <Link to={{ page: 'lineage', model, version: String(version) }} class="action">
              Lineage
            </Link>
          </>
        )}
        {mayCancel(job) && (
          <button class="danger" onClick={cancel}>
            Cancel
          </button>
        )}
      </div>
      <p class="reason" role="status">
        {job.detail ?? whatNow(job)}
      </p>
      {error !== undefined && <p class="error">{error}</p>}
      <progress class={TONE[job.state]} max="1" value={shareDone(job)} aria-label="progress" />
      <section class="figures">
        <Figure value={progress === undefined ? '–' : `${progress.step} / ${progress.steps}`} label="steps" />
        <Figure
          value={progress === undefined ? '–' : progress.epoch.toFixed(1)}
          label={`of ${job.parameters.epochs} epochs`}
        />
        <Figure
          value={isOpen(job) ? duration(progress?.secondsLeft) : tookOf(job)}
          label={isOpen(job) ? 'left' : 'took'}
        />
        <Figure value={figure(progress?.samplesPerSecond)} label="samples/s" />
        <Figure
          value={percent(progress?.waitShare)}
          label="waiting for data"
          tone={(progress?.waitShare ?? 0) > 0.2 ? 'warn' : undefined}
        />
        <Figure value={bytes(progress?.rssBytes)} label="memory" />
      </section>
      {(progress?.resumedFromStep ?? 0) > 0 && (
        <p class="notice">Its process ended once; it went on from step {progress?.resumedFromStep}.</p>
      )}
    </article>
  );
}

function whatNow({ state, priority }: Job): string {
  switch (state) {
    case 'queued':
      return `waits for its turn, priority ${priority}`;
    case 'preempted':
      return 'saved, and waits until a run of higher priority is done';
    case 'publishing':
      return 'the result is published and measured';
    default:
      return '';
  }
}

function tookOf({ startedAt, endedAt }: Job): string {
  if (startedAt === undefined || endedAt === undefined) return '–';
  return duration((Date.parse(endedAt) - Date.parse(startedAt)) / 1000);
}

function Charts({ job, points }: { job: Job; points: readonly JobPoint[] }): JSX.Element {
  const columns = useMemo(
    () => ({
      steps: points.map(({ step }) => step),
      loss: points.map(({ loss }) => loss),
      metric: points.map(({ metric }) => metric),
      rate: points.map(({ learningRate }) => learningRate),
    }),
    [points],
  );
  if (points.length < 2)
    return <p class="empty">{isOpen(job) ? 'The charts begin with the second point.' : 'No points.'}</p>;
  const { steps } = columns;
  return (
    <section class="run-charts" aria-label="charts">
      <RunChart title="loss" steps={steps} values={columns.loss} noisy />
      {columns.metric.some((value) => value !== undefined) && (
        <RunChart title="accuracy in training" steps={steps} values={columns.metric} range={[0, 1]} noisy />
      )}
      <RunChart title="learning rate" steps={steps} values={columns.rate} noisy={false} />
    </section>
  );
}

function EvaluationTable({ evaluation, job }: { evaluation: Evaluation; job: Job }): JSX.Element {
  return (
    <article class="card" aria-label="evaluation">
      <div class="card-head">
        <h2>Against its parent</h2>
        <span class={`badge ${evaluation.passed ? 'good' : 'bad'}`}>{evaluation.passed ? 'passed' : 'not passed'}</span>
      </div>
      <p class="reason">{evaluation.reason}</p>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Set</th>
              <th>Role</th>
              <th>Samples</th>
              <th>Measure</th>
              <th>
                {job.model}@{job.parent}
              </th>
              <th>{job.version === undefined ? 'result' : `${job.model}@${job.version}`}</th>
              <th>Change</th>
            </tr>
          </thead>
          <tbody>
            {evaluation.sets.map((set) => {
              const share = set.metric === 'accuracy';
              const show = (value: number): string => (share ? percent(value, 2) : figure(value));
              const change = set.result - set.parent;
              const better = share ? change >= 0 : change <= 0;
              return (
                <tr key={`${set.role} ${set.dataset}`}>
                  <td class="name">{set.dataset}</td>
                  <td>{set.role}</td>
                  <td>{set.count}</td>
                  <td>{set.metric.replaceAll('-', ' ')}</td>
                  <td class="figure-cell">{show(set.parent)}</td>
                  <td class="figure-cell">
                    <b>{show(set.result)}</b>
                  </td>
                  <td class={`figure-cell ${better ? 'better' : 'worse'}`}>
                    {change >= 0 ? '+' : '−'}
                    {share ? `${(Math.abs(change) * 100).toFixed(2)} points` : figure(Math.abs(change))}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </article>
  );
}

/** What was ordered; a parameter that is not the default stands out. */
function Order({ job }: { job: Job }): JSX.Element {
  const defaults: Readonly<Record<string, unknown>> = DEFAULT_PARAMETERS;
  const sets = (all: Job['datasets']): string => (all.length === 0 ? '–' : all.map(({ spec }) => spec).join(', '));
  return (
    <article class="card" aria-label="order">
      <h2>What was ordered</h2>
      <dl class="order">
        <dt>trained on</dt>
        <dd>{sets(job.datasets)}</dd>
        <dt>slices</dt>
        <dd>{sets(job.slices)}</dd>
        <dt>by</dt>
        <dd title={job.createdAt}>
          {job.createdBy}, {ago(job.createdAt)}
        </dd>
        <dt>threads</dt>
        <dd>{job.threads}</dd>
        {Object.entries(job.parameters).map(([name, value]) => {
          const text = Array.isArray(value) ? shownList(value) : String(value);
          const changed = JSON.stringify(value) !== JSON.stringify(defaults[name]);
          return (
            <>
              <dt>{words(name)}</dt>
              <dd>{changed ? <b>{text}</b> : text}</dd>
            </>
          );
        })}
      </dl>
    </article>
  );
}

function shownList(values: readonly (string | { pattern: string; factor: number })[]): string {
  if (values.length === 0) return '–';
  return values.map((one) => (typeof one === 'string' ? one : `${one.pattern} × ${one.factor}`)).join(', ');
}
