// The hub as the router sees it: one call under a breaker and a measured time. The call itself (protocol, connection,
// certificates) is behind HubLink; this shell only decides whether it may go out, limits its time and learns from how it
// ended. Never throws anything but ServingError.
import type { InferAnswer, InferRequest, ModelMetadata } from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import {
  afterCall,
  CLOSED_BREAKER,
  tryCall,
  type BreakerOptions,
  type BreakerState,
  type CallOutcome,
} from './breaker.js';
import { HubHolds, isBusy } from './hub-holds.js';
import { linkOf, observeLink, UNMEASURED_LINK, wayMs, type LinkEstimate } from './link-estimate.js';
import { observeHub, UNMEASURED_HUB, type HubTimes } from './hub-wait.js';

/** How the hub is reached: an Open Inference Protocol client with the agent's credentials. */
export interface HubLink {
  /** For logs and status. */
  readonly url: string;
  /**
   * Asks the hub, telling it the remaining time. Rejects with ServingError: the hub's own refusal (its 4xx keeps its code),
   * `hub-unavailable` when it can't be reached or answers wrongly, `cancelled` when the signal aborts.
   */
  infer(request: InferRequest, remainingMs: number, signal: AbortSignal): Promise<InferAnswer>;
  /** What a model of the hub takes and gives. Rejects as `infer`. */
  metadata(model: string, version: string | undefined, withinMs: number, signal: AbortSignal): Promise<ModelMetadata>;
}

interface HubCounts {
  readonly calls: number;
  readonly probes: number;
  readonly answers: number;
  readonly failures: number;
  readonly timeouts: number;
  readonly kept: number;
}

/** The hub answered and is well, but refuses this request: not its failure. */
const REQUESTS_OWN: ReadonlySet<string> = new Set([
  'invalid-argument',
  'not-found',
  'too-large',
  'forbidden',
  'would-miss-deadline',
  'sequence-lost',
  'rate-limited',
]);

/** A request that needs it has waited for nothing yet. */
const METADATA_WITHIN_MS = 5000;

export class HubClient {
  readonly #link: HubLink;
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #holds = new HubHolds();
  #breaker: BreakerState = CLOSED_BREAKER;
  #times: HubTimes = UNMEASURED_HUB;
  #way: LinkEstimate = UNMEASURED_LINK;
  #counts = { calls: 0, probes: 0, answers: 0, failures: 0, timeouts: 0, kept: 0 };
  #lastError: string | undefined;

  constructor(link: HubLink, options: BreakerOptions, modules: { readonly clock: Clock; readonly log: Log }) {
    this.#link = link;
    this.#options = options;
    this.#clock = modules.clock;
    this.#log = modules.log;
  }

  /** `broken`: the breaker is open and no probe is due. */
  get state(): 'reachable' | 'broken' {
    return tryCall(this.#breaker, this.#options, this.#clock.monotonicMs()).allowed ? 'reachable' : 'broken';
  }

  get times(): HubTimes {
    return this.#times;
  }

  /** What the way to it costs, beside what the hub says that it waited and computed. */
  get link(): LinkEstimate {
    return this.#way;
  }

  get status(): {
    readonly url: string;
    readonly phase: BreakerState['phase'];
    readonly meanMs: number | undefined;
    readonly roundTripMs: number | undefined;
    /** Undefined until calls of different sizes told it apart from the round trip. */
    readonly bytesPerSecond: number | undefined;
    readonly lastError: string | undefined;
    readonly counts: HubCounts;
  } {
    const { phase } = this.#breaker;
    const { roundTripMs, msPerByte = 0 } = linkOf(this.#way) ?? {};
    const bytesPerSecond = msPerByte > 0 ? Math.round(1000 / msPerByte) : undefined;
    const { meanMs } = this.#times;
    const [url, lastError, counts] = [this.#link.url, this.#lastError, this.#counts];
    return { url, phase, meanMs, roundTripMs, bytesPerSecond, lastError, counts };
  }

  /**
   * Asks within `waitMs`. Rejects with ServingError: `hub-unavailable` also when the breaker keeps it back, and the hub's last
   * refusal of the model until the time that it named.
   */
  async ask(request: InferRequest, waitMs: number, signal: AbortSignal): Promise<InferAnswer> {
    const startedMs = this.#clock.monotonicMs();
    const held = this.#holds.refusal(request, waitMs, startedMs);
    if (held !== undefined) {
      this.#counts.kept += 1;
      throw held;
    }
    const attempt = tryCall(this.#breaker, this.#options, startedMs);
    if (!attempt.allowed || waitMs <= 0) {
      this.#counts.kept += 1;
      throw new ServingError(
        'hub-unavailable',
        attempt.allowed ? 'no time left to ask the hub' : 'the hub does not answer now',
      );
    }
    this.#breaker = attempt.state;
    this.#counts.calls += 1;
    if (attempt.probe) this.#counts.probes += 1;
    // Not AbortSignal.any, which the caller's signal would remember for as long as the caller's connection lasts.
    const ends = new AbortController();
    let timedOut = false;
    const cancelTimer = this.#clock.after(waitMs, () => {
      timedOut = true;
      ends.abort();
    });
    const onAbort = (): void => ends.abort(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    try {
      const answer = await this.#link.infer(request, waitMs, ends.signal);
      this.#measure(request, answer, startedMs);
      this.#counts.answers += 1;
      this.#ended('success', undefined);
      return answer;
    } catch (cause) {
      if (signal.aborted || timedOut) this.#gaveUp(request, startedMs);
      if (signal.aborted) throw new ServingError('cancelled', 'the caller went away', { cause });
      if (timedOut || (cause instanceof ServingError && cause.code === 'deadline-exceeded')) {
        this.#counts.timeouts += 1;
        this.#ended('timeout', `no answer within ${Math.round(waitMs)} ms`);
        throw new ServingError('hub-unavailable', `the hub did not answer within ${Math.round(waitMs)} ms`, { cause });
      }
      const error =
        cause instanceof ServingError ? cause : new ServingError('hub-unavailable', String(cause), { cause });
      this.#counts.failures += 1;
      this.#holds.note(request, error, waitMs, this.#clock.monotonicMs());
      this.#ended(isBusy(error) || REQUESTS_OWN.has(error.code) ? 'success' : 'failure', error.message);
      throw error;
    } finally {
      cancelTimer();
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Of a model that the hub has. The breaker keeps it back, and learns nothing from it. Rejects with ServingError. */
  async metadata(model: string, version: string | undefined, signal: AbortSignal): Promise<ModelMetadata> {
    if (this.state === 'broken') throw new ServingError('hub-unavailable', 'the hub does not answer now');
    return this.#link.metadata(model, version, METADATA_WITHIN_MS, signal);
  }

  #measure(request: InferRequest, { outputs, provenance }: InferAnswer, startedMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#times = observeHub(this.#times, nowMs - startedMs);
    const onTheWayMs = Math.max(0, nowMs - startedMs - (provenance.queueUs + provenance.computeUs) / 1000);
    this.#way = observeLink(this.#way, bytesOf(request.inputs) + bytesOf(outputs), onTheWayMs, nowMs);
  }

  /** It would have taken longer than this: known to be slow where it was taken to be faster. */
  #gaveUp({ inputs }: InferRequest, startedMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    const bytes = bytesOf(inputs);
    if (nowMs - startedMs > wayMs(this.#way, bytes).ms)
      this.#way = observeLink(this.#way, bytes, nowMs - startedMs, nowMs);
  }

  #ended(outcome: CallOutcome, error: string | undefined): void {
    const before = this.#breaker.phase;
    this.#breaker = afterCall(this.#breaker, this.#options, outcome, this.#clock.monotonicMs());
    this.#lastError = outcome === 'success' ? undefined : error;
    if (before === this.#breaker.phase) return;
    const fields = { hub: this.#link.url, ...(error === undefined ? {} : { error }) };
    if (this.#breaker.phase === 'open') this.#log.warn(fields, 'the hub does not answer: asking it only to probe');
    else this.#log.info(fields, 'the hub answers again');
  }
}

function bytesOf(tensors: InferRequest['inputs']): number {
  return tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
}
