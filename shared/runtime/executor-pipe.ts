// The child process of an executor, its pipe and the memory shared with it, without any notion of runs: spawn, frames both ways,
// and the one reason for which it ended.
import { spawn, type ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import type { Duplex, Readable } from 'node:stream';
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
  readonly pid: number;
  readonly ended: Promise<RuntimeError>;
  /** Offered to the executor; undefined where the platform has none. Closed when the executor is gone. */
  readonly arena: TensorArena | undefined;
  sharedBytes: NonNullable<Parameters<typeof decodeFromExecutor>[1]> | undefined;
  /** By SIGKILL, and not by `kill`. */
  killedByOthers = false;
  onMessage: (message: FromExecutor) => void = () => undefined;
  readonly #child: ChildProcess;
  readonly #socket: Duplex;
  readonly #reader = new FrameReader();
  #reason: RuntimeError | undefined;
  #expected: RuntimeError | undefined;
  #stderr = '';
  #fail: (cause: Error) => void = () => undefined;

  constructor(options: ExecutorPipeOptions, { log, engine }: ExecutorPipeModules, arena: TensorArena | undefined) {
    const { label } = options;
    this.arena = arena;
    // Executors always start from the compiled tree, also when this file runs from source.
    const entry = createRequire(import.meta.url).resolve('@tidegate/shared/runtime/executor/main.js');
    this.#child = spawn(process.execPath, [entry, label], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...(arena === undefined ? [] : [arena.fd])],
      env: executorEnvironment(options.slots, engine),
    });
    this.#child.on('error', (cause) => this.#fail(cause)); // before anything can throw: unheard, it would end this process
    this.pid = this.#child.pid ?? -1;
    // Node leaves `stdio` out where no file descriptor was left for it.
    if ((this.#child.stdio as readonly unknown[] | undefined) === undefined)
      throw new Error('no file descriptors left');
    this.#socket = this.#child.stdio[3] as Duplex;
    this.#socket.on('data', (chunk: Uint8Array) => this.#read(chunk));
    this.#socket.on('error', (error) => log.debug({ label, error: error.message }, 'executor pipe'));
    (this.#child.stderr as Readable).setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT_CHARS);
      log.debug({ label, executorPid: this.pid, text: text.slice(0, STDERR_KEPT_CHARS).trimEnd() }, 'executor says');
    });
    this.ended = new Promise((resolve) => {
      const end = (reason: RuntimeError): void => {
        arena?.close();
        resolve(reason);
      };
      this.#fail = (cause) => {
        this.#reason ??= new RuntimeError('executor-died', `the executor of ${label} can't start: ${cause.message}`, {
          cause,
        });
        if (this.#child.pid === undefined) end(this.#reason);
      };
      // `close`, not `exit`: what it wrote before it ended has been read by then.
      this.#child.on('close', (code, signal) => {
        if (this.#reason === undefined) this.killedByOthers = signal === 'SIGKILL';
        this.#reason ??= this.#expected ?? this.#death(label, code, signal);
        end(this.#reason);
      });
    });
  }

  /** Why nothing can be sent any more; undefined while it lives. */
  get endReason(): RuntimeError | undefined {
    return this.#reason;
  }

  /** Throws FrameError for a message beyond the limits; to a dead executor it sends nothing. */
  send(message: ToExecutor, places?: readonly (number | undefined)[]): void {
    const chunks = encodeMessage(message, places);
    if (this.#reason !== undefined || !this.#socket.writable) return;
    this.#socket.cork();
    for (const chunk of chunks) this.#socket.write(chunk);
    this.#socket.uncork();
  }

  /** An end from now on is no accident. */
  expectEnd(reason: RuntimeError): void {
    this.#expected = reason;
  }

  kill(reason: RuntimeError): void {
    this.#reason ??= reason;
    this.#child.kill('SIGKILL');
  }

  #read(chunk: Uint8Array): void {
    if (this.#reason !== undefined) return;
    try {
      for (const frame of this.#reader.push(chunk)) this.onMessage(decodeFromExecutor(frame, this.sharedBytes));
    } catch (cause) {
      this.kill(new RuntimeError('executor-died', `the executor wrote no frame: ${String(cause)}`, { cause }));
    }
  }

  #death(label: string, code: number | null, signal: NodeJS.Signals | null): RuntimeError {
    const how = signal === null ? `code ${code}` : `signal ${signal}`;
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
