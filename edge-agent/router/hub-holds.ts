// A hub that is busy answers with a refusal and a time (Retry-After): it is well, and asking it sooner only makes it busier.
// Until then the model's requests are refused here, in the hub's own words. Pure but for what it remembers, which is bounded
// in models and in time. Not held: a sequence that goes on, whose state is there already; and, where the hub
// could not answer in the time that was left, whoever has more time than the one that it refused.
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { ServingError, type ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';

/** The hub is there and says when it has room. */
const BUSY: ReadonlySet<ServingErrorCode> = new Set(['queue-full', 'rate-limited', 'would-miss-deadline', 'not-ready']);
/** A matter of how much time the request had: for its turn, or for the model to load. */
const OF_ITS_TIME: ReadonlySet<ServingErrorCode> = new Set(['would-miss-deadline', 'not-ready']);
/** No word of a hub keeps a model from it for longer. */
const LIMIT_HOLD_MS = 30_000;
/** Beyond it the oldest is forgotten. */
const LIMIT_MODELS = 256;

interface Hold {
  readonly refusal: ServingError;
  readonly untilMs: number;
  /** Requests with more time than this are not held. */
  readonly timeMs: number;
}

type Asked = Pick<InferRequest, 'model' | 'sequence'>;

/** Did the hub refuse because it is busy, and say until when? Then it has answered. */
export function isBusy({ code, retryAfterMs }: ServingError): boolean {
  return retryAfterMs !== undefined && BUSY.has(code);
}

export class HubHolds {
  readonly #byModel = new Map<string, Hold>();

  /** What a request with `timeMs` left is refused with instead of asking; undefined where it may ask. `nowMs` is monotonic. */
  refusal({ model, sequence }: Asked, timeMs: number, nowMs: number): ServingError | undefined {
    const hold = this.#byModel.get(model);
    if (hold === undefined) return undefined;
    const leftMs = Math.ceil(hold.untilMs - nowMs);
    if (leftMs <= 0) this.#byModel.delete(model);
    if (leftMs <= 0 || timeMs > hold.timeMs || sequence?.start === false) return undefined;
    const { code, message } = hold.refusal;
    return new ServingError(code, `not asked for ${leftMs} ms more, since it answered: ${message}`, {
      cause: hold.refusal,
      retryAfterMs: leftMs,
    });
  }

  /** The hub refused a request that had `timeMs`. */
  note({ model }: Asked, refusal: ServingError, timeMs: number, nowMs: number): void {
    const { code, retryAfterMs } = refusal;
    if (retryAfterMs === undefined || !isBusy(refusal)) return;
    this.#byModel.delete(model);
    const [oldest] = this.#byModel.keys();
    if (oldest !== undefined && this.#byModel.size >= LIMIT_MODELS) this.#byModel.delete(oldest);
    this.#byModel.set(model, {
      refusal,
      untilMs: nowMs + Math.min(retryAfterMs, LIMIT_HOLD_MS),
      timeMs: OF_ITS_TIME.has(code) ? timeMs : Infinity,
    });
  }
}
