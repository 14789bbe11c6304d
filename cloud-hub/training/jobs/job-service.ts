// Training jobs as the admin API sees them: asked for, listed, cancelled; and what follows when one is done: its result is judged, becomes
// a version by the registry's own way, and the job has succeeded once that version is ready. Running them is job-places.ts'.
import { randomBytes } from 'node:crypto';
import { isDiskFull } from '@tidegate/shared/content/content-error.js';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { CreateJob, Evaluation, Job, JobPoint, JobState } from '@tidegate/shared/wire/training-api.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { RegistryError } from '../../registry/registry-error.js';
import type { RecordAudit } from '../../security/audit.js';
import { isNoSpace } from '../../data/data-error.js';
import type { Database } from '../../storage/database.js';
import type { JobResult } from '../job-process/job-order.js';
import { versionMadeBy } from '../lineage/lineage-rows.js';
import { JobError } from './job-error.js';
import type { JobFolders } from './job-folders.js';
import { JobPlaces, SYSTEM, type JobPlacesOptions } from './job-places.js';
import { jobOfKey, rememberKey } from './job-keys.js';
import {
  changeJob,
  findJob,
  insertJob,
  jobsInState,
  listJobs,
  OPEN_STATES,
  pointsOf,
  showJob,
  trimPoints,
  type JobChange,
  type JobRecord,
} from './job-store.js';
import { judgeResult } from './judge-result.js';
import { publishResult, settledVersion, type PublishResultModules } from './publish-result.js';
import { folderOf, resolveRequest, type RequestDefaults } from './resolve-request.js';

/** Jobs that may be open at once. */
const LIMIT_OPEN_JOBS = 1000;
/** Folders of failed jobs that are kept for whoever looks into them. */
const KEPT_FAILED = 5;
/** Jobs whose charts can still be drawn. */
const KEPT_CHARTS = 500;
const PUBLISH_ATTEMPTS = 3;
const RETRY_DELAY_MS = 2_000;

export interface JobServiceOptions extends JobPlacesOptions {
  readonly defaults: RequestDefaults;
  /** Root of the content store, whose blobs the datasets are. */
  readonly contentFolder: string;
  readonly checkpointEveryMs: number;
}

/** What the world outside is told of a job, once each. */
export type Milestone = 'started' | 'succeeded' | 'failed' | 'cancelled';

interface JobServiceModules extends PublishResultModules {
  readonly db: Database;
  readonly audit: RecordAudit;
  readonly jobs: JobFolders;
  readonly clock: Clock;
  readonly log: Log;
  readonly onJob: (job: Job) => void;
  readonly onMilestone: (job: JobRecord, milestone: Milestone) => void;
}

export class JobService {
  readonly #options: JobServiceOptions;
  readonly #m: JobServiceModules;
  readonly #places: JobPlaces;
  readonly #stop = new AbortController();
  readonly #publishing = new Map<string, Promise<void>>();
  /** For the disk, at the start. */
  #waiting: Promise<void> = Promise.resolve();

  constructor(options: JobServiceOptions, modules: JobServiceModules) {
    this.#options = options;
    this.#m = modules;
    this.#places = new JobPlaces(options, {
      ...modules,
      folders: modules.jobs,
      orderOf: (job) => this.#orderOf(job),
      onJob: (job) => modules.onJob(showJob(job)),
      onStarted: (job) => modules.onMilestone(job, 'started'),
      onEnd: (job, end) =>
        end.kind === 'done' ? this.#judged(job, end.result) : this.#failed(job.id, ['running'], end.reason),
    });
  }

  /** Of the jobs' processes that work now. */
  get pids(): readonly number[] {
    return this.#places.pids;
  }

  /** Goes on with what the database holds; where the disk is full, once it has space: the hub starts all the same. */
  async start(): Promise<void> {
    const interrupted = (await jobsInState(this.#m.db, ['running'])).map(({ id }) => id);
    try {
      await this.#goOn(interrupted);
    } catch (cause) {
      if (!isDiskFull(cause)) throw cause;
      this.#m.log.error({ err: cause }, 'training jobs wait until the disk has space');
      this.#waiting = this.#goOnLater(interrupted);
    }
  }

  /** Takes from the list what it has done: such a job may run again by the time the rest is tried anew. */
  async #goOn(interrupted: string[]): Promise<void> {
    for (let id = interrupted[0]; id !== undefined; id = interrupted[0]) {
      const detail = `the hub ended; goes on from step ${await this.#m.jobs.checkpointStep(id)}`;
      await this.#change(id, ['running'], { state: 'preempted', detail });
      interrupted.shift();
    }
    await this.#tidy();
    for (const job of await jobsInState(this.#m.db, ['publishing'])) {
      if (!this.#publishing.has(job.id)) this.#publish(job);
    }
    this.#places.wake();
  }

  async #goOnLater(interrupted: string[]): Promise<void> {
    const { signal } = this.#stop;
    for (;;) {
      await delay(this.#m.clock, RETRY_DELAY_MS, signal).catch(() => undefined); // stopping: seen below
      if (signal.aborted) return;
      try {
        await this.#goOn(interrupted);
        return;
      } catch (cause) {
        if (!isDiskFull(cause)) this.#m.log.error({ err: cause }, 'training jobs could not go on yet');
      }
    }
  }

  /** Every process saves and ends, within seconds; publishing goes on at the next start. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('the hub stops'));
    await this.#waiting;
    await this.#places.close();
    await Promise.all(this.#publishing.values());
  }

  /**
   * Rejects with JobError for a request that can't be trained, naming its field; nothing is queued then. With a key, the same request
   * again is the job that it made before, as that one is by now.
   */
  async create(asked: CreateJob, actor: string, key?: string): Promise<{ job: Job; added: boolean }> {
    const keyed = key === undefined ? undefined : { actor, key, asked };
    const before = keyed === undefined ? undefined : await jobOfKey(this.#m.db, keyed);
    if (before !== undefined) return { job: showJob(before), added: false };
    const { request, parent, datasets, slices } = await resolveRequest(this.#m, asked, this.#options.defaults);
    const nowMs = this.#m.clock.nowMs();
    const job: JobRecord = {
      // Time first, so that ids sort by creation.
      id: `j${nowMs.toString(36)}${randomBytes(3).toString('hex')}`,
      model: asked.model,
      parent: parent.version,
      parentDigest: parent.digest,
      request,
      datasets,
      slices,
      priority: asked.priority,
      state: 'queued',
      detail: this.#options.places === 0 ? 'this hub runs no training jobs (--training-jobs 0)' : undefined,
      progress: undefined,
      evaluation: undefined,
      version: undefined,
      createdBy: actor,
      createdAt: new Date(nowMs).toISOString(),
      startedAt: undefined,
      endedAt: undefined,
    };
    const made = await this.#m.db.transaction().execute(async (trx) => {
      const meanwhile = keyed === undefined ? undefined : await jobOfKey(trx, keyed);
      if (meanwhile !== undefined) return meanwhile;
      if ((await jobsInState(trx, OPEN_STATES)).length >= LIMIT_OPEN_JOBS) {
        throw new JobError('conflict', `${LIMIT_OPEN_JOBS} jobs are open, the limit; cancel some`);
      }
      await insertJob(trx, job);
      if (keyed !== undefined) await rememberKey(trx, keyed, job.id);
      const detail = {
        parent: `${job.model}@${job.parent}`,
        datasets: datasets.map(({ spec }) => spec),
        priority: job.priority,
      };
      await this.#m.audit(trx, { actor, action: 'train.create', subject: `job:${job.id}`, detail }, nowMs);
      return job;
    });
    if (made !== job) return { job: showJob(made), added: false };
    this.#m.onJob(showJob(job));
    this.#places.wake();
    return { job: showJob(job), added: true };
  }

  async get(id: string): Promise<Job | undefined> {
    const job = await findJob(this.#m.db, id);
    return job === undefined ? undefined : showJob(job);
  }

  /** Newest first; `cursor` is the id of the last one seen. */
  async list(query: {
    limit: number;
    cursor?: string | undefined;
    state?: JobState | undefined;
    model?: string | undefined;
  }): Promise<Job[]> {
    return (await listJobs(this.#m.db, { ...query, beforeId: query.cursor })).map(showJob);
  }

  /** Rejects with JobError `not-found`. */
  async points(id: string, limit: number): Promise<JobPoint[]> {
    if ((await findJob(this.#m.db, id)) === undefined) throw unknownJob(id);
    return pointsOf(this.#m.db, id, limit);
  }

  /** Idempotent. Rejects with JobError `not-found`, or `conflict` when it is past stopping. */
  async cancel(id: string, actor: string): Promise<Job> {
    const change = { state: 'cancelled' as const, detail: `cancelled by ${actor}`, endedAt: this.#now() };
    const audit = { actor, action: 'train.cancel' };
    const from = ['queued', 'preempted', 'running'] as const;
    const cancelled = await this.#change(id, from, change, audit);
    if (cancelled === undefined) {
      const job = await findJob(this.#m.db, id);
      if (job === undefined) throw unknownJob(id);
      if (job.state === 'cancelled') return showJob(job);
      const why = job.state === 'publishing' ? 'its result is being published' : `it has ended (${job.state})`;
      throw new JobError('conflict', `job ${id} can't be cancelled: ${why}`);
    }
    if (cancelled.startedAt !== undefined) this.#m.onMilestone(cancelled, 'cancelled');
    void this.#places
      .end(id)
      .then(() => this.#tidy())
      .catch((cause: unknown) => this.#m.log.error({ err: cause, job: id }, "a cancelled job's folder stays"));
    return showJob(cancelled);
  }

  async #orderOf(job: JobRecord) {
    const { graph, parameters, threads, memoryLimitBytes } = job.request;
    return {
      job: job.id,
      packageFolder: await folderOf(this.#m, { model: job.model, version: job.parent }),
      contentFolder: this.#options.contentFolder,
      ...(graph === undefined ? {} : { graph }),
      datasets: [...job.datasets],
      slices: [...job.slices],
      parameters,
      threads,
      memoryLimitBytes,
      checkpointEveryMs: this.#options.checkpointEveryMs,
    };
  }

  async #judged(job: JobRecord, { sets }: JobResult): Promise<void> {
    const evaluation = judgeResult(sets, job.request.maxDrop);
    const change = { state: 'publishing' as const, evaluation, detail: 'making the version' };
    const judged = await this.#change(job.id, ['running'], change);
    if (judged !== undefined) this.#publish(judged);
  }

  #publish(job: JobRecord): void {
    const work = this.#publishedWithRetries(job)
      .catch((cause: unknown) => {
        if (!this.#stop.signal.aborted)
          this.#m.log.error({ err: cause, job: job.id }, 'a result could not be published');
      })
      .finally(() => this.#publishing.delete(job.id));
    this.#publishing.set(job.id, work);
  }

  async #publishedWithRetries(job: JobRecord): Promise<void> {
    const { signal } = this.#stop;
    for (let attempt = 1; ;) {
      try {
        await this.#published(job, signal);
        return;
      } catch (cause) {
        signal.throwIfAborted();
        const isFull = isNoSpace(cause);
        if (!isFull && (attempt >= PUBLISH_ATTEMPTS || !isTransient(cause))) {
          await this.#failed(job.id, ['publishing'], `its result could not be published: ${messageOf(cause)}`);
          return;
        }
        this.#m.log.warn({ err: cause, job: job.id, attempt }, 'a result could not be published yet');
        await delay(this.#m.clock, RETRY_DELAY_MS * attempt, signal);
        if (!isFull) attempt += 1; // a disk may be full for as long as it takes
      }
    }
  }

  async #published(job: JobRecord, signal: AbortSignal): Promise<void> {
    // Goldens that are computed again may differ in their last bits: what was made before a restart is not made twice.
    const made = (await versionMadeBy(this.#m.db, job.id)) ?? (await publishResult(this.#m, job, signal));
    const name = `${made.model}@${made.version}`;
    const detail = `${name} is being checked and optimized`;
    await this.#change(job.id, ['publishing'], { version: made.version, detail });
    const version = await settledVersion(this.#m, made, signal);
    if (version.state === 'refused') {
      await this.#failed(job.id, ['publishing'], `${name} was refused: ${version.detail ?? ''}`);
      return;
    }
    const passed = job.evaluation?.passed === true;
    const isNew = (await versionMadeBy(this.#m.db, job.id)) !== undefined;
    const end: JobChange = {
      state: 'succeeded',
      detail: noteOf(name, job.evaluation, isNew),
      endedAt: this.#now(),
    };
    const audit = { actor: SYSTEM, action: 'train.succeeded', detail: { version: name, passed } };
    const ended = await this.#change(job.id, ['publishing'], end, audit);
    if (ended === undefined) return;
    this.#m.onMilestone(ended, 'succeeded');
    await this.#tidy();
  }

  async #failed(id: string, from: readonly JobState[], reason: string): Promise<void> {
    const change = { state: 'failed' as const, detail: reason, endedAt: this.#now() };
    const audit = { actor: SYSTEM, action: 'train.failed', detail: { reason } };
    const failed = await this.#change(id, from, change, audit);
    if (failed === undefined) return;
    this.#m.log.warn({ job: id, reason }, 'a training job failed');
    this.#m.onMilestone(failed, 'failed');
    await this.#tidy();
  }

  async #change(
    id: string,
    from: readonly JobState[],
    change: JobChange,
    audit?: { actor: string; action: string; detail?: Readonly<Record<string, unknown>> },
  ): Promise<JobRecord | undefined> {
    const wanted = { id, from, change, ...(audit === undefined ? {} : { audit }) };
    const changed = await changeJob(this.#m, wanted, this.#m.clock.nowMs());
    if (changed !== undefined) this.#m.onJob(showJob(changed));
    return changed;
  }

  /** Leaves the folders of jobs that are open, and of those that failed last; and the points of the newest. */
  async #tidy(): Promise<void> {
    const { db, jobs } = this.#m;
    const folders = await jobs.list(); // first: a job that is made meanwhile has none of these
    const open = await jobsInState(db, OPEN_STATES);
    const failed = await listJobs(db, { limit: KEPT_FAILED, state: 'failed' });
    const kept = new Set([...open, ...failed].map(({ id }) => id));
    for (const id of folders) if (!kept.has(id)) await jobs.remove(id);
    await trimPoints(db, KEPT_CHARTS);
  }

  #now(): string {
    return new Date(this.#m.clock.nowMs()).toISOString();
  }
}

/** What people should know although the job did well. */
function noteOf(name: string, evaluation: Evaluation | undefined, isNew: boolean): string | undefined {
  if (evaluation?.passed !== true) return `${name} may not roll out: ${evaluation?.reason ?? ''}`;
  return isNew ? undefined : `the result is what ${name} holds already`;
}

function unknownJob(id: string): JobError {
  return new JobError('not-found', `no job ${id}`, { field: 'id' });
}

/** A fault of the hub's own may pass; what is wrong with the package stays wrong. */
function isTransient(cause: unknown): boolean {
  if (cause instanceof RegistryError) return cause.field === undefined; // too many uploads
  return !(cause instanceof PackageError || cause instanceof JobError);
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
