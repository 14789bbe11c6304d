// Loads a model with the number of threads that suits it on this device (`--threads auto`): with one, and where its runs are long with
// more, one after the other, so that it is in memory once. Each is timed by a few runs of a golden's input, or of a made-up
// one. Who can't be timed has one thread. A shell: choose-threads.ts decides.
import { runGoldenInputs } from '@tidegate/shared/package/run-goldens.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { makeRow, ProfileRowsError } from '../profile/profile-rows.js';
import {
  chooseThreads,
  isLong,
  threadCountsBeyondOne,
  type ThreadsChoice,
  type ThreadsMeasure,
} from './choose-threads.js';

/** Runs per number of threads, the first not counted, or as many as begin within so long. */
const LIMIT_RUNS = 8;
const LIMIT_MS = 1000;
/** What takes longer to load is not loaded again to find out. */
const LIMIT_LOAD_MS = 5000;

interface MeasuredThreadsOptions {
  /** Threads at most. */
  readonly cores: number;
  readonly defaultDeadlineMs: number;
}

interface Chosen {
  readonly served: ServedModel;
  readonly choice: ThreadsChoice;
}

/** `serve` loads the model so that its runs have so many threads. Rejects as it does; nothing stays loaded then. */
export async function serveWithBestThreads(
  pack: ModelPackage,
  serve: (threads: number) => Promise<ServedModel>,
  { cores, defaultDeadlineMs }: MeasuredThreadsOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<Chosen> {
  let served = await serve(1);
  let threads = 1;
  try {
    const none = (why: string): Chosen => ({ served, choice: { threads: 1, reason: why, measured: [] } });
    if (served.provider.runs !== 'cpu') return none("not measured: its runs are the GPU's");
    const sample = await sampleOf(pack, served, signal);
    if (typeof sample === 'string') return none(sample);
    const one = { threads, runMs: await fastestMs(served, sample, clock, signal) };
    const measured: ThreadsMeasure[] = [one];
    const counts = isLong(one) ? threadCountsBeyondOne(cores) : [];
    if (counts.length > 0 && served.loadMs > LIMIT_LOAD_MS) {
      return none(`loading it takes ${(served.loadMs / 1000).toFixed(0)} s: not loaded again to measure more`);
    }
    const change = async (to: number): Promise<void> => {
      if (to === threads) return;
      await served.close();
      served = await serve(to);
      threads = to;
    };
    for (const count of counts) {
      await change(count);
      measured.push({ threads, runMs: await fastestMs(served, sample, clock, signal) });
    }
    const choice = chooseThreads(measured, defaultDeadlineMs);
    await change(choice.threads);
    return { served, choice };
  } catch (error) {
    await served.close();
    throw error;
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
    if (!(error instanceof ProfileRowsError)) throw error;
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
