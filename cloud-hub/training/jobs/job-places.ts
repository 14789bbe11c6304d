// The places in which jobs run: as many as the settings say. Looks at the queue whenever something changed, lets plan-queue.ts decide, and
// carries each job from its start to its end. Every state is in the database before what follows from it is done, so a hub that
// was killed at any moment goes on where it was: a job that is `running` there without a process is waiting.
import { isDiskFull } from '@tidegate/shared/content/content-error.js';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
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
/** After a fault of the hub's own, such as a full disk. */
const RETRY_DELAY_MS = 5_000;

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
  readonly #stop = new AbortController();
  #turn: Promise<void> = Promise.resolve();

  constructor(options: JobPlacesOptions, modules: JobPlacesModules) {
    this.#options = options;
    this.#m = modules;
  }

  /** Of the processes that work now. */
  get pids(): readonly number[] {
    return [...this.#places.values()].flatMap(({ run }) => run.pid ?? []);
  }

  /** Looks at the queue; call it after each change. */
  wake(): void {
    this.#turn = this.#turn.then(() =>
      this.#untilDone("the training jobs' queue could not be looked at", () => this.#look()),
    );
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
    this.#stop.abort(new Error('the hub stops'));
    await this.#turn;
    for (const place of this.#places.values()) place.run.leave();
    await Promise.all([...this.#places.values()].map(({ ended }) => ended));
  }

  async #look(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const waiting = await jobsInState(this.#m.db, WAITING);
    const free = waiting.filter(({ id }) => !this.#places.has(id));
    const running = [...this.#places.values()].map(({ job, leaving }) => ({ ...job, leaving }));
    const plan = planQueue(free, running, this.#options.places);
    for (const id of plan.preempt) await this.#preempt(id);
    for (const id of plan.start) {
      const job = free.find((one) => one.id === id);
      if (job !== undefined) this.#begin(job);
    }
  }

  async #preempt(id: string): Promise<void> {
    const place = this.#places.get(id);
    if (place === undefined) return;
    place.leaving = true;
    place.run.leave(); // first: a row that can't be written must not keep it in its place
    await this.#change(id, ['running'], { detail: 'saves itself to make room for a job of higher priority' });
  }

  /** The place is taken before the row says so: who cancels at that moment finds it. */
  #begin(job: JobRecord): void {
    const { folders, clock, log, db, onJob } = this.#m;
    const news = new JobNews(job.id, { db, clock, log, onJob });
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

  async #carry(place: Place, news: JobNews): Promise<void> {
    const started = await this.#started(place.job);
    if (started === undefined) return;
    const end = await this.#run(started, place.run);
    await news.close();
    await this.#untilDone("a training job's end could not be written", () =>
      end.kind === 'left' ? this.#left(started, place.leaving) : this.#m.onEnd(started, end),
    );
  }

  /** Undefined where the job was cancelled meanwhile, or its row could not be written: then it waits on. */
  async #started(job: JobRecord): Promise<JobRecord | undefined> {
    const isFirst = job.startedAt === undefined;
    const startedAt = job.startedAt ?? new Date(this.#m.clock.nowMs()).toISOString();
    const change = { state: 'running' as const, detail: 'starting', startedAt };
    try {
      const started = await this.#change(job.id, WAITING, change, isFirst ? 'train.start' : 'train.resume');
      if (started !== undefined && isFirst) this.#m.onStarted(started);
      return started;
    } catch (cause) {
      this.#m.log.error({ err: cause, job: job.id }, 'a training job could not be started');
      await this.#pause();
      return undefined;
    }
  }

  async #run(job: JobRecord, run: JobRun): Promise<RunEnd> {
    for (;;) {
      try {
        return await run.run(await this.#m.orderOf(job));
      } catch (cause) {
        this.#m.log.error({ err: cause, job: job.id }, 'a training job could not be run');
        if (!isDiskFull(cause))
          return { kind: 'failed', reason: cause instanceof Error ? cause.message : String(cause) };
        if (this.#stop.signal.aborted || this.#places.get(job.id)?.leaving === true) return { kind: 'left' };
        await this.#pause();
      }
    }
  }

  /** `madeRoom`: by the queue's order, not by somebody else's SIGTERM. */
  async #left(job: JobRecord, madeRoom: boolean): Promise<void> {
    const step = await this.#m.folders.checkpointStep(job.id);
    const whyNow = madeRoom ? 'made room for another job' : 'its process was told to end';
    const why = this.#stop.signal.aborted ? 'the hub was stopped' : whyNow;
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

  /** A full disk passes; what is true of a job meanwhile is written when it has. Ends at the hub's stop, whose next start sees to it. */
  async #untilDone(what: string, work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await work();
        return;
      } catch (cause) {
        this.#m.log.error({ err: cause }, what);
        if (this.#stop.signal.aborted) return;
        await this.#pause();
      }
    }
  }

  async #pause(): Promise<void> {
    await delay(this.#m.clock, RETRY_DELAY_MS, this.#stop.signal).catch(() => undefined); // stopping: seen by the caller
  }
}
