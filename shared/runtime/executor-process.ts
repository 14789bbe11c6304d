// One executor seen from its parent: load, many runs at once, watch, kill. Every way in which it can end (crash, kill,
// hang, garbage on the pipe) settles every run in flight with a typed error exactly once. It never restarts anything:
// executor-runtime.ts does.
import { CompiledShapes } from './compiled-shapes.js';
import type { CompiledCache, GraphRunResult, LoadGraphOptions, SequenceRun } from './graph-runner.js';
import { openPipe, type ExecutorPipe, type ExecutorPipeModules } from './executor-pipe.js';
import type { FromExecutor, LoadedMessage } from './executor-protocol.js';
import { FrameError } from './frames.js';
import { HANG_LIMITS, hangReason, WatchTime, type HangLimits, type MeasuredMs } from './hang-policy.js';
import { RuntimeError } from './runtime-error.js';
import type { ArenaLoan, TensorArena } from './tensor-arena.js';
import type { Clock } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';

/** Runs that may be in flight to one executor, computing or waiting there. */
const IN_FLIGHT_MAX = 256;
const WATCH_INTERVAL_MS = 250;
/** What an executor may take to exit once it has nothing to do. */
const EXIT_LIMIT_MS = 2_000;

export interface ExecutorProcessOptions extends LoadGraphOptions {
  readonly compiledCache?: CompiledCache | undefined;
  /** Runs that compute at once. */
  readonly slots: number;
}

export interface ExecutorProcessModules extends ExecutorPipeModules {
  readonly clock: Clock;
  readonly hangLimits?: HangLimits;
}

interface RunInFlight {
  readonly resolve: (result: GraphRunResult) => void;
  readonly reject: (error: RuntimeError) => void;
  readonly measuredMs: MeasuredMs;
  /** What the run has of the shared memory, until the executor answers. */
  loan: ArenaLoan | undefined;
  /** Watch time at which it got a slot; undefined while it waits for one. */
  startedMs: number | undefined;
}

export class ExecutorProcess {
  readonly pid: number;
  readonly loadMs: number;
  readonly loaded: LoadedMessage;
  /** Settles, with the reason, when the process is gone. */
  readonly ended: Promise<RuntimeError>;
  readonly #pipe: ExecutorPipe;
  /** Undefined on the CPU, where nothing compiles. */
  readonly #shapes: CompiledShapes | undefined;
  /** Undefined where tensors cross on the pipe only. */
  readonly #arena: TensorArena | undefined;
  readonly #options: ExecutorProcessOptions;
  readonly #clock: Clock;
  readonly #limits: HangLimits;
  readonly #runs = new Map<number, RunInFlight>();
  readonly #watch: WatchTime;
  #cancelTick: (() => void) | undefined;
  #pingSentMs: number | undefined;
  #nextId = 1;
  #answered = 0;
  #drained: (() => void)[] = [];

  /**
   * Starts an executor and loads the graph. Rejects with RuntimeError `load-failed` (also when it dies over the graph) or
   * `cancelled`; the process is gone then.
   */
  static async start(
    options: ExecutorProcessOptions,
    modules: ExecutorProcessModules,
    signal: AbortSignal,
  ): Promise<ExecutorProcess> {
    if (signal.aborted) throw new RuntimeError('cancelled', `loading ${options.label} was cancelled`);
    const startedMs = modules.clock.monotonicMs();
    const pipe = openPipe(options, modules);
    const onAbort = (): void => pipe.kill(new RuntimeError('cancelled', `loading ${options.label} was cancelled`));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const loaded = await new Promise<LoadedMessage>((resolve, reject) => {
        pipe.onMessage = (message) => {
          if (message.type === 'loaded') resolve(message);
          else if (message.type === 'failed') reject(new RuntimeError(message.code, message.message));
        };
        void pipe.ended.then((error) => {
          reject(error.code === 'cancelled' ? error : new RuntimeError('load-failed', error.message, { cause: error }));
        });
        const { path, providers, intraOpThreads, slots, state, compiledCache } = options;
        const carried = [...(state?.carried ?? [])];
        const shared = pipe.arena === undefined ? {} : { sharedBytes: pipe.arena.sizeBytes };
        const tensors = state?.initial ?? [];
        const cache = compiledCache === undefined ? {} : { compiledCache };
        pipe.send({ type: 'load', path, providers, intraOpThreads, slots, tensors, carried, ...shared, ...cache });
      });
      return new ExecutorProcess(pipe, options, modules, loaded, modules.clock.monotonicMs() - startedMs);
    } catch (cause) {
      const error =
        cause instanceof RuntimeError
          ? cause
          : new RuntimeError('load-failed', `loading ${options.label} failed`, { cause });
      pipe.kill(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  private constructor(
    pipe: ExecutorPipe,
    options: ExecutorProcessOptions,
    { clock, hangLimits }: ExecutorProcessModules,
    loaded: LoadedMessage,
    loadMs: number,
  ) {
    this.#pipe = pipe;
    this.#options = options;
    this.#clock = clock;
    this.#limits = hangLimits ?? HANG_LIMITS;
    this.#watch = new WatchTime(clock.monotonicMs(), 2 * WATCH_INTERVAL_MS);
    this.loaded = loaded;
    this.#shapes = loaded.provider.runs === 'cpu' ? undefined : new CompiledShapes();
    this.loadMs = loadMs;
    this.pid = pipe.pid;
    this.#arena = loaded.sharedMemory ? pipe.arena : undefined;
    pipe.sharedBytes = (id, at, sizeBytes) => this.#answerBytes(id, at, sizeBytes);
    pipe.onMessage = (message) => this.#receive(message);
    this.ended = pipe.ended.then((error) => {
      this.#cancelTick?.();
      this.#failAll(error);
      return error;
    });
  }

  /** Killed or gone: it takes no more runs. */
  get isEnding(): boolean {
    return this.#pipe.endReason !== undefined;
  }

  /** May a run with these inputs compile first? Then its time is no measure. */
  mayCompile(feeds: readonly NamedTensor[]): boolean {
    return this.#shapes?.isNew(feeds) === true;
  }

  /** Has it answered at least one run? A restart policy wants to know. */
  get fruitful(): boolean {
    return this.#answered > 0;
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
    const label = this.#options.label;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new RuntimeError('cancelled', 'cancelled before it began'));
      if (this.#pipe.endReason !== undefined) return reject(this.#pipe.endReason);
      if (this.#runs.size >= IN_FLIGHT_MAX) {
        return reject(new RuntimeError('run-failed', `${label} has ${IN_FLIGHT_MAX} runs in flight already`));
      }
      const id = this.#nextId++;
      const onAbort = (): void => {
        this.#pipe.send({ type: 'cancel', id });
        reject(new RuntimeError('cancelled', 'cancelled in mid-run')); // its slot stays taken until the executor answers
      };
      const settle = (): void => signal.removeEventListener('abort', onAbort);
      signal.addEventListener('abort', onAbort, { once: true });
      const loan = this.#arena?.lend(feeds);
      this.#runs.set(id, {
        resolve: (result) => (settle(), this.#shapes?.ran(feeds), resolve(result)),
        reject: (error) => (settle(), reject(error)),
        measuredMs,
        loan,
        startedMs: this.#runs.size < this.#options.slots ? this.#now() : undefined,
      });
      try {
        const answer = loan?.answer === undefined ? {} : { answer: loan.answer };
        const message = { type: 'run', id, tensors: feeds, outputs, ...answer } as const;
        const places = loan?.feeds.map((region) => region?.at);
        this.#pipe.send(sequence === undefined ? message : { ...message, sequence }, places);
      } catch (cause) {
        this.#finish(id)?.reject(
          new RuntimeError('invalid-input', cause instanceof Error ? cause.message : '', { cause }),
        );
      }
      if (this.#cancelTick === undefined) this.#scheduleTick();
      return undefined;
    });
  }

  /** Drops the state of a sequence, after the run of it that is in flight. */
  forget(key: number): void {
    this.#pipe.send({ type: 'forget', key });
  }

  /** SIGKILL; runs in flight reject with `reason`. */
  kill(reason: RuntimeError): void {
    this.#pipe.kill(reason);
    this.#failAll(reason);
  }

  /** Lets the runs in flight end, then the process. */
  async close(): Promise<void> {
    if (this.#runs.size > 0) await new Promise<void>((resolve) => this.#drained.push(resolve));
    const closed = new RuntimeError('closed', `${this.#options.label} was closed`);
    this.#pipe.expectEnd(closed);
    this.#pipe.send({ type: 'close' });
    const cancel = this.#clock.after(EXIT_LIMIT_MS, () => this.#pipe.kill(closed));
    await this.ended;
    cancel();
  }

  #receive(message: FromExecutor): void {
    this.#pingSentMs = undefined; // any word is a sign of life
    if (message.type === 'result') {
      this.#answered += 1;
      const outputs = message.tensors as NamedTensor[];
      this.#arena?.expect(outputs);
      this.#finish(message.id)?.resolve({ outputs, computeUs: message.computeUs });
    } else if (message.type === 'failed' && message.id !== undefined) {
      this.#answered += 1;
      this.#finish(message.id)?.reject(new RuntimeError(message.code, message.message));
    }
  }

  /** Throws FrameError where the bytes are not the run's. */
  #answerBytes(id: number, at: number, sizeBytes: number): Uint8Array {
    const loan = this.#runs.get(id)?.loan;
    if (loan === undefined || this.#arena === undefined) throw new FrameError(`run ${id} has no shared memory`);
    return this.#arena.read(loan, at, sizeBytes);
  }

  /** Takes a run out of the table; the next one that waits has its slot now, and its shared memory is free. */
  #finish(id: number): RunInFlight | undefined {
    const run = this.#runs.get(id);
    this.#runs.delete(id);
    if (run?.loan !== undefined) this.#arena?.release(run.loan);
    let slots = this.#options.slots;
    for (const other of this.#runs.values()) {
      if (slots-- === 0) break;
      other.startedMs ??= this.#now();
    }
    if (this.#runs.size === 0) {
      for (const resolve of this.#drained.splice(0)) resolve();
    }
    return run;
  }

  #failAll(error: RuntimeError): void {
    for (const run of this.#runs.values()) run.reject(error);
    this.#runs.clear();
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  #now(): number {
    return this.#watch.look(this.#clock.monotonicMs());
  }

  /** Watches only while something is in flight: an idle device is left alone. */
  #scheduleTick(): void {
    this.#cancelTick = this.#clock.after(WATCH_INTERVAL_MS, () => {
      this.#cancelTick = undefined;
      if (this.#runs.size === 0 || this.#pipe.endReason !== undefined) {
        this.#pingSentMs = undefined;
        this.#arena?.trim();
        return;
      }
      const nowMs = this.#now();
      const running = [...this.#runs.values()].flatMap(({ startedMs, measuredMs }) => {
        return startedMs === undefined ? [] : [{ startedMs, measuredMs }];
      });
      const answersWhileRunning = this.loaded.engine.capabilities.concurrentRuns;
      const reason = hangReason({ nowMs, pingSentMs: this.#pingSentMs, answersWhileRunning, running }, this.#limits);
      if (reason !== undefined) {
        this.kill(new RuntimeError('executor-hung', `the executor of ${this.#options.label} hung: ${reason}`));
        return;
      }
      if (this.#pingSentMs === undefined) {
        this.#pingSentMs = nowMs;
        this.#pipe.send({ type: 'ping', id: 0 });
      }
      this.#scheduleTick();
    });
  }
}
