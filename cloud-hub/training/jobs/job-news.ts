// What a running job's process says, on its way into the database and to whoever watches: the newest progress and all points, written
// together at most four times a second, however fast steps are. The last words are written before the job's state changes.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { JobPoint, JobProgress } from '@tidegate/shared/wire/training-api.js';
import type { Database } from '../../storage/database.js';
import type { JobMessage } from '../job-process/job-order.js';
import { writeProgress, type JobRecord } from './job-store.js';

const INTERVAL_MS = 250;
/** A process that sends more between two writes is out of its senses. */
const LIMIT_POINTS = 10_000;

interface JobNewsModules {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly onJob: (job: JobRecord) => void;
}

export class JobNews {
  readonly #id: string;
  readonly #modules: JobNewsModules;
  #progress: JobProgress | undefined;
  #detail: string | undefined;
  #points: JobPoint[] = [];
  #cancelTimer: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(id: string, modules: JobNewsModules) {
    this.#id = id;
    this.#modules = modules;
  }

  hear(message: JobMessage): void {
    if (message.kind === 'failed') return; // its end says it
    if (message.kind === 'progress') {
      this.#progress = message.progress;
      this.#detail = message.phase;
    } else if (this.#points.length < LIMIT_POINTS) this.#points.push(message.point);
    this.#schedule();
  }

  /** What it does now, where the hub knows it better than the process. */
  say(detail: string): void {
    this.#detail = detail;
    this.#schedule();
  }

  /** Writes what is left; nothing is told afterwards. */
  async close(): Promise<void> {
    this.#cancelTimer?.();
    this.#write();
    await this.#writing;
  }

  #schedule(): void {
    this.#cancelTimer ??= this.#modules.clock.after(INTERVAL_MS, () => {
      this.#cancelTimer = undefined;
      this.#write();
    });
  }

  #write(): void {
    const { db, log, onJob } = this.#modules;
    const points = this.#points.splice(0);
    const change = {
      ...(this.#progress === undefined ? {} : { progress: this.#progress }),
      ...(this.#detail === undefined ? {} : { detail: this.#detail }),
    };
    this.#progress = undefined;
    this.#detail = undefined;
    if (points.length === 0 && Object.keys(change).length === 0) return;
    this.#writing = this.#writing
      .then(async () => {
        const job = await writeProgress(db, this.#id, change, points);
        if (job !== undefined) onJob(job);
      })
      .catch((cause: unknown) => log.error({ err: cause, job: this.#id }, "a job's progress could not be written"));
  }
}
