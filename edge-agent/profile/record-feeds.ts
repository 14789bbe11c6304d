// A runtime that remembers what each graph was fed first: a golden goes through the package's whole pipeline, and what arrives
// at the graph is the row to measure with.
import type {
  GraphRunner,
  GraphRunResult,
  LoadGraphOptions,
  Runtime,
  SequenceRun,
} from '@tidegate/shared/runtime/graph-runner.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';

export class RecordingRuntime implements Runtime {
  /** By the path of the graph's file. */
  readonly feeds = new Map<string, readonly NamedTensor[]>();
  readonly loadMs = new Map<string, number>();
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  async load(options: LoadGraphOptions, signal: AbortSignal): Promise<GraphRunner> {
    const runner = await this.#runtime.load(options, signal);
    this.loadMs.set(options.path, runner.loadMs);
    return recording(runner, (feeds) => {
      const all = [...feeds, ...(options.state?.initial ?? [])]; // what a sequence carries is measured as it begins
      if (!this.feeds.has(options.path)) this.feeds.set(options.path, all);
    });
  }

  close(): Promise<void> {
    return this.#runtime.close();
  }
}

function recording(runner: GraphRunner, heard: (feeds: readonly NamedTensor[]) => void): GraphRunner {
  const run = (
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    sequence?: SequenceRun,
  ): Promise<GraphRunResult> => {
    heard(feeds.map((feed) => ({ ...feed, data: Uint8Array.from(feed.data) }))); // the caller may reuse its buffers
    return runner.run(feeds, outputs, signal, sequence);
  };
  const { inputs, outputs, provider, engine, loadMs, concurrency, threads, pid } = runner;
  return {
    ...{ inputs, outputs, provider, engine, loadMs, concurrency, threads, pid, run },
    forget: (key) => runner.forget?.(key),
    measuredUs: (feeds) => runner.measuredUs(feeds),
    park: () => runner.park(),
    wake: (signal) => runner.wake(signal),
    close: () => runner.close(),
  };
}
