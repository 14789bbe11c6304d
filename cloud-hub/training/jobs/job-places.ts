// The places in which jobs run: as many as the settings say. Looks at the queue whenever something changed, lets plan-queue.ts decide, and
// carries each job from its start to its end. Every state is in the database before what follows from it is done, so a hub that
// was killed at any moment goes on where it was: a job that is `running` there without a process is waiting.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { RecordAudit } from '../../security/audit.js';
import type { Database } from '../../storage/database.js';
import type { JobOrder } from '../job-process/job-order.js';
import type { JobFolders } from './job-folders.js';
import { JobNews } from './job-news.js';
import { JobRun, type RunEnd } from './job-run.js';
import { changeJob, jobsInState, type JobRecord } from './job-store.js';
import { planQueue } from './plan-queue.js';

export const SYSTEM = 'system:training';
const WAITING = ['queued', 'preempted'] as const;

export interface JobPlacesOptions {
  /** Jobs that run at once; 0 = none. */
  readonly places: number;
  /** The compiled entry point of the job's process. */
  readonly entry: string;
}

interface JobPlacesModules {
  readonly db: Database;
  readonly audit: RecordAudit;
  readonly folders: JobFolders;
  readonly clock: Clock;
  readonly log: Log;
  readonly orderOf: (job: JobRecord) => Promise<JobOrder>;
  readonly onJob: (job: JobRecord) => void;
  readonly onStarted: (job: JobRecord) => void;
  /** Done or failed; the row says `running` still. Rejects nothing. */
  readonly onEnd: (job: JobRecord, end: Exclude<RunEnd, { kind: 'left' }>) => Promise<void>;
}

interface Place {
  readonly job: JobRecord;
  readonly run: JobRun;
  leaving: boolean;
  ended: Promise<void>;
}

export class JobPlaces {
  readonly #options: JobPlacesOptions;
  readonly #m: JobPlacesModules;
  readonly #places = new Map<string, Place>();
  #turn: Promise<void> = Promise.resolve();
  #closing = false;

  constructor(options: JobPlacesOptions, modules: JobPlacesModules) {
    this.#options = options;
    this.#m = modules;
  }

  /** Looks at the queue; call it after each change. */
  wake(): void {
    this.#turn = this.#turn
      .then(() => this.#look())
      .catch((cause: unknown) => this.#m.log.error({ err: cause }, "the training jobs' queue could not be looked at"));
  }

  /** Takes a job off its place whose row says already that it is not to go on; resolves when its process is gone. */
  async end(id: string): Promise<void> {
    const place = this.#places.get(id);
    if (place === undefined) return;
    place.leaving = true;
    place.run.leave();
    await place.ended;
  }

  /** Every process saves and ends; their jobs wait for the next start. Resolves when all are gone. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#turn;
    for (const place of this.#places.values()) place.run.leave();
    await Promise.all([...this.#places.values()].map(({ ended }) => ended));
  }

  async #look(): Promise<void> {
    if (this.#closing) return;
    const waiting = await jobsInState(this.#m.db, WAITING);
    const free = waiting.filter(({ id }) => !this.#places.has(id));
    const running = [...this.#places.values()].map(({ job, leaving }) => ({ ...job, leaving }));
    const plan = planQueue(free, running, this.#options.places);
    for (const id of plan.preempt) await this.#preempt(id);
    for (const id of plan.start) {
      const job = free.find((one) => one.id === id);
      if (job !== undefined) await this.#begin(job);
    }
  }

  async #preempt(id: string): Promise<void> {
    const place = this.#places.get(id);
    if (place === undefined) return;
    place.leaving = true;
    await this.#change(id, ['running'], { detail: 'saves itself to make room for a job of higher priority' });
    place.run.leave();
  }

  async #begin(waiting: JobRecord): Promise<void> {
    const { folders, clock, log } = this.#m;
    const isFirst = waiting.startedAt === undefined;
    const change = { state: 'running' as const, detail: 'starting', startedAt: waiting.startedAt ?? this.#now() };
    const action = isFirst ? 'train.start' : 'train.resume';
    const job = await this.#change(waiting.id, WAITING, change, action);
    if (job === undefined) return; // cancelled meanwhile
    if (isFirst) this.#m.onStarted(job);
    const news = new JobNews(job.id, { db: this.#m.db, clock, log, onJob: this.#m.onJob });
    const run = new JobRun({
      folders,
      entry: this.#options.entry,
      clock,
      log,
      onMessage: (message) => news.hear(message),
      onDeath: (reason) => news.say(`${reason}; goes on from its last checkpoint`),
    });
    const place: Place = { job, run, leaving: false, ended: Promise.resolve() };
    this.#places.set(job.id, place);
    place.ended = this.#carry(place, news).finally(() => {
      this.#places.delete(job.id);
      this.wake();
    });
  }

  async #carry({ job, run }: Place, news: JobNews): Promise<void> {
    const end = await this.#run(job, run);
    await news.close();
    try {
      if (end.kind === 'left') await this.#left(job);
      else await this.#m.onEnd(job, end);
    } catch (cause) {
      this.#m.log.error(
        { err: cause, job: job.id },
        "a training job's end could not be written; the next start sees to it",
      );
    }
  }

  async #run(job: JobRecord, run: JobRun): Promise<RunEnd> {
    try {
      return await run.run(await this.#m.orderOf(job));
    } catch (cause) {
      this.#m.log.error({ err: cause, job: job.id }, 'a training job could not be run');
      return { kind: 'failed', reason: cause instanceof Error ? cause.message : String(cause) };
    }
  }

  async #left(job: JobRecord): Promise<void> {
    const step = await this.#m.folders.checkpointStep(job.id);
    const why = this.#closing ? 'the hub was stopped' : 'made room for another job';
    const detail = `${why}; goes on from step ${step}`;
    await this.#change(job.id, ['running'], { state: 'preempted', detail }, 'train.preempt');
  }

  async #change(
    id: string,
    from: readonly JobRecord['state'][],
    change: Parameters<typeof changeJob>[1]['change'],
    action?: string,
  ): Promise<JobRecord | undefined> {
    const audit = action === undefined ? {} : { audit: { actor: SYSTEM, action } };
    const changed = await changeJob(this.#m, { id, from, change, ...audit }, this.#m.clock.nowMs());
    if (changed !== undefined) this.#m.onJob(changed);
    return changed;
  }

  #now(): string {
    return new Date(this.#m.clock.nowMs()).toISOString();
  }
}
