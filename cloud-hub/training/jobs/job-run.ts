// One job while it holds a place: its process, started again from the checkpoint when it dies, until there is a result, a reason why there
// will be none, or the order to leave. Holds nothing that a restarted hub would need: that is in the folder and in the row.
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { JobMessage, JobOrder, JobResult } from '../job-process/job-order.js';
import type { JobFolders } from './job-folders.js';
import { judgeEnd } from './judge-end.js';
import { endLeftover, TrainerProcess } from './trainer-process.js';

const RESTART_DELAY_MS = 500;
/** The process holds itself to its limit, and says more about it; past this share more it didn't come to it. */
const LIMIT_TOLERANCE = 1.25;

interface JobRunModules {
  readonly folders: JobFolders;
  /** The compiled entry point of the job's process. */
  readonly entry: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly onMessage: (message: JobMessage) => void;
  /** It died, and will be started again. */
  readonly onDeath: (reason: string) => void;
}

export type RunEnd =
  | { readonly kind: 'done'; readonly result: JobResult }
  | { readonly kind: 'left' }
  | { readonly kind: 'failed'; readonly reason: string };

export class JobRun {
  readonly #modules: JobRunModules;
  readonly #leaving = new AbortController();
  #process: TrainerProcess | undefined;
  #overLimit: string | undefined;

  constructor(modules: JobRunModules) {
    this.#modules = modules;
  }

  /** Rejects with the file system's errors; no process is left then, and it may be called again. */
  async run(order: JobOrder): Promise<RunEnd> {
    const { folders, clock } = this.#modules;
    const { job } = order;
    const leftover = await folders.readPid(job);
    if (leftover !== undefined) await endLeftover(leftover, folders.of(job), clock);
    const finished = await folders.readResult(job); // by a process whose hub did not live to see it
    if (finished !== undefined) return { kind: 'done', result: finished };
    await folders.writeOrder(order);
    for (let deaths = 0; ;) {
      if (this.#leaving.signal.aborted) return { kind: 'left' };
      const before = await folders.checkpointStep(job);
      const end = await this.#oneProcess(order);
      const result = await folders.readResult(job);
      const decision = judgeEnd(end, {
        askedToLeave: this.#leaving.signal.aborted,
        overLimit: this.#overLimit,
        hasResult: result !== undefined,
        deathsBefore: deaths,
        gotFurther: (await folders.checkpointStep(job)) > before,
      });
      if (decision.kind === 'done' && result !== undefined) return { kind: 'done', result };
      if (decision.kind === 'failed' || decision.kind === 'left') return decision;
      if (decision.kind !== 'again') continue;
      deaths = decision.deaths;
      this.#modules.log.warn({ job, deaths, reason: decision.reason }, 'a training job is started again');
      this.#modules.onDeath(decision.reason);
      await delay(clock, RESTART_DELAY_MS * deaths, this.#leaving.signal).catch(() => undefined); // seen above
    }
  }

  /** Of its process, while there is one. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** It saves and ends; `run` resolves with `left`, unless it was done or had failed. */
  leave(): void {
    this.#leaving.abort(new Error('the job was told to leave'));
    this.#process?.leave();
  }

  async #oneProcess(order: JobOrder): Promise<Awaited<TrainerProcess['ended']>> {
    const { folders, entry, clock, log, onMessage } = this.#modules;
    const process = new TrainerProcess(
      { entry, folder: folders.of(order.job), label: order.job },
      {
        clock,
        log,
        onMessage: (message) => {
          this.#watchMemory(message, order.memoryLimitBytes);
          onMessage(message);
        },
      },
    );
    this.#process = process;
    try {
      if (process.pid !== undefined) await folders.writePid(order.job, process.pid);
    } catch (cause) {
      process.kill();
      await process.ended;
      throw cause;
    }
    if (this.#leaving.signal.aborted) process.leave();
    return process.ended.finally(() => (this.#process = undefined));
  }

  #watchMemory(message: JobMessage, limitBytes: number | undefined): void {
    const rssBytes = message.kind === 'progress' ? message.progress.rssBytes : undefined;
    if (rssBytes === undefined || limitBytes === undefined || rssBytes <= limitBytes * LIMIT_TOLERANCE) return;
    this.#overLimit ??= `it holds ${mib(rssBytes)} MiB of memory, its limit is ${mib(limitBytes)} MiB (--memory-limit)`;
    this.#process?.kill();
  }
}

const mib = (bytes: number): number => Math.round(bytes / 1024 / 1024);
