// The job's own memory limit, held against its resident memory at moments when it can end cleanly: between two updates, two batches of
// an evaluation, two parts of the preparation. What it held at most stays resident, so a peak inside an update is seen after it.
import type { Clock } from '@tidegate/shared/system/clock.js';
import { OrderError } from './order-error.js';

const SAMPLE_EVERY_MS = 100;
const MEBIBYTE = 1024 * 1024;

interface MemoryLimitOptions {
  /** Absent: no limit. */
  readonly limitBytes: number | undefined;
  /** What the message advises to lower. */
  readonly batchSize: number;
}

interface MemoryLimitModules {
  readonly clock: Clock;
  /** Resident memory of this process. */
  readonly rssBytes: () => number;
}

export class MemoryLimit {
  readonly #options: MemoryLimitOptions;
  readonly #modules: MemoryLimitModules;
  #sampledMs = Number.NEGATIVE_INFINITY;

  constructor(options: MemoryLimitOptions, modules: MemoryLimitModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** Throws OrderError `memory-limit`. Looks at most ten times a second. */
  check(): void {
    const { limitBytes, batchSize } = this.#options;
    if (limitBytes === undefined) return;
    const nowMs = this.#modules.clock.monotonicMs();
    if (nowMs - this.#sampledMs < SAMPLE_EVERY_MS) return;
    this.#sampledMs = nowMs;
    const rssBytes = this.#modules.rssBytes();
    if (rssBytes <= limitBytes) return;
    const [is, may] = [rssBytes, limitBytes].map((bytes) => Math.ceil(bytes / MEBIBYTE));
    throw new OrderError(
      'memory-limit',
      `the job's process holds ${is} MiB and may hold ${may} MiB: lower batchSize (it is ${batchSize}; accumulate makes up for it), ` +
        `freeze more of the graph, or raise memoryLimitBytes`,
      { field: 'memoryLimitBytes' },
    );
  }
}
