// Training: the runs, the newest first, and the form that starts one; or one run alone.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { Job } from '@tidegate/shared/wire/training-api.js';
import { ago, duration, figure, percent } from '../format.js';
import type { HubClient } from '../hub-client.js';
import { Link } from '../link.js';
import { useLiveList } from '../live-list.js';
import type { LiveState } from '../live-state.js';
import { jobList } from './job-list.js';
import { isOpen, shareDone, TONE } from './job-state.js';
import { RunPage } from './run-page.js';
import { StartForm } from './start-form.js';
import './training.css';

interface TrainingPageProps {
  readonly state: LiveState;
  readonly client: HubClient;
  readonly job: string | undefined;
  readonly dataset: string | undefined;
}

export function TrainingPage({ job, ...rest }: TrainingPageProps): JSX.Element {
  if (job !== undefined) return <RunPage key={job} id={job} live={rest.state} client={rest.client} />;
  return <Runs {...rest} />;
}

function Runs({ state, client, dataset }: Omit<TrainingPageProps, 'job'>): JSX.Element {
  const list = useLiveList(
    state,
    useMemo(() => jobList(client), [client]),
  );
  const [starting, setStarting] = useState<boolean>();
  const jobs = [...list.items].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  return (
    <>
      {(starting ?? (dataset !== undefined || (jobs.length === 0 && !list.loading))) ? (
        <StartForm key={dataset} state={state} client={client} dataset={dataset} onClose={() => setStarting(false)} />
      ) : (
        <div class="card-head page-head">
          <span class="spacer" />
          <button onClick={() => setStarting(true)}>Train a version…</button>
        </div>
      )}
      {list.error !== undefined && <p class="error">{list.error}</p>}
      {jobs.length === 0 && list.error === undefined && (
        <p class="empty">
          {list.loading ? (
            'Reading runs…'
          ) : (
            <>
              No run yet. Start one here or with <code>tidegate train --model digits --parent 1 --dataset hard@1</code>.
            </>
          )}
        </p>
      )}
      {jobs.length > 0 && (
        <div class="scroll">
          <JobTable jobs={jobs} />
        </div>
      )}
    </>
  );
}

function JobTable({ jobs }: { jobs: readonly Job[] }): JSX.Element {
  return (
    <table>
      <thead>
        <tr>
          <th>Run</th>
          <th>From, on</th>
          <th>State</th>
          <th>Progress</th>
          <th>Loss</th>
          <th>Result</th>
          <th>Made</th>
        </tr>
      </thead>
      <tbody>
        {jobs.map((job) => (
          <tr key={job.id}>
            <td class="name">
              <Link to={{ page: 'training', job: job.id }}>{job.id}</Link>
            </td>
            <td>
              {job.model}@{job.parent} <small>on {job.datasets.map(({ spec }) => spec).join(', ')}</small>
            </td>
            <td>
              <span class={`badge ${TONE[job.state]}`}>{job.state}</span>
              {job.state === 'failed' && (
                <small class="why">
                  <br />
                  {job.detail}
                </small>
              )}
            </td>
            <td class="progress-cell">
              <Progress job={job} />
            </td>
            <td class="figure-cell">{figure(job.progress?.loss)}</td>
            <td>{job.version === undefined ? '–' : <Outcome job={job} version={job.version} />}</td>
            <td class="figure-cell" title={job.createdAt}>
              {ago(job.createdAt)}
              <br />
              <small>{job.createdBy}</small>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Outcome({ job, version }: { job: Job; version: number }): JSX.Element {
  return (
    <>
      <Link to={{ page: 'lineage', model: job.model, version: String(version) }}>{`${job.model}@${version}`}</Link>{' '}
      {job.evaluation !== undefined && (
        <span class={`badge ${job.evaluation.passed ? 'good' : 'bad'}`} title={job.evaluation.reason}>
          {job.evaluation.passed ? 'passed' : 'not passed'}
        </span>
      )}
    </>
  );
}

function Progress({ job }: { job: Job }): JSX.Element {
  const share = shareDone(job);
  return (
    <>
      <progress class={TONE[job.state]} max="1" value={share} aria-label={`progress of ${job.id}`} />
      <small>
        {percent(share, 0)}
        {isOpen(job) && job.progress?.secondsLeft !== undefined && `, ${duration(job.progress.secondsLeft)} left`}
      </small>
    </>
  );
}
