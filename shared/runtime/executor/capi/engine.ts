// The default engine: ONNX Runtime through its C API (design decision 3). Sessions share one environment and, where it was made
// with a pool of threads, that pool: an executor of many graphs has no more threads than one of a single graph. Threads do not
// spin while idle.
import { join } from 'node:path';
import { CapiSession, readSessionIo, type SessionIo } from './session.js';
import { appendProvider, builtProviders, cpuNodesOf } from './providers.js';
import { Ort, type Pointer } from './table.js';
import type { ValueContext } from './values.js';
import { climb, type Rungs } from '../ladder.js';
import { libraryFolder } from '../library-folder.js';
import {
  COMPILED_GRAPH,
  SAVE_CONFIG,
  type Engine,
  type EngineSession,
  type LoadOptions,
  type Provider,
} from '../../engine.js';
import { RuntimeError } from '../../runtime-error.js';

/** Every error comes back to the caller; ONNX Runtime need not write it to stderr as well. */
const LOG_LEVEL_FATAL = 4;
/** ORT_DISABLE_ALL: what was saved has been through it. */
const OPTIMIZE_NOTHING = 0;
const ALLOCATOR_DEVICE = 0;
const MEMORY_DEFAULT = 0;

/**
 * `sharedThreads`: sessions that ask for so many have one pool together; any others have their own. The environment is the
 * process's, so only a process whose one engine this is may ask for a pool.
 * Throws where the library, koffi or the platform isn't there; the caller then takes the other engine.
 */
export function createCapiEngine(sharedThreads?: number): Engine {
  return new CapiEngine(new Ort(), sharedThreads);
}

class CapiEngine implements Engine {
  readonly name = 'ort-capi';
  readonly capabilities = { concurrentRuns: true, cancellable: true, persistentTensors: true };
  readonly version: string;
  readonly #context: ValueContext;
  readonly #env: bigint;
  readonly #sharedThreads: number | undefined;
  readonly #rungs: Rungs;
  readonly #sessions = new Set<EngineSession>();

  constructor(ort: Ort, sharedThreads: number | undefined) {
    this.#sharedThreads = sharedThreads;
    this.version = ort.version;
    this.#rungs = { built: builtProviders(ort), folder: libraryFolder() };
    this.#env =
      sharedThreads === undefined
        ? ort.make('CreateEnv', LOG_LEVEL_FATAL, 'tidegate')
        : environmentWithPool(ort, sharedThreads);
    ort.call('DisableTelemetryEvents', this.#env);
    this.#context = {
      ort,
      cpuMemory: ort.make('CreateCpuMemoryInfo', ALLOCATOR_DEVICE, MEMORY_DEFAULT),
      allocator: ort.make('GetAllocatorWithDefaultOptions'),
    };
  }

  async load(options: LoadOptions, signal: AbortSignal): Promise<EngineSession> {
    const { result, report } = await climb(options.providers, this.#rungs, (provider) =>
      this.#create(options, provider, signal),
    );
    const { cpuNodes } = result;
    const account = cpuNodes === undefined ? report : { ...report, cpuNodes };
    const session = new CapiSession(this.#context, result.session, result.io, account);
    this.#sessions.add(session);
    return session;
  }

  /** Ends after the runs in flight. The environment stays: it is the process's. */
  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close()));
    this.#sessions.clear();
  }

  async #create(
    options: LoadOptions,
    provider: Provider,
    signal: AbortSignal,
  ): Promise<{ readonly session: bigint; readonly io: SessionIo; readonly cpuNodes: number | undefined }> {
    if (signal.aborted) throw new RuntimeError('cancelled', 'loading was cancelled');
    const { ort } = this.#context;
    const sessionOptions = ort.make('CreateSessionOptions');
    const cancel = (): void => ort.call('SessionOptionsSetLoadCancellationFlag', sessionOptions, true);
    try {
      if (options.intraOpThreads === this.#sharedThreads) ort.call('DisablePerSessionThreads', sessionOptions);
      else ort.call('SetIntraOpNumThreads', sessionOptions, options.intraOpThreads);
      ort.call('AddSessionConfigEntry', sessionOptions, 'session.intra_op.allow_spinning', '0');
      appendProvider(ort, sessionOptions, provider);
      if (options.compiled === true) ort.call('SetSessionGraphOptimizationLevel', sessionOptions, OPTIMIZE_NOTHING);
      if (options.saveTo !== undefined) {
        ort.call('SetOptimizedModelFilePath', sessionOptions, join(options.saveTo, COMPILED_GRAPH));
        for (const [key, value] of Object.entries(SAVE_CONFIG)) {
          ort.call('AddSessionConfigEntry', sessionOptions, key, value);
        }
      }
      signal.addEventListener('abort', cancel, { once: true });
      const out: [Pointer] = [null];
      await ort.callAsync('CreateSession', this.#env, options.path, sessionOptions, out);
      const session = out[0];
      if (session === null) throw new RuntimeError('load-failed', 'the engine made no session');
      try {
        const cpuNodes = provider === 'cpu' ? undefined : cpuNodesOf(ort, session);
        return { session, io: readSessionIo(this.#context, session), cpuNodes };
      } catch (cause) {
        ort.release('ReleaseSession', session);
        throw cause;
      }
    } catch (cause) {
      if (signal.aborted) throw new RuntimeError('cancelled', 'loading was cancelled', { cause });
      if (cause instanceof RuntimeError) throw cause;
      throw new RuntimeError('load-failed', cause instanceof Error ? cause.message : String(cause), { cause });
    } finally {
      signal.removeEventListener('abort', cancel);
      ort.release('ReleaseSessionOptions', sessionOptions);
    }
  }
}

function environmentWithPool(ort: Ort, threads: number): bigint {
  const threading = ort.make('CreateThreadingOptions');
  try {
    ort.call('SetGlobalIntraOpNumThreads', threading, threads);
    ort.call('SetGlobalInterOpNumThreads', threading, 1); // nodes of one run go one after the other
    ort.call('SetGlobalSpinControl', threading, 0);
    return ort.make('CreateEnvWithGlobalThreadPools', LOG_LEVEL_FATAL, 'tidegate', threading);
  } finally {
    ort.release('ReleaseThreadingOptions', threading);
  }
}
