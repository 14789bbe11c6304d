// The child process of an executor, its pipe and the memory shared with it, without any notion of runs: its start, frames both
// ways, and the one reason for which it ended.
import { createRequire } from 'node:module';
import type { ChildEnd, ExecutorChild, StartChild } from './executor-child.js';
import { decodeFromExecutor, encodeMessage, type FromExecutor, type ToExecutor } from './executor-protocol.js';
import { FrameReader } from './frames.js';
import { RuntimeError } from './runtime-error.js';
import { TensorArena } from './tensor-arena.js';
import type { Log } from '../system/log.js';

const STDERR_KEPT_CHARS = 2_000;

interface ExecutorPipeOptions {
  readonly label: string;
  /** Runs that compute at once. */
  readonly slots: number;
}

export interface ExecutorPipeModules {
  readonly log: Log;
  readonly startChild: StartChild;
  /** Forces one engine; otherwise the executor takes the first that loads. */
  readonly engine?: 'capi' | 'binding' | undefined;
}

/** Throws RuntimeError `load-failed` without processes, memory or file descriptors left, where spawning throws at once. */
export function openPipe(options: ExecutorPipeOptions, modules: ExecutorPipeModules): ExecutorPipe {
  const arena = TensorArena.open();
  try {
    return new ExecutorPipe(options, modules, arena);
  } catch (cause) {
    arena?.close();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RuntimeError('load-failed', `the executor of ${options.label} can't start: ${reason}`, { cause });
  }
}

export class ExecutorPipe {
  readonly ended: Promise<RuntimeError>;
  /** Offered to the executor; undefined where the platform has none. Closed when the executor is gone. */
  readonly arena: TensorArena | undefined;
  sharedBytes: NonNullable<Parameters<typeof decodeFromExecutor>[1]> | undefined;
  /** By SIGKILL, and not by `kill`. */
  killedByOthers = false;
  onMessage: (message: FromExecutor) => void = () => undefined;
  readonly #child: ExecutorChild;
  readonly #reader = new FrameReader();
  #reason: RuntimeError | undefined;
  #expected: RuntimeError | undefined;
  #stderr = '';

  constructor(options: ExecutorPipeOptions, modules: ExecutorPipeModules, arena: TensorArena | undefined) {
    const { label } = options;
    const { log, engine, startChild } = modules;
    this.arena = arena;
    // Executors always start from the compiled tree, also when this file runs from source.
    const entry = createRequire(import.meta.url).resolve('@tidegate/shared/runtime/executor/main.js');
    this.#child = startChild({
      command: process.execPath,
      args: [entry, label],
      env: executorEnvironment(options.slots, engine),
      sharedFd: arena?.fd,
    });
    const { pipe, stderr, closed } = this.#child;
    pipe.on('data', (chunk: Uint8Array) => this.#read(chunk));
    pipe.on('error', (error) => log.debug({ label, error: error.message }, 'executor pipe'));
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT_CHARS);
      log.debug({ label, executorPid: this.pid, text: text.slice(0, STDERR_KEPT_CHARS).trimEnd() }, 'executor says');
    });
    this.ended = closed.then((end) => {
      arena?.close();
      if (this.#reason === undefined) this.killedByOthers = 'signal' in end && end.signal === 'SIGKILL';
      return (this.#reason ??= this.#expected ?? this.#death(label, end));
    });
  }

  /** -1 until it has started; known once it has said anything. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Why nothing can be sent any more; undefined while it lives. */
  get endReason(): RuntimeError | undefined {
    return this.#reason;
  }

  /** Throws FrameError for a message beyond the limits; to a dead executor it sends nothing. */
  send(message: ToExecutor, places?: readonly (number | undefined)[]): void {
    const chunks = encodeMessage(message, places);
    const { pipe } = this.#child;
    if (this.#reason !== undefined || !pipe.writable) return;
    pipe.cork();
    for (const chunk of chunks) pipe.write(chunk);
    pipe.uncork();
  }

  /** An end from now on is no accident. */
  expectEnd(reason: RuntimeError): void {
    this.#expected = reason;
  }

  kill(reason: RuntimeError): void {
    this.#reason ??= reason;
    this.#child.kill();
  }

  #read(chunk: Uint8Array): void {
    if (this.#reason !== undefined) return;
    try {
      for (const frame of this.#reader.push(chunk)) this.onMessage(decodeFromExecutor(frame, this.sharedBytes));
    } catch (cause) {
      this.kill(new RuntimeError('executor-died', `the executor wrote no frame: ${String(cause)}`, { cause }));
    }
  }

  #death(label: string, end: ChildEnd): RuntimeError {
    if ('failure' in end) {
      const { failure: cause } = end;
      return new RuntimeError('executor-died', `the executor of ${label} can't start: ${cause.message}`, { cause });
    }
    const how = end.signal === null ? `code ${end.code}` : `signal ${end.signal}`;
    const said = this.#stderr.trim() === '' ? '' : `: ${this.#stderr.trim()}`;
    return new RuntimeError('executor-died', `the executor of ${label} ended (${how})${said}`);
  }
}

/** Threads of libuv's pool carry the runs: one for each slot, so that what is primed waits for a slot (run-slots.ts). */
function executorEnvironment(slots: number, engine: ExecutorPipeModules['engine']): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...inherited } = process.env; // a debugger's or test runner's options are not the executor's
  const forced = engine === undefined ? {} : { TIDEGATE_ENGINE: engine };
  return { ...inherited, ...forced, UV_THREADPOOL_SIZE: String(slots) };
}
