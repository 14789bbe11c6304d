// The cache as the router sees it: layers from the nearest on, and single flight in front of computing. Errors are never
// kept. What a request says (`cache`, `max_staleness_ms`) and the model's TTL decide what may answer; keys hold the variant's
// digest, so a new active version never answers from the old one's entries and a rollout needs no sweep.
import type { CacheMode } from '@tidegate/shared/serving/inference-service.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { CachedAnswer, CacheLayer, CacheLayerCounts, CacheLayerName } from './cache-layer.js';
import { cacheKey, type CacheQuestion } from './cache-key.js';
import { SingleFlight } from './single-flight.js';

export interface CachePolicy {
  /** False: the model says so, or its graph draws random numbers. Single flight then is off too. */
  readonly enabled: boolean;
  readonly mode: CacheMode;
  readonly ttlMs: number;
  readonly maxStalenessMs: number | undefined;
  /** Monotonic. */
  readonly deadlineMs: number;
}

export interface ComputedAnswer extends CachedAnswer {
  readonly queueUs: number;
  readonly computeUs: number;
}

export interface CacheOutcome {
  readonly answer: CachedAnswer;
  readonly queueUs: number;
  readonly computeUs: number;
  /** The layer that had it; undefined = computed now. */
  readonly layer: CacheLayerName | undefined;
  readonly ageMs: number | undefined;
}

interface CacheCounts {
  readonly layers: Readonly<Record<string, CacheLayerCounts>>;
  /** Requests that waited for an equal one instead of computing. */
  readonly joined: number;
  readonly bypassed: number;
}

export class AnswerCache {
  readonly #layers: readonly CacheLayer[];
  readonly #flights: SingleFlight<ComputedAnswer>;
  #bypassed = 0;

  constructor(modules: { readonly layers: readonly CacheLayer[]; readonly clock: Clock }) {
    this.#layers = modules.layers;
    this.#flights = new SingleFlight(modules);
  }

  /** Rejects with what `compute` rejects with, or by this request's own deadline or signal. */
  async answer(
    question: CacheQuestion,
    policy: CachePolicy,
    compute: (signal: AbortSignal) => Promise<ComputedAnswer>,
    signal: AbortSignal,
  ): Promise<CacheOutcome> {
    if (!policy.enabled || policy.mode === 'bypass') {
      this.#bypassed += 1;
      return fresh(await compute(signal));
    }
    const key = cacheKey(question);
    if (policy.mode === 'refresh') {
      const answer = await compute(signal);
      await this.#store(key, answer);
      return fresh(answer);
    }
    const maxAgeMs = Math.min(policy.ttlMs, policy.maxStalenessMs ?? Infinity);
    const hit = await this.#lookUp(key, maxAgeMs, signal);
    if (hit !== undefined) return hit;
    const { value } = await this.#flights.fly(key, policy.deadlineMs, signal, async (flightSignal) => {
      const answer = await compute(flightSignal);
      await this.#store(key, answer);
      return answer;
    });
    return fresh(value);
  }

  get counts(): CacheCounts {
    return {
      layers: Object.fromEntries(this.#layers.map((layer) => [layer.name, layer.counts])),
      joined: this.#flights.joined,
      bypassed: this.#bypassed,
    };
  }

  async clear(): Promise<void> {
    for (const layer of this.#layers) await layer.clear();
  }

  async #lookUp(key: string, maxAgeMs: number, signal: AbortSignal): Promise<CacheOutcome | undefined> {
    for (const [i, layer] of this.#layers.entries()) {
      const found = layer.get(key, maxAgeMs, signal);
      const hit = found instanceof Promise ? await found : found;
      if (hit === undefined) continue;
      for (const nearer of this.#layers.slice(0, i)) await nearer.put(key, hit.answer);
      return { answer: hit.answer, queueUs: 0, computeUs: 0, layer: layer.name, ageMs: hit.ageMs };
    }
    return undefined;
  }

  async #store(key: string, computed: ComputedAnswer): Promise<void> {
    const { queueUs: _queueUs, computeUs: _computeUs, ...answer } = computed;
    for (const layer of this.#layers) await layer.put(key, answer);
  }
}

function fresh(answer: ComputedAnswer): CacheOutcome {
  return { answer, queueUs: answer.queueUs, computeUs: answer.computeUs, layer: undefined, ageMs: undefined };
}
