// Loads a model with the number of threads that suits it on this machine (`--threads auto`): with one, and where its runs are long with
// more, one after the other, so that it is in memory once. Each is timed by a few runs of a golden's input, or of a made-up
// one. Who can't be timed has one thread. What was measured is kept (threads-file.ts), so that a later start loads once, but not what was
// measured beside other work. A shell: choose-threads.ts decides.
import type { ModelPackage } from '../package/model-package.js';
import { runGoldenInputs } from '../package/run-goldens.js';
import { BUSY_SHARE_MAX } from '../system/busy-share.js';
import type { Clock } from '../system/clock.js';
import type { Log } from '../system/log.js';
import { seededRandom } from '../system/random.js';
import type { NamedTensor } from '../tensor/tensor.js';
import {
  chooseThreads,
  isImplausible,
  isLong,
  threadCountsBeyondOne,
  type ThreadsChoice,
  type ThreadsMeasure,
} from './choose-threads.js';
import { makeRow, MadeUpRowError } from './made-up-row.js';
import type { ServedModel, ServedModelIdentity } from './served-model.js';

/** Runs per number of threads, the first not counted, or as many as begin within so long. */
const LIMIT_RUNS = 8;
const LIMIT_MS = 1000;
/** What takes longer to load is not loaded again to find out. */
const LIMIT_LOAD_MS = 5000;

/** What was measured before, by a key that names all it depends on. Nothing of it rejects: what isn't known is measured. */
export interface KeptThreads {
  find(key: string): Promise<ThreadsChoice | undefined>;
  keep(key: string, choice: ThreadsChoice): Promise<void>;
}

interface BestThreadsOptions {
  /** Threads at most. */
  readonly cores: number;
  readonly defaultDeadlineMs: number;
}

interface BestThreadsModules {
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined = each start measures. */
  readonly kept?: KeptThreads | undefined;
  /** How busy the machine is with other work, 0 to 1. */
  readonly busyShare: (signal: AbortSignal) => Promise<number>;
}

interface Chosen {
  readonly served: ServedModel;
  readonly choice: ThreadsChoice;
}

/** Loads the model so that its runs have so many threads. */
type Serve = (threads: number) => Promise<ServedModel>;

export class BestThreads {
  readonly #options: BestThreadsOptions;
  readonly #modules: BestThreadsModules;

  constructor(options: BestThreadsOptions, modules: BestThreadsModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** Rejects as `serve` does; nothing stays loaded then. */
  async serve(pack: ModelPackage, identity: ServedModelIdentity, serve: Serve, signal: AbortSignal): Promise<Chosen> {
    const { kept, log } = this.#modules;
    const { cores, defaultDeadlineMs } = this.#options;
    const { name: model, version, variantDigest } = identity;
    const key = `${variantDigest}, ${cores} cores, ${defaultDeadlineMs} ms`;
    const known = await kept?.find(key);
    if (known !== undefined) {
      const served = await serve(known.threads);
      if (served.provider.runs === 'cpu') {
        log.info({ model, version, ...known }, 'threads as measured before');
        return { served, choice: known };
      }
      await served.close();
    }
    const { served, choice, keep } = await this.#measured(pack, serve, signal);
    log.info({ model, version, ...choice }, 'threads chosen');
    if (keep) await kept?.keep(key, choice);
    return { served, choice };
  }

  async #measured(pack: ModelPackage, serve: Serve, signal: AbortSignal): Promise<Chosen & { keep: boolean }> {
    const { clock, busyShare } = this.#modules;
    let served = await serve(1);
    let threads = 1;
    try {
      const none = (reason: string, measured: readonly ThreadsMeasure[] = []) => {
        return { served, choice: { threads: 1, reason, measured }, keep: measured.length > 0 };
      };
      if (served.provider.runs !== 'cpu') return none("not measured: its runs are the GPU's");
      const sample = await sampleOf(pack, served, signal);
      if (typeof sample === 'string') return none(sample);
      const one = { threads, runMs: await fastestMs(served, sample, clock, signal) };
      const counts = isLong(one) ? threadCountsBeyondOne(this.#options.cores) : [];
      if (counts.length > 0 && served.loadMs > LIMIT_LOAD_MS) {
        return none(`loading it takes ${(served.loadMs / 1000).toFixed(0)} s: not loaded again to measure more`, [one]);
      }
      const change = async (to: number): Promise<void> => {
        if (to === threads) return;
        await served.close();
        served = await serve(to);
        threads = to;
      };
      const busy = counts.length === 0 ? 0 : await busyShare(signal);
      const measured: ThreadsMeasure[] = [one];
      for (const count of counts) {
        await change(count);
        measured.push({ threads, runMs: await fastestMs(served, sample, clock, signal) });
      }
      const found = chooseThreads(measured, this.#options.defaultDeadlineMs);
      await change(found.threads);
      const doubt = busy > BUSY_SHARE_MAX || isImplausible(measured);
      const reason = `${found.reason}${doubt ? '; measured beside other work, so the next start measures again' : ''}`;
      return { served, choice: { ...found, reason, measuredAtMs: clock.nowMs() }, keep: !doubt };
    } catch (error) {
      await served.close();
      throw error;
    }
  }
}

/** What one request gives it, or why that can't be had. */
async function sampleOf(
  pack: ModelPackage,
  { metadata }: ServedModel,
  signal: AbortSignal,
): Promise<readonly NamedTensor[] | string> {
  let golden: readonly NamedTensor[] | undefined;
  const keep = (inputs: readonly NamedTensor[]): Promise<readonly NamedTensor[]> => {
    golden = inputs;
    return Promise.resolve([]);
  };
  await runGoldenInputs(pack, keep, 1, { signal });
  if (golden !== undefined) return golden;
  try {
    return makeRow(metadata.inputs, new Map(), seededRandom(1));
  } catch (error) {
    if (!(error instanceof MadeUpRowError)) throw error;
    return 'not measured: it has no goldens, and its inputs leave open how large they are';
  }
}

async function fastestMs(
  served: ServedModel,
  sample: readonly NamedTensor[],
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const untilMs = clock.monotonicMs() + LIMIT_MS;
  let fastest = Infinity;
  for (let run = 0; run < LIMIT_RUNS && (run < 2 || clock.monotonicMs() < untilMs); run += 1) {
    const { computeUs } = await served.trial(sample, signal);
    if (run > 0) fastest = Math.min(fastest, computeUs / 1000);
  }
  return fastest;
}
