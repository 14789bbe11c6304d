// The cache as agent and hub see it: layers from the nearest on, and single flight in front of computing. Errors are never
// kept. What a request says (`cache`, `max_staleness_ms`) and the model's TTL decide what may answer; keys hold the variant's
// digest, so a new active version never answers from the old one's entries and a rollout needs no sweep.
//
// Freshness: an answer's age travels with it from layer to layer. Within `staleWhileRevalidateMs` after the TTL it is given at
// once, said to be stale, and one run in the background renews it. What is dropped stays away: an answer that was being
// computed meanwhile is given, and not kept.
import type { CacheMode } from '../serving/inference-service.js';
import type { RanOn } from '../serving/provider-in-use.js';
import type { Clock } from '../system/clock.js';
import { CacheCounts, type ModelCacheCounts } from './cache-counts.js';
import type {
  CachedAnswer,
  CacheLabels,
  CacheLayer,
  CacheLayerCounts,
  CacheLayerName,
  CacheSelection,
} from './cache-layer.js';
import { cacheKey, type AnsweredBy, type CacheQuestion } from './cache-key.js';
import { InputDigests } from './input-digests.js';
import { SelfBypass } from './self-bypass.js';
import { SingleFlight } from './single-flight.js';

export interface CachePolicy {
  readonly model: string;
  /** False: the model says so, or its graph draws random numbers. Single flight then is off too. */
  readonly enabled: boolean;
  readonly mode: CacheMode;
  readonly ttlMs: number;
  /** After the TTL an answer may be given so much longer, while a new one is computed. */
  readonly staleWhileRevalidateMs: number;
  readonly maxStalenessMs: number | undefined;
  /** Monotonic. */
  readonly deadlineMs: number;
  /** May a renewal take the device's time now? Asked only where a stale answer was given. */
  readonly mayRenew: () => boolean;
  /** Whose answer is as good, where the one that the question names is not kept. */
  readonly orAnsweredBy?: AnsweredBy | undefined;
}

export interface ComputedAnswer extends CachedAnswer {
  readonly queueUs: number;
  readonly computeUs: number;
  readonly ranOn?: RanOn | undefined;
  /** Under whose answers it is kept, where that isn't who the question named. */
  readonly keptAs?: AnsweredBy;
  /** How it was computed, for people. */
  readonly note?: string;
  /** How old it was already when it came; absent = it was computed now. */
  readonly ageMs?: number | undefined;
  /** Not to be kept: it may come out otherwise the next time. */
  readonly once?: boolean;
  /** As InferAnswer says; heard only where the cache is passed by. */
  readonly unshared?: boolean | undefined;
  /** Where it was not computed after all, but had from a layer that is asked last. */
  readonly from?: { readonly layer: CacheLayerName; readonly ageMs: number; readonly note?: string };
}

export interface CacheOutcome {
  readonly answer: CachedAnswer;
  readonly queueUs: number;
  readonly computeUs: number;
  /** Of an answer that was computed now. */
  readonly ranOn?: RanOn | undefined;
  /** The layer that had it; undefined = computed now. */
  readonly layer: CacheLayerName | undefined;
  readonly ageMs: number | undefined;
  /** What else is to be said of how it came: `to a similar input (...)`. */
  readonly note?: string | undefined;
  /** Older than the model's TTL, and within what it allows on top. */
  readonly stale: boolean;
  /** The cache stood aside: it costs this model more than it saves. */
  readonly aside: boolean;
  /** The cache was passed by, and who computed the answer says that nobody else holds it. */
  readonly unshared?: boolean;
}

export interface FlightContext {
  /** The question's; undefined where the cache is passed by. */
  readonly key?: string;
  /** For nobody who waits: by its own deadline, and behind those who do. */
  readonly renewal?: { readonly deadlineMs: number };
}

/** Computes an answer, or gets it from a layer that is asked last. */
type Compute = (signal: AbortSignal, flight: FlightContext) => Promise<ComputedAnswer>;

/** Computes, and keeps what came out. */
type Keep = (run: () => Promise<ComputedAnswer>) => Promise<ComputedAnswer>;

/** A layer that is asked within the flight, by whoever computes: its counts and drops belong to the cache's. */
interface LastLayer {
  readonly name: CacheLayerName;
  readonly counts: CacheLayerCounts;
  drop(selection: CacheSelection): void;
}

interface AnswerCacheCounts {
  readonly layers: Readonly<Record<string, CacheLayerCounts>>;
  /** Requests that waited for an equal one instead of computing. */
  readonly joined: number;
  readonly bypassed: number;
  /** Runs in the background that replaced a stale answer, and what became of them. */
  readonly renewals: { readonly started: number; readonly failed: number; readonly kept: number };
}

interface ModelCacheReport extends ModelCacheCounts {
  readonly model: string;
  readonly aside: boolean;
  readonly layers: Readonly<Record<string, { readonly entries: number; readonly sizeBytes: number }>>;
}

const LIMIT_RENEWALS_AT_ONCE = 4;
const RENEWAL_TIMEOUT_MS = 30_000;

export class AnswerCache {
  readonly #layers: readonly CacheLayer[];
  readonly #lastLayers: readonly LastLayer[];
  readonly #inputs: InputDigests;
  readonly #clock: Clock;
  readonly #flights: SingleFlight<ComputedAnswer>;
  readonly #byModel = new CacheCounts();
  readonly #bypass = new SelfBypass();
  readonly #renewing = new Set<string>();
  #renewals = { started: 0, failed: 0, kept: 0 };
  #bypassed = 0;
  /** Counts calls of `drop`: what began before one is not kept after it. */
  #drops = 0;

  constructor(modules: {
    readonly layers: readonly CacheLayer[];
    /** Asked by whoever computes. None = nothing is asked then. */
    readonly lastLayers?: readonly LastLayer[];
    /** Remembers inputs that are asked again; one that holds nothing where there is none. */
    readonly inputs?: InputDigests;
    readonly clock: Clock;
  }) {
    this.#layers = modules.layers;
    this.#lastLayers = modules.lastLayers ?? [];
    this.#inputs = modules.inputs ?? new InputDigests({ limitBytes: 0 });
    this.#clock = modules.clock;
    this.#flights = new SingleFlight(modules);
  }

  /** Does the next request of this model that wants a kept answer go past the cache? */
  isAside(model: string): boolean {
    return this.#bypass.isAside(model);
  }

  /** Rejects with what `compute` rejects with, or by this request's own deadline or signal. */
  async answer(
    question: CacheQuestion,
    policy: CachePolicy,
    compute: Compute,
    signal: AbortSignal,
  ): Promise<CacheOutcome> {
    if (!policy.enabled || policy.mode === 'bypass') {
      this.#bypassed += 1;
      const value = await compute(signal, {});
      return { unshared: value.unshared === true, ...fresh(value) };
    }
    if (policy.mode === 'use' && this.#bypass.stepsAside(policy.model)) {
      const value = await compute(signal, {});
      return { unshared: value.unshared === true, ...this.#had(policy.model, value), aside: true };
    }
    const labels = { model: policy.model, tags: question.tags ?? [] };
    const startedMs = this.#clock.monotonicMs();
    const keyAs = (answeredBy: AnsweredBy): string =>
      cacheKey({ ...question, answeredBy }, (data) => this.#inputs.of(data));
    const key = keyAs(question.answeredBy);
    const keep: Keep = (run) => this.#computeAndKeep(key, keyAs, labels, run);
    if (policy.mode === 'refresh') return fresh(await keep(() => compute(signal, { key })));
    const maxAgeMs = Math.min(policy.ttlMs + policy.staleWhileRevalidateMs, policy.maxStalenessMs ?? Infinity);
    let hit = await this.#lookUp(key, maxAgeMs, policy, signal);
    if (policy.orAnsweredBy !== undefined)
      hit ??= await this.#lookUp(keyAs(policy.orAnsweredBy), maxAgeMs, policy, signal);
    this.#bypass.looked(policy.model, this.#clock.monotonicMs() - startedMs, hit !== undefined);
    if (hit !== undefined) {
      if (hit.stale) this.#renew(key, keep, policy, compute);
      return hit;
    }
    const { value, shared } = await this.#flights.fly(key, policy.deadlineMs, signal, (flightSignal) =>
      keep(() => compute(flightSignal, { key })),
    );
    if (value.from !== undefined) return this.#had(policy.model, value);
    this.#byModel.missed(policy.model, shared);
    this.#bypass.computed(policy.model, (value.queueUs + value.computeUs) / 1000, shared);
    return fresh(value);
  }

  get counts(): AnswerCacheCounts {
    return {
      layers: Object.fromEntries([...this.#layers, ...this.#lastLayers].map((layer) => [layer.name, layer.counts])),
      joined: this.#flights.joined,
      bypassed: this.#bypassed,
      renewals: { ...this.#renewals },
    };
  }

  /** What each model had from the layers. */
  modelCounts(): readonly (ModelCacheCounts & { readonly model: string; readonly aside: boolean })[] {
    return this.#byModel
      .names()
      .map((model) => ({ model, ...this.#byModel.of(model), aside: this.#bypass.isAside(model) }));
  }

  /** What each model has in the layers and had from them. Walks the entries: for people, not for every scrape. */
  models(): readonly ModelCacheReport[] {
    const held = this.#layers.map((layer) => ({ name: layer.name, models: layer.models() }));
    const names = new Set([...this.#byModel.names(), ...held.flatMap(({ models }) => [...models.keys()])]);
    return [...names].sort().map((model) => ({
      model,
      ...this.#byModel.of(model),
      aside: this.#bypass.isAside(model),
      layers: Object.fromEntries(
        held.map(({ name, models }) => [name, models.get(model) ?? { entries: 0, sizeBytes: 0 }]),
      ),
    }));
  }

  /** Entries that went, by layer. */
  drop(selection: CacheSelection): Readonly<Record<string, number>> {
    this.#drops += 1;
    this.#inputs.clear();
    for (const layer of this.#lastLayers) layer.drop(selection);
    return Object.fromEntries(this.#layers.map((layer) => [layer.name, layer.drop(selection)]));
  }

  /** Drops what belongs to other models: they were taken off the device while it was down. */
  keepOnly(models: readonly string[]): void {
    const kept = new Set(models);
    for (const layer of this.#layers) {
      for (const model of layer.models().keys()) if (!kept.has(model)) this.drop({ model });
    }
  }

  /** What was computed, or had from a layer that is asked last. */
  #had(model: string, value: ComputedAnswer): CacheOutcome {
    if (value.from === undefined) return fresh(value);
    this.#byModel.hit(model, value.from.layer, false);
    return { ...fresh(value), ...value.from };
  }

  async #lookUp(
    key: string,
    maxAgeMs: number,
    { model, ttlMs }: CachePolicy,
    signal: AbortSignal,
  ): Promise<CacheOutcome | undefined> {
    for (const [i, layer] of this.#layers.entries()) {
      const found = layer.get(key, maxAgeMs, signal);
      const hit = found instanceof Promise ? await found : found;
      if (hit === undefined) continue;
      for (const farther of this.#layers.slice(i + 1)) farther.wanted?.(key, hit);
      for (const nearer of this.#layers.slice(0, i)) await nearer.put(key, { ...hit, computeUs: 0 });
      const stale = hit.ageMs > ttlMs;
      this.#byModel.hit(model, layer.name, stale);
      return { answer: hit.answer, queueUs: 0, computeUs: 0, layer: layer.name, ageMs: hit.ageMs, stale, aside: false };
    }
    return undefined;
  }

  async #computeAndKeep(
    key: string,
    keyAs: (answeredBy: AnsweredBy) => string,
    labels: CacheLabels,
    compute: () => Promise<ComputedAnswer>,
  ): Promise<ComputedAnswer> {
    const drops = this.#drops;
    const computed = await compute();
    if (drops !== this.#drops || computed.once === true || computed.from?.layer === 'semantic') return computed; // the others are exact
    const { queueUs: _queueUs, computeUs, from, keptAs, note: _note, unshared: _unshared, ...rest } = computed;
    const { ageMs = from?.ageMs ?? 0, ...answer } = rest;
    const under = keptAs === undefined ? key : keyAs(keptAs);
    for (const layer of this.#layers) await layer.put(under, { answer, labels, ageMs, computeUs });
    return computed;
  }

  #renew(key: string, keep: Keep, policy: CachePolicy, compute: Compute): void {
    if (this.#renewing.has(key)) return;
    if (this.#renewing.size >= LIMIT_RENEWALS_AT_ONCE || !policy.mayRenew()) {
      this.#renewals.kept += 1;
      return;
    }
    this.#renewing.add(key);
    this.#renewals.started += 1;
    const deadlineMs = this.#clock.monotonicMs() + RENEWAL_TIMEOUT_MS;
    this.#flights
      .fly(key, deadlineMs, new AbortController().signal, (flightSignal) =>
        keep(() => compute(flightSignal, { key, renewal: { deadlineMs } })),
      )
      .catch(() => {
        this.#renewals.failed += 1; // the stale answer stands until its time is over; the next request tries again
      })
      .finally(() => this.#renewing.delete(key));
  }
}

function fresh(answer: ComputedAnswer): CacheOutcome {
  const { queueUs, computeUs, ranOn, note } = answer;
  return { answer, queueUs, computeUs, ranOn, note, layer: undefined, ageMs: undefined, stale: false, aside: false };
}
