// What a model that is loaded asks of itself: its package's goldens, their inputs alone, or one request of whoever loaded it. They
// go the way of every request, and whoever counts requests knows by `running` that these are none.
//
// Invariants: each is a sequence of its own, so that a model with state answers it from the initial state; `running` ends with
// the last of them, however it ends.
import type { ModelPackage } from '../package/model-package.js';
import { runGoldenInputs, runGoldens, type GoldensResult, type InferGolden } from '../package/run-goldens.js';
import type { Clock } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';
import type { PipelineRequest } from './evaluate-request.js';
import type { ModelAnswer, ServedModel } from './served-model.js';

const GOLDEN_TIMEOUT_MS = 60_000;
/** One run of a warm-up: it may compile (B19). Who waits for all of them has a limit of their own. */
const WARM_UP_RUN_MS = 1_800_000;
const WARM_UP_RUNS_MAX = 8;
const PADDING_GOLDENS_MAX = 64;

type AskTest = (...asked: Parameters<InferGolden>) => Promise<ModelAnswer>;

/** Methods reject as `model.infer` and run-goldens.ts do. */
export class SelfTests {
  readonly #pack: ModelPackage;
  readonly #model: Pick<ServedModel, 'infer'>;
  readonly #clock: Clock;
  #running = 0;

  constructor(pack: ModelPackage, model: Pick<ServedModel, 'infer'>, clock: Clock) {
    this.#pack = pack;
    this.#model = model;
    this.#clock = clock;
  }

  get running(): boolean {
    return this.#running > 0;
  }

  /** All goldens, scored. Passed with count 0 where the package has none. */
  async runGoldens(signal: AbortSignal, onProgress?: (done: number, count: number) => void): Promise<GoldensResult> {
    const progress = onProgress === undefined ? {} : { onProgress };
    return this.#test(GOLDEN_TIMEOUT_MS, (infer) =>
      runGoldens(this.#pack, infer, { clock: this.#clock, signal, ...progress }),
    );
  }

  /** Runs some of the goldens' inputs, whatever comes out, and tells what each graph is fed for them. */
  async feed(onFeeds: PipelineRequest['onFeeds'], signal: AbortSignal): Promise<void> {
    await this.#test(
      GOLDEN_TIMEOUT_MS,
      (infer) => runGoldenInputs(this.#pack, infer, PADDING_GOLDENS_MAX, { signal, onProgress: () => undefined }),
      onFeeds,
    );
  }

  /** Runs a few of the goldens' inputs, whatever comes out, each with time to compile. */
  async warmUp(signal: AbortSignal, onProgress: (done: number, count: number) => void): Promise<void> {
    await this.#test(WARM_UP_RUN_MS, (infer) =>
      runGoldenInputs(this.#pack, infer, WARM_UP_RUNS_MAX, { signal, onProgress }),
    );
  }

  /** Answers once, with all outputs. */
  async trial(inputs: readonly NamedTensor[], signal: AbortSignal): Promise<ModelAnswer> {
    return this.#test(GOLDEN_TIMEOUT_MS, (_, ask) => ask(inputs, [], signal));
  }

  async #test<T>(
    timeoutMs: number,
    test: (infer: InferGolden, ask: AskTest) => Promise<T>,
    onFeeds?: PipelineRequest['onFeeds'],
  ): Promise<T> {
    const ask: AskTest = (inputs, outputs, inner) => {
      const deadlineMs = this.#clock.monotonicMs() + timeoutMs;
      const sequence = { id: 'golden', scope: 'goldens', start: true, end: true }; // each begins with the initial state
      const heard = onFeeds === undefined ? {} : { onFeeds };
      return this.#model.infer({ inputs, outputs, deadlineMs, priority: 0, sequence, ...heard }, inner);
    };
    this.#running += 1;
    try {
      return await test(async (...asked) => (await ask(...asked)).outputs, ask);
    } finally {
      this.#running -= 1;
    }
  }
}
