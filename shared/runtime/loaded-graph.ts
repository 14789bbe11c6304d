// A graph in an executor, which may hold others: what it said when it was loaded, its runs, and its own end, which is its executor's
// or comes before it. Shapes that a GPU has compiled and whether it ever answered are kept here, for each graph apart.
import { CompiledShapes } from './compiled-shapes.js';
import type { ExecutorGraphOptions, ExecutorProcess } from './executor-process.js';
import type { LoadedMessage } from './executor-protocol.js';
import type { GraphPlace, GraphRunResult, SequenceRun } from './graph-runner.js';
import type { MeasuredMs } from './hang-policy.js';
import type { RuntimeError } from './runtime-error.js';
import type { NamedTensor } from '../tensor/tensor.js';

const WEIGHT_MIN_BYTES = 1 << 20;

export class LoadedGraph {
  readonly id: number;
  readonly options: ExecutorGraphOptions;
  readonly executor: ExecutorProcess;
  /** Settles, with the reason, when it can answer nothing any more: its executor has gone, or it was unloaded. */
  readonly ended: Promise<RuntimeError>;
  /** Why it is in this executor; for people. */
  placedFor = '';
  /** It was compiled for this load. */
  compiledAnew = false;
  /** Sent and not answered yet; those that were given up too. */
  runsInFlight = 0;
  #loaded: LoadedMessage | undefined;
  #loadMs = 0;
  #fruitful = false;
  /** Undefined on the CPU, where nothing compiles. */
  #shapes: CompiledShapes | undefined;
  #end: RuntimeError | undefined;
  #onEnd: (reason: RuntimeError) => void = () => undefined;
  #onDrained: (() => void)[] = [];

  /** By ExecutorProcess.load. */
  constructor(id: number, options: ExecutorGraphOptions, executor: ExecutorProcess) {
    this.id = id;
    this.options = options;
    this.executor = executor;
    this.ended = new Promise((resolve) => (this.#onEnd = resolve));
  }

  get label(): string {
    return this.options.label;
  }

  get pid(): number {
    return this.executor.pid;
  }

  /** From sending it on to a graph that can run; with the start of its executor where it was the first there. */
  get loadMs(): number {
    return this.#loadMs;
  }

  get loaded(): LoadedMessage {
    if (this.#loaded === undefined) throw new Error(`${this.label} is being loaded`);
    return this.#loaded;
  }

  /** Its executor was killed or is gone, or it was closed: it takes no more runs. */
  get isEnding(): boolean {
    return this.#end !== undefined || this.executor.isEnding;
  }

  /** Has it answered at least one run? A restart policy wants to know. */
  get fruitful(): boolean {
    return this.#fruitful;
  }

  /** Once its executor has ended: may it have been why? */
  get blamed(): boolean {
    return this.executor.blamed.has(this);
  }

  /** And nothing of another model may have been. */
  get blamedAlone(): boolean {
    const models = new Set([...this.executor.blamed].map(({ options }) => options.crashes));
    return this.blamed && models.size === 1;
  }

  get place(): GraphPlace {
    const { pid, executor, placedFor: reason } = this;
    const graphs = executor.graphs;
    const sum = graphs.reduce((bytes, graph) => bytes + graph.#weightBytes, 0);
    return { pid, graphs: graphs.length, memoryShare: this.#weightBytes / Math.max(sum, this.#weightBytes), reason };
  }

  /** What it has made the executor grow by, or its files where it found memory that was free; and its part of the rest. */
  get #weightBytes(): number {
    return WEIGHT_MIN_BYTES + Math.max(this.#loaded?.grownBytes ?? 0, this.options.sizeBytes ?? 0);
  }

  /** May a run with these inputs compile first? Then its time is no measure. */
  mayCompile(feeds: readonly NamedTensor[]): boolean {
    return this.#shapes?.isNew(feeds) === true;
  }

  /**
   * Runs once. `measuredMs` is what the hang policy holds it to. Rejects with RuntimeError; at once when the signal
   * aborts, while the executor ends the run where its engine can.
   */
  run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    measuredMs: MeasuredMs,
    sequence?: SequenceRun,
  ): Promise<GraphRunResult> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const result = this.executor.run(this, { feeds, outputs, signal, measuredMs, sequence });
    const shapes = this.#shapes;
    if (shapes === undefined) return result;
    return result.then((answer) => {
      shapes.ran(feeds);
      return answer;
    });
  }

  /** Drops the state of a sequence, after the run of it that is in flight. */
  forget(key: number): void {
    if (this.#end === undefined) this.executor.forget(this, key);
  }

  /** Lets the runs in flight end, then gives back what it takes; with the last graph of an executor the process ends. */
  async close(): Promise<void> {
    if (this.runsInFlight > 0) await new Promise<void>((resolve) => this.#onDrained.push(resolve));
    await this.executor.close(this);
  }

  /** What follows is the executor's to call. */
  accept(loaded: LoadedMessage, loadMs: number): void {
    this.#loaded = loaded;
    this.#loadMs = loadMs;
    this.#shapes = loaded.provider.runs === 'cpu' ? undefined : new CompiledShapes();
  }

  answered(): void {
    this.#fruitful = true;
  }

  finished(): void {
    this.runsInFlight -= 1;
    if (this.runsInFlight === 0) this.drained();
  }

  drained(): void {
    this.runsInFlight = 0;
    for (const resolve of this.#onDrained.splice(0)) resolve();
  }

  end(reason: RuntimeError): void {
    this.#end ??= reason;
    this.#onEnd(reason);
  }
}
