// A graph runner whose runs end when the test says so (or after a simulated time). It doubles FP32 feeds, row by row, or
// mixes rows where a test wants a graph that must not be batched.
import type { GraphRunner, GraphRunResult } from '@tidegate/shared/runtime/graph-runner.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { bytesOf, float32Of, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { ManualClock } from './manual-clock.js';

export interface StartedRun {
  readonly feeds: readonly NamedTensor[];
  readonly rows: number;
  readonly signal: AbortSignal;
  finish(): void;
  fail(error: RuntimeError): void;
}

export interface FakeRunnerOptions {
  readonly concurrency?: number;
  readonly threads?: number;
  /** Simulated milliseconds of a run of so many rows; without it tests finish runs themselves. */
  readonly durationMs?: (rows: number) => number;
  readonly compute?: (input: Float32Array, columns: number) => Float32Array;
}

const CAPABILITIES = { concurrentRuns: true, cancellable: true, persistentTensors: false };

export class FakeGraphRunner implements GraphRunner {
  readonly inputs = [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }] as const;
  readonly outputs = [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }] as const;
  readonly provider = { asked: ['cpu'], tried: [], runs: 'cpu', reason: 'asked for' } as const;
  readonly engine = { name: 'fake', version: '1', capabilities: CAPABILITIES };
  readonly loadMs = 1;
  readonly pid = 1;
  readonly concurrency: number;
  readonly threads: number;
  readonly runs: StartedRun[] = [];
  readonly #options: FakeRunnerOptions;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock, options: FakeRunnerOptions = {}) {
    this.#clock = clock;
    this.#options = options;
    this.concurrency = options.concurrency ?? 1;
    this.threads = options.threads ?? 1;
  }

  measuredUs(): undefined {
    return undefined;
  }

  run(feeds: readonly NamedTensor[], _outputs: readonly string[], signal: AbortSignal): Promise<GraphRunResult> {
    const [feed] = feeds;
    if (feed === undefined) return Promise.reject(new RuntimeError('invalid-input', 'no feed'));
    const rows = feed.shape[0] ?? 0;
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        const compute = this.#options.compute ?? ((input) => input.map((value) => value * 2));
        const data = bytesOf(compute(float32Of(feed), 2));
        resolve({ outputs: [{ name: 'y', datatype: 'FP32', shape: [rows, 2], data }], computeUs: 1000 });
      };
      signal.addEventListener('abort', () => reject(new RuntimeError('cancelled', 'ended')), { once: true });
      this.runs.push({ feeds, rows, signal, finish, fail: reject });
      const { durationMs } = this.#options;
      if (durationMs !== undefined) this.#clock.after(durationMs(rows), finish);
    });
  }

  park(): Promise<void> {
    return Promise.resolve();
  }

  wake(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A feed of rows [value, value]. */
export function feedOf(...values: number[]): NamedTensor[] {
  const data = bytesOf(Float32Array.from(values.flatMap((value) => [value, value])));
  return [{ name: 'x', datatype: 'FP32', shape: [values.length, 2], data }];
}

/** Lets settled promises' continuations run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}
